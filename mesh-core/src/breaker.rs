//! A circuit breaker: stops asking who keeps failing, tries again after a while.
//!
//! One state machine for a whole service and for one endpoint, so that both trip on the same evidence. Time comes
//! in as an argument and every change goes out as a [`Transition`]; nothing here waits, logs or counts.
//!
//! - **closed**: all pass. Opens after a number of consecutive failures, or when the error rate of the window is
//!   too high.
//! - **open**: none passes until its time is over; the next request then is a trial.
//! - **half-open**: a few trials at once. One failure opens it again, enough successes close it.
//!
//! ```
//! use std::time::Duration;
//! use mesh_core::Outcome;
//! use mesh_core::breaker::{Breaker, BreakerPolicy, State};
//! use tokio::time::Instant;
//!
//! let start = Instant::now();
//! let breaker = Breaker::new(BreakerPolicy::default(), start);
//! for n in 1..=5 {
//!     let admission = breaker.admit(start).expect("closed");
//!     let transition = breaker.record(admission.permit, Outcome::Failure, start);
//!     assert_eq!(transition.is_some(), n == 5);
//! }
//! let refused = breaker.admit(start).expect_err("open");
//! assert_eq!(refused.retry_after, Duration::from_secs(30));
//!
//! let later = start + Duration::from_secs(30);
//! let trial = breaker.admit(later).expect("a trial");
//! assert_eq!(trial.transition.expect("it changed").to_string(), "open -> half_open: open long enough, trying");
//! assert_eq!(breaker.state(), State::HalfOpen);
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::Outcome;

mod permit;
mod policy;
mod transition;
mod window;

use permit::Trial;
pub use permit::{Admission, Permit, Refused};
pub use policy::{BreakerConfig, BreakerConfigError, BreakerPolicy};
pub use transition::{Cause, State, Transition};
pub use window::{Totals, Window};

/// A circuit breaker. Clones share one state.
///
/// While it is closed, [`admit`](Self::admit) is one atomic load and [`record`](Self::record) of a success three
/// and one addition. A lock is taken only to change the state and for trials.
#[derive(Clone)]
pub struct Breaker(Arc<Inner>);

struct Inner {
    policy: BreakerPolicy,
    origin: Instant,
    /// A [`Phase`]. Written only under the lock of `slow`.
    phase: AtomicU64,
    /// When an open breaker lets a trial through, in nanoseconds since `origin`.
    due: AtomicU64,
    /// Failures one after another.
    streak: AtomicU32,
    window: Window,
    slow: Mutex<Slow>,
}

/// What only matters while it is not closed.
struct Slow {
    /// Openings in a row.
    repetitions: u32,
    closed_since: Instant,
    trials: u32,
    succeeded: u32,
    last_trial: Instant,
}

/// The state, and a number that changes with every change of it: a result counts only in the phase its
/// request was admitted in.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Phase {
    state: State,
    generation: u64,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy, now: Instant) -> Self {
        Self(Arc::new(Inner {
            policy,
            origin: now,
            phase: AtomicU64::new(
                Phase {
                    state: State::Closed,
                    generation: 0,
                }
                .pack(),
            ),
            due: AtomicU64::new(0),
            streak: AtomicU32::new(0),
            window: Window::new(policy.config().window, now),
            slow: Mutex::new(Slow {
                repetitions: 0,
                closed_since: now,
                trials: 0,
                succeeded: 0,
                last_trial: now,
            }),
        }))
    }

    /// Its settings.
    pub fn policy(&self) -> &BreakerPolicy {
        &self.0.policy
    }

    /// Its state. One that has been open long enough is open until a request tries.
    pub fn state(&self) -> State {
        self.0.phase().state
    }

    /// When a trial may pass, if it is open.
    pub fn due(&self) -> Option<Instant> {
        (self.state() == State::Open).then(|| self.0.due_at())
    }

    /// Whether a request may pass.
    ///
    /// # Errors
    /// It is open, or half-open with all trials under way.
    pub fn admit(&self, now: Instant) -> Result<Admission, Refused> {
        let phase = self.0.phase();
        match phase.state {
            State::Closed => Ok(phase.admission()),
            State::Open => match self.0.open_left(now) {
                Some(retry_after) => Err(Refused {
                    state: State::Open,
                    retry_after,
                }),
                None => self.admit_trial(now),
            },
            State::HalfOpen => self.admit_trial(now),
        }
    }

    /// Tells how an admitted request ended; `now` is when it ended, not when it came. A refusal that the endpoint
    /// is not to blame for says nothing about it, and neither does the result of a request that was admitted
    /// before the last change.
    #[must_use = "a transition is told nowhere else"]
    pub fn record(&self, permit: Permit, outcome: Outcome, now: Instant) -> Option<Transition> {
        let failed = match outcome {
            Outcome::Success => false,
            outcome if outcome.counts_against_endpoint() => true,
            _ => return None,
        };
        match permit.trial {
            Some(trial) => trial.end(failed, now),
            None if failed => self.0.record_failure(permit.generation, now),
            None => {
                self.0.record_success(permit.generation, now);
                None
            }
        }
    }

    /// Opens it from outside: a health check failed, a test among its peers found it out.
    #[must_use = "a transition is told nowhere else"]
    pub fn trip(&self, now: Instant) -> Option<Transition> {
        let mut slow = self.0.lock();
        (self.state() != State::Open).then(|| self.0.open(&mut slow, Cause::Ordered, now))
    }

    /// Closes it from outside: a health check succeeded, or too many peers are open already. Former openings
    /// are forgotten.
    #[must_use = "a transition is told nowhere else"]
    pub fn reset(&self, now: Instant) -> Option<Transition> {
        let mut slow = self.0.lock();
        slow.repetitions = 0;
        (self.state() != State::Closed).then(|| self.0.close(&mut slow, Cause::Ordered, now))
    }

    fn admit_trial(&self, now: Instant) -> Result<Admission, Refused> {
        let inner = &self.0;
        let mut slow = inner.lock();
        let phase = inner.phase();
        let mut transition = None;
        match phase.state {
            // Another thread was quicker.
            State::Closed => return Ok(phase.admission()),
            State::Open => {
                if let Some(retry_after) = inner.open_left(now) {
                    return Err(Refused {
                        state: State::Open,
                        retry_after,
                    });
                }
                transition = Some(Transition::new(
                    State::Open,
                    State::HalfOpen,
                    Cause::OpenLongEnough,
                    None,
                ));
                inner.begin_round(&mut slow);
            }
            State::HalfOpen if slow.trials < inner.policy.config().half_open_requests => {}
            // Trials that do not end for so long (an endless stream, a lost permit) must not keep it half-open
            // for ever: others take their place, and their results no longer count.
            State::HalfOpen => {
                let waited = now.saturating_duration_since(slow.last_trial);
                let left = inner.policy.config().open_for.saturating_sub(waited);
                if !left.is_zero() {
                    return Err(Refused {
                        state: State::HalfOpen,
                        retry_after: left,
                    });
                }
                inner.begin_round(&mut slow);
            }
        }
        slow.trials += 1;
        slow.last_trial = now;
        let generation = inner.phase().generation;
        let trial = Trial::new(Arc::clone(inner), generation);
        Ok(Admission {
            permit: Permit {
                generation,
                trial: Some(trial),
            },
            transition,
        })
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("state", &self.state())
            .field("policy", &self.0.policy)
            .finish()
    }
}

impl Inner {
    fn phase(&self) -> Phase {
        Phase::unpack(self.phase.load(Ordering::Acquire))
    }

    // Nothing in here panics under the lock, and if it did the numbers would still be sound.
    fn lock(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due_at(&self) -> Instant {
        let due = Duration::from_nanos(self.due.load(Ordering::Acquire));
        self.origin.checked_add(due).unwrap_or(self.origin)
    }

    /// How long an open breaker stays so; `None` if it is time for a trial.
    fn open_left(&self, now: Instant) -> Option<Duration> {
        let since_origin = nanos(now.saturating_duration_since(self.origin));
        let left = self.due.load(Ordering::Acquire).saturating_sub(since_origin);
        (left > 0).then(|| Duration::from_nanos(left))
    }

    fn record_success(&self, generation: u64, now: Instant) {
        if self.phase()
            != (Phase {
                state: State::Closed,
                generation,
            })
        {
            return;
        }
        // Looked at before it is written: the line is shared by all threads and nearly always zero.
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
        }
        if self.policy.config().error_rate.is_some() {
            self.window.record(false, now);
        }
    }

    fn record_failure(&self, generation: u64, now: Instant) -> Option<Transition> {
        let admitted_in = Phase {
            state: State::Closed,
            generation,
        };
        if self.phase() != admitted_in {
            return None;
        }
        let streak = self.streak.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.window.record(true, now);
        let cause = if self.policy.is_streak_too_long(streak) {
            Cause::ConsecutiveFailures(streak)
        } else {
            let Totals { requests, failed } = self.window.totals(now);
            if !self.policy.is_rate_too_high(failed, requests) {
                return None;
            }
            Cause::ErrorRate { failed, requests }
        };
        let mut slow = self.lock();
        // Of several threads that saw too many failures one opens it.
        (self.phase() == admitted_in).then(|| self.open(&mut slow, cause, now))
    }

    fn open(&self, slow: &mut Slow, cause: Cause, now: Instant) -> Transition {
        let from = self.phase().state;
        if from == State::Closed {
            let closed_for = now.saturating_duration_since(slow.closed_since);
            let forgiven = nanos(closed_for) / nanos(self.policy.config().open_for).max(1);
            slow.repetitions = slow
                .repetitions
                .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        }
        slow.repetitions = slow.repetitions.saturating_add(1);
        let open_for = self.policy.open_for(slow.repetitions);
        let due = nanos(
            now.saturating_duration_since(self.origin)
                .saturating_add(open_for),
        );
        // Before the phase: who sees that it is open must see until when.
        self.due.store(due, Ordering::Release);
        self.enter(State::Open);
        Transition::new(from, State::Open, cause, Some(open_for))
    }

    fn close(&self, slow: &mut Slow, cause: Cause, now: Instant) -> Transition {
        let from = self.phase().state;
        slow.closed_since = now;
        self.streak.store(0, Ordering::Relaxed);
        self.window.clear();
        self.enter(State::Closed);
        Transition::new(from, State::Closed, cause, None)
    }

    fn begin_round(&self, slow: &mut Slow) {
        slow.trials = 0;
        slow.succeeded = 0;
        self.enter(State::HalfOpen);
    }

    /// Call with the lock held.
    fn enter(&self, state: State) {
        let generation = self.phase().generation.wrapping_add(1);
        self.phase
            .store(Phase { state, generation }.pack(), Ordering::Release);
    }
}

impl Phase {
    fn admission(self) -> Admission {
        Admission {
            permit: Permit {
                generation: self.generation,
                trial: None,
            },
            transition: None,
        }
    }

    fn pack(self) -> u64 {
        let state = match self.state {
            State::Closed => 0,
            State::Open => 1,
            State::HalfOpen => 2,
        };
        self.generation << 2 | state
    }

    fn unpack(packed: u64) -> Self {
        let state = match packed & 3 {
            0 => State::Closed,
            1 => State::Open,
            _ => State::HalfOpen,
        };
        Self {
            state,
            generation: packed >> 2,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
