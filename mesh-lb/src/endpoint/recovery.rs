//! An endpoint that could not be connected to is given a moment: others are preferred, and it is not knocked at
//! by every request. When the moment is over, one knocks, and others wait for what comes of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_core::backoff::Backoff;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tokio::time::{Instant, sleep_until, timeout_at};

/// The first moment, and the longest: an endpoint that is back should not wait for its callers.
const BASE: Duration = Duration::from_millis(50);
const CAP: Duration = Duration::from_secs(2);

/// When an endpoint may be connected to again. Read by every pick: one atomic.
pub(crate) struct Recovery {
    origin: Instant,
    /// In nanoseconds since `origin`; 0: now.
    until: AtomicU64,
    slow: Mutex<Slow>,
    /// Held by who knocks.
    turn: AsyncMutex<()>,
}

/// Held while connecting: nothing if the endpoint is not known to be away.
pub(crate) type Turn<'a> = Option<MutexGuard<'a, ()>>;

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
            turn: AsyncMutex::default(),
        }
    }

    /// Whether others are to be preferred: it rests, or somebody knocks.
    pub(crate) fn is_doubtful(&self, now: Instant) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && (self.since_origin(now) < until || self.turn.try_lock().is_err())
    }

    /// Whether nothing is known against it.
    pub(crate) fn is_well(&self) -> bool {
        self.until.load(Ordering::Relaxed) == 0
    }

    /// Waits for leave to connect, as long as it takes but not beyond `patience`.
    ///
    /// # Errors
    /// Why connecting failed last, and when it is tried again.
    pub(crate) async fn turn(&self, patience: Instant) -> Result<Turn<'_>, String> {
        let Ok(turn) = timeout_at(patience, self.turn.lock()).await else {
            return Err(format!("{}; it is being tried again", self.slow.lock().message));
        };
        while let Some((left, message)) = self.rest(Instant::now()) {
            let until = Instant::now() + left;
            if until > patience {
                return Err(format!("{message}; it is tried again in {left:?}"));
            }
            sleep_until(until).await;
        }
        // It may have turned out well while this waited.
        Ok(Some(turn).filter(|_| !self.is_well()))
    }

    /// How long it rests yet, and why.
    fn rest(&self, now: Instant) -> Option<(Duration, String)> {
        let left = self.rest_left(now);
        (left > 0).then(|| (Duration::from_nanos(left), self.slow.lock().message.clone()))
    }

    /// In nanoseconds.
    fn rest_left(&self, now: Instant) -> u64 {
        let until = self.until.load(Ordering::Relaxed);
        until.saturating_sub(self.since_origin(now))
    }

    /// Connecting failed. Of many that fail at once, one counts.
    pub(crate) fn failed(&self, message: &str, now: Instant) {
        let mut slow = self.slow.lock();
        if self.rest_left(now) > 0 {
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
        assert!(!recovery.is_doubtful(now));
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            recovery.failed("refused", now);
            if let Some((left, message)) = recovery.rest(now) {
                assert_eq!(message, "refused");
                assert!(left <= CAP);
                longest = longest.max(left);
                now += left;
            }
            assert!(!recovery.is_doubtful(now));
        }
        assert!(longest > CAP / 2, "{longest:?}");
        recovery.failed("refused", now);
        recovery.succeeded();
        assert!(!recovery.is_doubtful(now));
        recovery.failed("refused", now);
        assert!(
            recovery.rest(now).is_none_or(|(left, _)| left <= BASE),
            "it begins again"
        );
    }
}
