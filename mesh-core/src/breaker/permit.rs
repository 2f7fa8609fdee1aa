//! What a breaker answers to a request: leave to pass, or a refusal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Inner;
use super::transition::{Cause, State, Transition};
use crate::duration::display;

/// A request that may pass.
#[derive(Debug)]
pub struct Admission {
    /// To be given back with the result.
    pub permit: Permit,
    /// The change this request brought about: from open to half-open.
    pub transition: Option<Transition>,
}

/// Leave to send one request. Give it back with [`Breaker::record`](super::Breaker::record). One that is dropped
/// says nothing about the result; if it was a trial, another may take its place.
#[derive(Debug)]
#[must_use = "without its result the breaker learns nothing"]
pub struct Permit {
    pub(super) generation: u64,
    /// Holds the breaker so that a lost trial is noticed. Requests of a closed breaker need no notice.
    pub(super) trial: Option<Trial>,
}

impl Permit {
    /// Whether the request is one of the few that try a half-open breaker.
    pub fn is_trial(&self) -> bool {
        self.trial.is_some()
    }
}

/// A request that may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The state: open, or half-open with all trials under way.
    pub state: State,
    /// When a trial will be let through, at the latest.
    pub retry_after: Duration,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            State::HalfOpen => {
                f.write_str("the circuit breaker is half-open and all its trials are under way")
            }
            _ => {
                let millis = self.retry_after.as_micros().div_ceil(1000);
                let rounded = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
                write!(
                    f,
                    "the circuit breaker is open; it tries again in {}",
                    display(rounded)
                )
            }
        }
    }
}

impl std::error::Error for Refused {}

/// A request that tries a half-open breaker.
pub(super) struct Trial {
    breaker: Arc<Inner>,
    generation: u64,
    ended: bool,
}

impl Trial {
    pub(super) fn new(breaker: Arc<Inner>, generation: u64) -> Self {
        Self {
            breaker,
            generation,
            ended: false,
        }
    }

    /// Tells its result. It counts if the breaker has not changed since.
    pub(super) fn end(mut self, failed: bool, now: Instant) -> Option<Transition> {
        self.ended = true;
        let breaker = &self.breaker;
        let mut slow = breaker.lock();
        if breaker.phase().generation != self.generation {
            return None;
        }
        if failed {
            return Some(breaker.open(&mut slow, Cause::TrialFailed, now));
        }
        slow.trials = slow.trials.saturating_sub(1);
        slow.succeeded += 1;
        let enough = slow.succeeded >= breaker.policy.config().half_open_requests;
        enough.then(|| {
            let cause = Cause::TrialsSucceeded(slow.succeeded);
            breaker.close(&mut slow, cause, now)
        })
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut slow = self.breaker.lock();
        if self.breaker.phase().generation == self.generation {
            slow.trials = slow.trials.saturating_sub(1);
        }
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
