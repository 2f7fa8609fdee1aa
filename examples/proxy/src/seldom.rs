//! Lines of the log that clients could cause by the thousand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Lets something be said once in a while, and counts what was not.
pub(crate) struct Seldom {
    began: Instant,
    /// When it may be said next, in milliseconds since the beginning.
    next: AtomicU64,
    untold: AtomicU64,
}

impl Seldom {
    const PAUSE: Duration = Duration::from_secs(10);

    /// Whether it may be said now, and if so, how often it was not since it was said last.
    pub(crate) fn at(&self, now: Instant) -> Option<u64> {
        let since = now.saturating_duration_since(self.began);
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let pause = u64::try_from(Self::PAUSE.as_millis()).unwrap_or(u64::MAX);
        let due = |next: u64| (next <= now).then(|| now.saturating_add(pause));
        match self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due) {
            Ok(_) => Some(self.untold.swap(0, Ordering::Relaxed)),
            Err(_) => {
                self.untold.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

impl Default for Seldom {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            next: AtomicU64::new(0),
            untold: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_said_again_only_after_a_pause_and_tells_how_often_it_was_not() {
        let seldom = Seldom::default();
        let now = seldom.began;
        assert_eq!(
            [seldom.at(now), seldom.at(now), seldom.at(now)],
            [Some(0), None, None]
        );
        assert_eq!(seldom.at(now + Seldom::PAUSE - Duration::from_millis(1)), None);
        let later = now + Seldom::PAUSE;
        assert_eq!([seldom.at(later), seldom.at(later)], [Some(3), None]);
    }
}
