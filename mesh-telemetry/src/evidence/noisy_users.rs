//! Which users had several errors just now, without keeping any of them.

use std::iter;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// After so many errors in one while a user says no more about a limit, until the next while: alone, they prove nothing
/// against any limit.
pub(super) const ENOUGH: u64 = 3;

/// In seconds.
pub(super) const WHILE: u64 = 60;

const SLOTS: usize = 1 << 14;

/// The errors of the present while, in a place that is found by the user's key. Two users with one place are taken for one,
/// which favours no version.
#[derive(Default)]
pub(super) struct NoisyUsers {
    /// 128 KiB, as soon as a user has failed. In each the number of its while, from 1, above eight bits of errors.
    slots: OnceLock<Box<[AtomicU64]>>,
}

impl NoisyUsers {
    /// Whether this user had enough errors in this while.
    pub(super) fn is_noisy(&self, user: u64, second: u64) -> bool {
        let Some(slots) = self.slots.get() else {
            return false;
        };
        let (of_while, errors) = parts(slots[place(user)].load(Ordering::Relaxed));
        of_while == number(second) && errors >= ENOUGH
    }

    /// This user had an error.
    pub(super) fn failed(&self, user: u64, second: u64) {
        let slots = self
            .slots
            .get_or_init(|| iter::repeat_with(AtomicU64::default).take(SLOTS).collect());
        let now = number(second);
        let more = |slot| match parts(slot) {
            (of_while, errors) if of_while == now => (errors < ENOUGH).then_some(slot + 1),
            (of_while, _) if of_while > now => None,
            _ => Some(now << 8 | 1),
        };
        // That it has enough already is no failure.
        let _ = slots[place(user)].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

fn number(second: u64) -> u64 {
    second / WHILE + 1
}

fn parts(slot: u64) -> (u64, u64) {
    (slot >> 8, slot & 0xff)
}

/// By other bits than those that tell users apart.
fn place(user: u64) -> usize {
    (user as usize) & (SLOTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_noisy_after_three_errors_until_the_minute_is_over() {
        let users = NoisyUsers::default();
        for n in 0..10 {
            assert_eq!(users.is_noisy(7, 30), n >= ENOUGH, "{n}");
            users.failed(7, 30);
        }
        assert!(users.is_noisy(7, WHILE - 1) && !users.is_noisy(8, 30));
        assert!(!users.is_noisy(7, WHILE));
        users.failed(7, WHILE);
        users.failed(7, WHILE - 1);
        assert!(!users.is_noisy(7, WHILE), "the third, but of another minute");
    }
}
