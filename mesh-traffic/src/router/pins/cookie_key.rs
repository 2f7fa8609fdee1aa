//! The key that the values in cookies are signed with.

use std::fmt;
use std::hash::Hasher as _;
use std::sync::Arc;

use siphasher::sip128::{Hasher128 as _, SipHasher24};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::signed::Signed;

/// A secret of 128 bits that the values of sticky cookies are signed with (SipHash-2-4, 128 bits).
///
/// Processes that give clients the same cookie need the same key, and a process after a restart the one from before:
/// else clients are assigned anew. It never shows itself, and is overwritten when its last clone goes.
///
/// ```
/// use mesh_traffic::router::CookieKey;
///
/// # let secret = [7; CookieKey::LENGTH];
/// // `secret` comes from the system's random numbers, once.
/// let key = CookieKey::new(secret);
/// assert_eq!(format!("{key:?}"), "CookieKey(…)");
/// ```
#[derive(Clone)]
pub struct CookieKey(Arc<Zeroizing<[u8; Self::LENGTH]>>);

impl CookieKey {
    /// How many bytes it has.
    pub const LENGTH: usize = 16;

    /// These bytes, which nobody can guess.
    pub fn new(secret: impl Into<Zeroizing<[u8; Self::LENGTH]>>) -> Self {
        Self(Arc::new(secret.into()))
    }

    pub(super) fn sign(&self, value: u128) -> Signed {
        Signed {
            value,
            signature: self.signature(value),
        }
    }

    /// Tells nothing by the time it takes.
    pub(super) fn has_signed(&self, signed: &Signed) -> bool {
        let (own, shown) = (self.signature(signed.value), signed.signature);
        own.to_ne_bytes().ct_eq(&shown.to_ne_bytes()).into()
    }

    fn signature(&self, value: u128) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&value.to_be_bytes());
        hasher.finish128().as_u128()
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey(…)")
    }
}

impl PartialEq for CookieKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for CookieKey {}
