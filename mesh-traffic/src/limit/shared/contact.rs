//! Whether the store is asked: always while it answers, now and then while it does not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long after a failure the store is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Whether the store answers. Times are counted from whenever the caller likes.
#[derive(Debug, Default)]
pub(super) struct Contact {
    down: AtomicBool,
    /// When it is asked again, in nanoseconds, if it is down.
    again_at: AtomicU64,
}

impl Contact {
    /// Whether to ask it now. While it is down, one of all who come when it is due.
    pub(super) fn may_ask(&self, now: Duration) -> bool {
        if self.is_up() {
            return true;
        }
        let again_at = self.again_at.load(Ordering::Relaxed);
        let next = nanoseconds(now.saturating_add(AGAIN_AFTER));
        nanoseconds(now) >= again_at
            && self
                .again_at
                .compare_exchange(again_at, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// It answered. Whether that is news.
    pub(super) fn answered(&self) -> bool {
        // A look first: this is asked for each request, and a write would make all cores share the line.
        self.down.load(Ordering::Relaxed) && self.down.swap(false, Ordering::Relaxed)
    }

    /// It did not answer. Whether that is news.
    pub(super) fn failed(&self, now: Duration) -> bool {
        let next = nanoseconds(now.saturating_add(AGAIN_AFTER));
        self.again_at.fetch_max(next, Ordering::Relaxed);
        !self.down.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_up(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_down_is_asked_now_and_then_until_it_answers() {
        let contact = Contact::default();
        let at = Duration::from_millis;
        assert!(contact.may_ask(at(0)) && contact.may_ask(at(0)));
        assert!(contact.failed(at(20)), "news");
        assert!(!contact.failed(at(20)), "none");
        let asked = (20..=1_100).filter(|ms| contact.may_ask(at(*ms))).count();
        assert_eq!(asked, 4, "after 270, 520, 770 and 1020");
        assert!(contact.answered(), "news");
        assert!(!contact.answered(), "none");
        assert!(contact.is_up() && contact.may_ask(at(1_100)));
    }
}
