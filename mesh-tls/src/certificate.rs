//! What a certificate says.

mod parse;

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use mesh_core::SpiffeId;
use rustls_pki_types::CertificateDer;

use crate::authority::SerialNumber;
use crate::key::KeyType;

/// What a certificate says, read once. It proves nothing by itself: [`Verifier`](crate::Verifier) does.
///
/// ```
/// use mesh_tls::{Certificate, LocalCa};
///
/// let ca = LocalCa::in_memory("cluster.local")?;
/// let root = Certificate::parse(&ca.root())?;
/// assert!(root.is_ca());
/// assert_eq!(root.key().to_string(), "ECDSA P-256");
/// assert!(root.spiffe_id().is_err());
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(crate) serial: SerialNumber,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) fingerprint: String,
    pub(crate) subject: Name,
    pub(crate) issuer: Name,
    pub(crate) names: Names,
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) extended_key_usage: Option<Vec<Purpose>>,
    pub(crate) name_constraints: Option<NameConstraints>,
    pub(crate) has_unknown_critical: bool,
    /// Where it says that lists are which revoke it.
    pub(crate) crl_points: Option<Vec<String>>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    /// What it says of its issuer's key: `Some(None)` if it names it in another way.
    pub(crate) authority_key_id: Option<Option<Vec<u8>>>,
    pub(crate) key: PublicKey,
    pub(crate) spki: Vec<u8>,
    pub(crate) spiffe_id: Result<SpiffeId, CertificateError>,
}

/// A distinguished name: to be read, and as it was encoded, to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) der: Vec<u8>,
}

/// The subject's alternative names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) is_there: bool,
    pub(crate) critical: bool,
    pub(crate) uris: Vec<String>,
    pub(crate) dns: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
    /// What cannot be read as a name of its kind.
    pub(crate) invalid: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct BasicConstraints {
    pub(crate) ca: bool,
    pub(crate) critical: bool,
    /// How many CAs may stand between it and a leaf.
    pub(crate) max_below: Option<u32>,
}

/// What its key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUsage {
    /// It signs handshakes.
    pub digital_signature: bool,
    /// It signs certificates.
    pub key_cert_sign: bool,
    /// It signs revocation lists.
    pub crl_sign: bool,
}

/// What it may be shown as.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// A server.
    Server,
    /// A client.
    Client,
    /// Anything.
    Any,
    /// Something else, by its number.
    Other(String),
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NameConstraints {
    pub(crate) of_uris: bool,
}

/// The kind of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicKey {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
    /// RSA, with so many bits.
    Rsa(usize),
    /// Ed25519.
    Ed25519,
    /// Another one, by its number.
    Other(String),
}

impl PublicKey {
    /// Whether it is strong enough for the mesh.
    pub fn is_strong(&self) -> bool {
        match self {
            Self::Rsa(bits) => (2048..=8192).contains(bits) && bits % 8 == 0,
            Self::EcdsaP256 | Self::EcdsaP384 | Self::EcdsaP521 | Self::Ed25519 => true,
            Self::Other(_) => false,
        }
    }

    /// Whether it is of this kind.
    pub(crate) fn is_of(&self, kind: KeyType) -> bool {
        match kind {
            KeyType::EcdsaP256 => *self == Self::EcdsaP256,
            KeyType::EcdsaP384 => *self == Self::EcdsaP384,
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
                *self == Self::Rsa(kind.bits() as usize)
            }
        }
    }

    /// Whether the mesh's own CA signs for it.
    pub(crate) fn is_issued_for(&self) -> bool {
        match self {
            Self::EcdsaP256 | Self::EcdsaP384 | Self::Ed25519 => true,
            Self::Rsa(bits) => (2048..=4096).contains(bits),
            Self::EcdsaP521 | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => f.write_str("ECDSA P-256"),
            Self::EcdsaP384 => f.write_str("ECDSA P-384"),
            Self::EcdsaP521 => f.write_str("ECDSA P-521"),
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(number) => write!(f, "a key of kind {number}"),
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Client => f.write_str("client"),
            Self::Any => f.write_str("anything"),
            Self::Other(number) => f.write_str(number),
        }
    }
}

/// Why a certificate cannot be read, or says nothing of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateError(pub(crate) String);

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CertificateError {}

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It is no X.509 certificate of version 3, or its serial number is not positive or longer than 20 bytes; a root may have
    /// the number zero.
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        parse::certificate(der)
    }

    /// Its serial number.
    pub fn serial(&self) -> SerialNumber {
        self.serial
    }

    /// When it begins to be good.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Until when it is good.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// SHA-256 of all of it, in lower-case hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whose it is.
    pub fn subject(&self) -> &str {
        &self.subject.text
    }

    /// Who signed it, as it says itself.
    pub fn issuer(&self) -> &str {
        &self.issuer.text
    }

    /// The URIs among its names.
    pub fn uris(&self) -> &[String] {
        &self.names.uris
    }

    /// The DNS names among its names.
    pub fn dns_names(&self) -> &[String] {
        &self.names.dns
    }

    /// The IP addresses among its names.
    pub fn ip_addresses(&self) -> &[IpAddr] {
        &self.names.addresses
    }

    /// The SPIFFE ID of a workload.
    ///
    /// # Errors
    /// It has no URI among its names, more than one, or one that is no SPIFFE ID with a path.
    pub fn spiffe_id(&self) -> Result<&SpiffeId, CertificateError> {
        self.spiffe_id.as_ref().map_err(Clone::clone)
    }

    /// Whether it names itself as its issuer.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject.der == self.issuer.der
    }

    /// Whether it may sign others.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints.is_some_and(|constraints| constraints.ca)
    }

    /// What its key may be used for, if it says so.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// What it may be shown as, if it says so.
    pub fn purposes(&self) -> Option<&[Purpose]> {
        self.extended_key_usage.as_deref()
    }

    /// The kind of its key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}
