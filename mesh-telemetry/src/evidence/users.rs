//! Which users were there, or had an error, without keeping any of them.

use std::iter;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bit a user, found by the user's key. Two users with one bit are taken for one, which costs the second one
/// and favours no version, since the key knows nothing of versions.
#[derive(Default)]
pub(super) struct Users {
    /// 128 KiB, as soon as there is one.
    words: OnceLock<Box<[AtomicU64]>>,
}

const BITS: u32 = 20;
const WORDS: usize = 1 << (BITS - 6);

impl Users {
    /// Whether this user was not here before.
    pub(super) fn is_first(&self, user: u64) -> bool {
        let words = self
            .words
            .get_or_init(|| iter::repeat_with(AtomicU64::default).take(WORDS).collect());
        let place = user >> (64 - BITS);
        let (word, bit) = ((place >> 6) as usize, 1 << (place & 63));
        let word = &words[word];
        // Most were: what is not written stays in every core's cache.
        word.load(Ordering::Relaxed) & bit == 0 && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Nobody was.
    pub(super) fn forget(&self) {
        for word in self.words.get().into_iter().flatten() {
            word.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_first_once_until_all_is_forgotten() {
        let users = Users::default();
        let user = |n: u64| n << (64 - BITS);
        assert!(users.is_first(user(0)) && users.is_first(user(1)) && users.is_first(user((1 << BITS) - 1)));
        assert!(!users.is_first(user(1)));
        users.forget();
        assert!(users.is_first(user(1)));
        assert!(!users.is_first(user(1)));
    }

    #[test]
    fn as_many_users_are_taken_for_others_as_is_documented() {
        let users = Users::default();
        let mut random = fastrand::Rng::with_seed(7);
        let mut first = |n: u32| (0..n).filter(|_| users.is_first(random.u64(..))).count();
        first(10_000);
        let share = 1.0 - first(1_000) as f64 / 1_000.0;
        assert!((0.003..0.03).contains(&share), "{share}");
        first(89_000);
        let share = 1.0 - first(1_000) as f64 / 1_000.0;
        assert!((0.06..0.13).contains(&share), "{share}");
    }
}
