//! `mutualTLS`: certificates, and what is spoken with them.

use std::path::PathBuf;
use std::time::Duration;

use super::authority::Authority;

/// `serviceMesh.mutualTLS`, enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MutualTls {
    /// Whether a client without a certificate is refused. Default true.
    pub enforce_client_certs: bool,
    /// The keys of certificates. Default ECDSA P-256.
    pub key_type: KeyType,
    /// Whether a peer's certificate is verified. Default true; false only with `iAcceptInsecure`.
    pub verify_peer_certificate: bool,
    /// How long a certificate is good for: 90 to 365 days, or 5 minutes to 14 days. Default 90 days.
    pub lifetime: Duration,
    /// How long before its end a certificate is renewed. Default 7 days; a third of a lifetime under 14 days.
    pub renew_before: Duration,
    /// The suites, in order of preference; `None`: all that are known.
    pub cipher_suites: Option<Vec<CipherSuite>>,
    /// The versions; never empty. Default both.
    pub protocols: Vec<TlsVersion>,
    /// What happens when the revocation list is too old. Default: connections are denied.
    pub crl_stale_policy: StalePolicy,
    /// Who signs.
    pub authority: Authority,
    /// Where the CA's key, certificates and the revocation list are kept. Default `./mesh-state/ca`.
    pub state_dir: PathBuf,
}

/// The kind and size of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What happens when the revocation list is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StalePolicy {
    /// Connections are denied.
    Deny,
    /// It is told in the log.
    Warn,
}

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it all")]
pub enum CipherSuite {
    Tls13Aes128GcmSha256,
    Tls13Aes256GcmSha384,
    Tls13Chacha20Poly1305Sha256,
    EcdheEcdsaAes128GcmSha256,
    EcdheEcdsaAes256GcmSha384,
    EcdheEcdsaChacha20Poly1305Sha256,
    EcdheRsaAes128GcmSha256,
    EcdheRsaAes256GcmSha384,
    EcdheRsaChacha20Poly1305Sha256,
}
