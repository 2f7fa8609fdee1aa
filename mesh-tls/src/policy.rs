//! What of TLS is spoken.

use std::fmt;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};

use crate::suite::{CipherSuite, TlsVersion};
use crate::verify::StaleCrl;

/// What of TLS is spoken, on both sides of a connection.
///
/// By default TLS 1.2 and 1.3 with every suite that has forward secrecy and authenticated encryption. Keys are
/// exchanged with the hybrid of X25519 and ML-KEM-768 where the peer knows it, else with X25519, P-256 or P-384.
///
/// ```
/// use mesh_tls::{CipherSuite, TlsPolicy, TlsVersion};
///
/// let policy = TlsPolicy::default().with_suites([CipherSuite::Tls13Aes256GcmSha384]);
/// // TLS 1.2 gets the suites that encrypt the same way.
/// assert!(policy.suites_of(TlsVersion::Tls12).any(|suite| suite == CipherSuite::EcdheEcdsaAes256GcmSha384));
/// assert!(!policy.suites_of(TlsVersion::Tls13).any(|suite| suite == CipherSuite::Tls13Aes128GcmSha256));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsPolicy {
    /// The versions. Default: TLS 1.2 and TLS 1.3.
    pub versions: Vec<TlsVersion>,
    /// The suites, in order of preference; the server's order counts then. `None`: all that are known, and the
    /// client's order counts. A version none of whose suites is named gets the [twins](CipherSuite::twins) of
    /// those that are.
    pub suites: Option<Vec<CipherSuite>>,
    /// What happens when a revocation list is too old. Default: who it speaks of is refused.
    pub stale_crl: StaleCrl,
    /// Whether peers are verified. Default: they are.
    pub peers: Peers,
}

/// Whether peers are verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peers {
    /// A peer proves who it is, or is refused.
    #[default]
    Verified,
    /// Any certificate is taken, and nobody has an identity. Whoever is on the way can read and change what is
    /// sent: for a test on one machine.
    Anyone,
}

impl Default for TlsPolicy {
    fn default() -> Self {
        Self {
            versions: TlsVersion::ALL.into(),
            suites: None,
            stale_crl: StaleCrl::default(),
            peers: Peers::default(),
        }
    }
}

/// A policy by which no connection could come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError(&'static str);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for PolicyError {}

impl TlsPolicy {
    /// Only these versions.
    #[must_use]
    pub fn with_versions(mut self, versions: impl IntoIterator<Item = TlsVersion>) -> Self {
        self.versions = versions.into_iter().collect();
        self
    }

    /// Only these suites, the preferred ones first.
    #[must_use]
    pub fn with_suites(mut self, suites: impl IntoIterator<Item = CipherSuite>) -> Self {
        self.suites = Some(suites.into_iter().collect());
        self
    }

    /// The suites that are spoken in this version, in order of preference.
    pub fn suites_of(&self, version: TlsVersion) -> impl Iterator<Item = CipherSuite> {
        let spoken = self.versions.contains(&version);
        let named = self.suites.as_deref().unwrap_or(&CipherSuite::ALL);
        let of_version = move |suite: &CipherSuite| suite.version() == version;
        let own = named.iter().copied().filter(of_version);
        let without = !named.iter().any(of_version);
        let twins = named.iter().flat_map(|suite| suite.twins().iter().copied());
        let twins = twins.filter(move |_| without);
        own.chain(twins).filter(move |_| spoken)
    }
}

/// A policy, as rustls takes it.
#[derive(Clone, Debug)]
pub(crate) struct Crypto {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    pub(crate) servers_order_counts: bool,
}

impl Crypto {
    pub(crate) fn new(policy: &TlsPolicy) -> Result<Self, PolicyError> {
        let mut versions = Vec::new();
        let mut suites = Vec::new();
        // The newest first: it is what two peers that know both agree on.
        for (version, supported) in [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)] {
            let before = suites.len();
            for suite in policy.suites_of(version) {
                let named = |known: &&rustls::SupportedCipherSuite| known.suite() == registered(suite);
                suites.extend(aws_lc_rs::ALL_CIPHER_SUITES.iter().find(named).copied());
            }
            if suites.len() > before {
                versions.push(supported);
            }
        }
        if versions.is_empty() {
            return Err(PolicyError(
                "no version of TLS is left to speak: name at least one version, and one suite or none",
            ));
        }
        Ok(Self {
            provider: Arc::new(CryptoProvider {
                cipher_suites: suites,
                ..aws_lc_rs::default_provider()
            }),
            versions,
            servers_order_counts: policy.suites.is_some(),
        })
    }
}

const fn registered(suite: CipherSuite) -> rustls::CipherSuite {
    match suite {
        CipherSuite::Tls13Aes128GcmSha256 => rustls::CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::Tls13Aes256GcmSha384 => rustls::CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::Tls13Chacha20Poly1305Sha256 => rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdheEcdsaAes128GcmSha256 => {
            rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        }
        CipherSuite::EcdheEcdsaAes256GcmSha384 => {
            rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        }
        CipherSuite::EcdheEcdsaChacha20Poly1305Sha256 => {
            rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
        CipherSuite::EcdheRsaAes128GcmSha256 => rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheRsaAes256GcmSha384 => rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheRsaChacha20Poly1305Sha256 => {
            rustls::CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(policy: &TlsPolicy) -> Vec<rustls::CipherSuite> {
        let crypto = Crypto::new(policy).expect("a policy");
        crypto
            .provider
            .cipher_suites
            .iter()
            .map(|suite| suite.suite())
            .collect()
    }

    #[test]
    fn by_default_every_suite_is_spoken_and_the_hybrid_key_exchange_is_preferred() {
        assert_eq!(spoken(&TlsPolicy::default()).len(), CipherSuite::ALL.len());
        let crypto = Crypto::new(&TlsPolicy::default()).expect("a policy");
        assert_eq!(crypto.versions, [&TLS13, &TLS12]);
        assert_eq!(
            crypto.provider.kx_groups[0].name(),
            rustls::NamedGroup::X25519MLKEM768
        );
    }

    /// F9: suites of TLS 1.3 alone would leave peers that speak 1.2 with nothing in common.
    #[test]
    fn suites_of_tls_1_3_alone_bring_their_twins_of_tls_1_2() {
        let policy = TlsPolicy::default().with_suites([
            CipherSuite::Tls13Aes256GcmSha384,
            CipherSuite::Tls13Chacha20Poly1305Sha256,
        ]);
        assert_eq!(spoken(&policy).len(), 2 + 4);
        assert!(Crypto::new(&policy).expect("a policy").servers_order_counts);
        let old = policy.with_versions([TlsVersion::Tls12]);
        assert_eq!(spoken(&old).len(), 4);
    }

    #[test]
    fn suites_named_for_a_version_are_all_it_speaks() {
        let policy = TlsPolicy::default().with_suites([
            CipherSuite::Tls13Aes256GcmSha384,
            CipherSuite::EcdheEcdsaAes128GcmSha256,
        ]);
        assert_eq!(
            spoken(&policy),
            [
                rustls::CipherSuite::TLS13_AES_256_GCM_SHA384,
                rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            ]
        );
    }

    #[test]
    fn a_policy_that_speaks_nothing_is_refused() {
        for policy in [
            TlsPolicy::default().with_versions([]),
            TlsPolicy::default().with_suites([]),
        ] {
            assert!(Crypto::new(&policy).is_err());
        }
    }
}
