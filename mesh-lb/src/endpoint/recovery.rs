//! An endpoint that could not be connected to is given a moment: others are preferred, and it is not knocked at
//! by every request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_core::backoff::Backoff;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The first moment, and the longest: an endpoint that is back should not wait for its callers.
const BASE: Duration = Duration::from_millis(50);
const CAP: Duration = Duration::from_secs(2);

/// When an endpoint may be connected to again. Read by every pick: one atomic.
pub(crate) struct Recovery {
    origin: Instant,
    /// In nanoseconds since `origin`; 0: now.
    until: AtomicU64,
    slow: Mutex<Slow>,
}

struct Slow {
    backoff: Backoff,
    random: fastrand::Rng,
    message: String,
}

impl Recovery {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            until: AtomicU64::new(0),
            slow: Mutex::new(Slow {
                backoff: Backoff::new(BASE, CAP),
                random: fastrand::Rng::new(),
                message: String::new(),
            }),
        }
    }

    pub(crate) fn is_resting(&self, now: Instant) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && self.since_origin(now) < until
    }

    /// How long it rests yet, and why.
    pub(crate) fn rest(&self, now: Instant) -> Option<(Duration, String)> {
        let left = self
            .until
            .load(Ordering::Relaxed)
            .saturating_sub(self.since_origin(now));
        (left > 0).then(|| (Duration::from_nanos(left), self.slow.lock().message.clone()))
    }

    /// Connecting failed. Of many that fail at once, one counts.
    pub(crate) fn failed(&self, message: &str, now: Instant) {
        let mut slow = self.slow.lock();
        if self.is_resting(now) {
            return;
        }
        let Slow { backoff, random, .. } = &mut *slow;
        let wait = backoff.next(random);
        slow.message = message.to_owned();
        let until = self
            .since_origin(now)
            .saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        self.until.store(until, Ordering::Relaxed);
    }

    pub(crate) fn succeeded(&self) {
        // Looked at before it is written: nearly always there is nothing to forget.
        if self.until.load(Ordering::Relaxed) != 0 {
            self.slow.lock().backoff.reset();
            self.until.store(0, Ordering::Relaxed);
        }
    }

    fn since_origin(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_after_a_failure_for_two_seconds_at_most_and_not_after_a_success() {
        let mut now = Instant::now();
        let recovery = Recovery::new(now);
        assert!(!recovery.is_resting(now));
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            recovery.failed("refused", now);
            if let Some((left, message)) = recovery.rest(now) {
                assert_eq!(message, "refused");
                assert!(left <= CAP);
                longest = longest.max(left);
                now += left;
            }
            assert!(!recovery.is_resting(now));
        }
        assert!(longest > CAP / 2, "{longest:?}");
        recovery.failed("refused", now);
        recovery.succeeded();
        assert!(!recovery.is_resting(now));
        recovery.failed("refused", now);
        assert!(
            recovery.rest(now).is_none_or(|(left, _)| left <= BASE),
            "it begins again"
        );
    }
}
