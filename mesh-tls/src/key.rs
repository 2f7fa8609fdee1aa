//! Private keys.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroize;

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

    /// The key itself: for who signs with it or stores it. What is copied out of here nobody overwrites.
    pub fn expose_secret(&self) -> &PrivateKeyDer<'static> {
        &self.0.0
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
