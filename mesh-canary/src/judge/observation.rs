//! The newest stretch of evidence that is long enough and has enough requests.

use std::time::Duration;

use crate::analyzer::{Finding, Number, Observed, Reason, Window};

/// What was looked at.
pub(super) struct Observation {
    pub(super) seen: Observed,
    window: Duration,
    min_requests: u64,
    flowing: bool,
}

impl Observation {
    /// Goes back from the newest window until both are reached, or to the oldest one.
    pub(super) fn newest(windows: &[Window], window: Duration, min_requests: u64) -> Self {
        let mut seen = Observed::default();
        let mut flowing = false;
        for next in windows.iter().rev() {
            if seen.span >= window && seen.canary.requests >= min_requests {
                break;
            }
            // Old requests may fill up a low rate, but must not hide that none come any more.
            flowing |= seen.span < window && next.canary.requests > 0;
            seen.add(next);
        }
        Self {
            seen,
            window,
            min_requests,
            flowing,
        }
    }

    pub(super) fn is_enough(&self) -> bool {
        self.flowing && self.seen.span >= self.window && self.seen.canary.requests >= self.min_requests
    }

    /// Why it is not enough, and when it will be.
    pub(super) fn what_is_missing(&self) -> Reason {
        let requests = self.seen.canary.requests;
        if requests > 0 && !self.flowing {
            let none = Finding::at_least("newest requests", Number::Count(0), Number::Count(1));
            return Reason::from(none.seen(0, self.window));
        }
        let least = Number::Count(self.min_requests);
        let enough = Finding::at_least("requests", Number::Count(requests), least);
        Reason::from(enough.seen(requests, self.seen.span)).with_wait(self.wait())
    }

    fn wait(&self) -> Option<Duration> {
        let time = self.window.saturating_sub(self.seen.span);
        let missing = self.min_requests.saturating_sub(self.seen.canary.requests);
        if missing == 0 {
            return Some(time);
        }
        let rate = self.seen.canary.requests as f64 / self.seen.span.as_secs_f64();
        let filling = Duration::try_from_secs_f64(missing as f64 / rate).ok()?;
        Some(time.max(filling))
    }
}
