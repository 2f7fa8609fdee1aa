//! Private keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PublicKeyData, RsaKeySize, SignatureAlgorithm, SigningKey,
};
use rustls_pki_types::{CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::{Zeroize, Zeroizing};

/// The kind and size of a key.
///
/// ```
/// use mesh_tls::KeyType;
///
/// assert_eq!("rsa-3072".parse(), Ok(KeyType::Rsa3072));
/// assert_eq!(KeyType::default().to_string(), "ecdsa-p256");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
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

impl KeyType {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
    ];

    /// Its name, as configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
        }
    }

    /// Its size in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::EcdsaP256 => 256,
            Self::EcdsaP384 => 384,
            Self::Rsa2048 => 2048,
            Self::Rsa3072 => 3072,
            Self::Rsa4096 => 4096,
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text names no kind of key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKeyType(Box<str>);

impl fmt::Display for UnknownKeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = KeyType::ALL.map(KeyType::name).join(", ");
        write!(f, "{:?} is no kind of key: expected one of {known}", self.0)
    }
}

impl std::error::Error for UnknownKeyType {}

impl FromStr for KeyType {
    type Err = UnknownKeyType;

    fn from_str(text: &str) -> Result<Self, UnknownKeyType> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == text);
        known.ok_or_else(|| UnknownKeyType(text.chars().take(80).collect::<String>().into()))
    }
}

/// A key could not be made or used.
#[derive(Debug)]
pub struct KeyError(String);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

/// A private key. Its bytes are overwritten when the last clone is dropped, and nothing prints them.
///
/// ```
/// use mesh_tls::PrivateKey;
///
/// let key = PrivateKey::from_pkcs8(b"secret".to_vec());
/// assert_eq!(format!("{key:?}"), "PrivateKey(..)");
/// assert_eq!(key.expose_secret().secret_der(), b"secret");
/// ```
#[derive(Clone)]
pub struct PrivateKey(Arc<Secret>);

struct Secret(PrivateKeyDer<'static>);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PrivateKey {
    /// Takes a key in PKCS #8, in DER.
    pub fn from_pkcs8(der: impl Into<PrivatePkcs8KeyDer<'static>>) -> Self {
        Self::from(PrivateKeyDer::Pkcs8(der.into()))
    }

    /// A new key. It is made on a thread of its own, since one for RSA takes a while.
    ///
    /// # Errors
    /// The system gives no randomness or no thread.
    pub async fn generate(kind: KeyType) -> Result<Self, KeyError> {
        let made = tokio::task::spawn_blocking(move || Self::generate_blocking(kind)).await;
        made.unwrap_or_else(|error| Err(KeyError(format!("no {kind} key could be made: {error}"))))
    }

    /// A new key, made here and now: some 100 microseconds for ECDSA, up to seconds for RSA.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate_blocking(kind: KeyType) -> Result<Self, KeyError> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        let made = match kind {
            KeyType::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyType::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyType::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyType::Rsa4096 => rsa(RsaKeySize::_4096),
        };
        let pair = made.map_err(|error| KeyError(format!("no {kind} key could be made: {error}")))?;
        Ok(Self::from_pkcs8(
            SigningPair(Zeroizing::new(pair)).0.serialize_der(),
        ))
    }

    /// A request for a certificate of this key. It proves that the key is there, and asks for nothing else: identity,
    /// names and lifetime are told in the [`CertRequest`](crate::CertRequest).
    ///
    /// # Errors
    /// The key is of a kind that signs nothing here.
    pub fn certificate_request(&self) -> Result<CertificateSigningRequestDer<'static>, KeyError> {
        let wrong =
            |error: rcgen::Error| KeyError(format!("the key signs no request for a certificate: {error}"));
        let pair = self.pair().map_err(wrong)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&pair).map_err(wrong)?;
        Ok(request.der().clone())
    }

    /// The key, as what signs certificates takes it.
    pub(crate) fn pair(&self) -> Result<SigningPair, rcgen::Error> {
        KeyPair::try_from(self.expose_secret()).map(|pair| SigningPair(Zeroizing::new(pair)))
    }

    /// The key itself: for who signs with it or stores it. What is copied out of here nobody overwrites.
    pub fn expose_secret(&self) -> &PrivateKeyDer<'static> {
        &self.0.0
    }
}

/// A key that signs. Its copy of the bytes is overwritten when it is dropped, which rcgen leaves to its user.
pub(crate) struct SigningPair(Zeroizing<KeyPair>);

impl PublicKeyData for SigningPair {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(&*self.0)
    }
}

impl SigningKey for SigningPair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

impl From<PrivateKeyDer<'static>> for PrivateKey {
    fn from(der: PrivateKeyDer<'static>) -> Self {
        Self(Arc::new(Secret(der)))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_copy_of_the_bytes() {
        let key = PrivateKey::from_pkcs8(vec![1, 2, 3]);
        let (a, b) = (key.expose_secret().secret_der(), key.clone());
        assert!(std::ptr::eq(a, b.expose_secret().secret_der()));
    }

    #[test]
    fn overwriting_a_key_leaves_none_of_it() {
        let mut secret = Secret(PrivateKeyDer::Pkcs8(vec![7; 64].into()));
        secret.0.zeroize();
        assert!(secret.0.secret_der().iter().all(|byte| *byte == 0));
    }
}
