//! When a new certificate is asked for: plain state.
//!
//! ```text
//! Serving ─► RenewDue ─► Requested ─► KeyReady ─► Issued ─► (installed) ─► Serving
//!               ▲            └───────────┴───────────┴─ failed ─┐
//!               └───────────────── after a while ◄──────────────┘
//! ```
//!
//! Beside that stands what the certificate in use is worth: good, tainted, not trusted, revoked, expired. Whatever it is,
//! it stays in use until a better one is there, and a better one is asked for until it is there.

use std::time::{Duration, SystemTime};

use mesh_core::Backoff;
use tokio::time::Instant;

use super::now::Now;
use super::status::{Standing, Step};

/// The longest sleep: the wall clock may be set, or the machine may have slept meanwhile.
const GLANCE: Duration = Duration::from_secs(10);
/// How far the two clocks may go apart between two looks before that is a jump.
const JUMP: Duration = Duration::from_secs(30);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The same at the end of a certificate's life, and after it.
const LONGEST_PAUSE_AT_THE_END: Duration = Duration::from_secs(30);
/// The end of its life is its last tenth, or the last day of one that is long.
const LONGEST_END: Duration = Duration::from_secs(86_400);
/// Over how long those spread who are told that the key of their CA may be known to others.
const SPREAD_TAINTED: Duration = Duration::from_secs(30);
/// The same for those whose certificate nobody believes any more.
const SPREAD_UNTRUSTED: Duration = Duration::from_secs(3);

/// What of a certificate decides when the next one is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lease {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// When it is to be renewed.
    pub(super) due: SystemTime,
    /// A number from 0 to 1 that belongs to it, and spreads those who learn the same at the same time.
    pub(super) share: f64,
}

impl Lease {
    fn is_at_its_end(&self, now: SystemTime) -> bool {
        let lifetime = self.not_after.duration_since(self.not_before).unwrap_or_default();
        let left = self.not_after.duration_since(now).unwrap_or_default();
        left < LONGEST_END.min(lifetime / 10)
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Input {
    /// Time went by.
    Time,
    /// The trust that is in force says this of the certificate in use.
    Trust(Standing),
    /// There is a new key, not used yet.
    KeyReady,
    /// A certificate came for it.
    Issued,
    /// It is in use, and the trust in force says this of it.
    Installed(Lease, Standing),
    /// A step failed; the authority may say how long to wait.
    Failed(Option<Duration>),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    MakeKey,
    Request,
    /// See whether the new certificate could serve, and let it.
    Install,
}

/// The life of the certificates of an identity.
#[derive(Debug)]
pub(super) struct Lifecycle {
    lease: Lease,
    /// What the trust in force says.
    standing: Standing,
    step: Step,
    /// When to ask, in [`Step::RenewDue`].
    ask_at: Instant,
    /// Since when a new certificate is wanted.
    wanted_since: Option<SystemTime>,
    backoff: Backoff,
    last: Now,
}

impl Lifecycle {
    pub(super) fn new(lease: Lease, standing: Standing, now: Now) -> Self {
        Self {
            lease,
            standing,
            step: Step::Serving,
            ask_at: now.steady,
            wanted_since: None,
            backoff: Backoff::new(Duration::from_secs(1), LONGEST_PAUSE),
            last: now,
        }
    }

    /// Takes in what happened, and says what to do.
    pub(super) fn on(&mut self, input: Input, now: Now, random: &mut fastrand::Rng) -> Option<Action> {
        match input {
            Input::Time => {}
            Input::Trust(standing) => {
                let is_news = standing != self.standing;
                self.standing = standing;
                if is_news && self.step == Step::RenewDue {
                    // Why it is wanted has changed, and with it how urgently.
                    self.ask_at = self.ask_at.min(now.steady + self.spread());
                }
            }
            Input::KeyReady if self.step == Step::Requested => {
                self.step = Step::KeyReady;
                return Some(Action::Request);
            }
            Input::Issued if self.step == Step::KeyReady => {
                self.step = Step::Issued;
                return Some(Action::Install);
            }
            Input::KeyReady | Input::Issued => {}
            Input::Installed(lease, standing) => {
                (self.lease, self.standing) = (lease, standing);
                self.step = Step::Serving;
                if self.is_wanting(now.wall) {
                    // It cures nothing, as one that a tainted CA has signed: asking again at once would not either.
                    self.pause(None, now, random);
                } else {
                    self.backoff.reset();
                    self.wanted_since = None;
                }
            }
            Input::Failed(retry_after) => self.pause(retry_after, now, random),
        }
        match self.step {
            Step::Serving if self.is_wanting(now.wall) => {
                self.step = Step::RenewDue;
                self.wanted_since = Some(now.wall);
                self.ask_at = now.steady + self.spread();
            }
            Step::RenewDue if !self.is_wanting(now.wall) => {
                self.step = Step::Serving;
                self.wanted_since = None;
                self.backoff.reset();
            }
            _ => {}
        }
        if self.step == Step::RenewDue && self.ask_at <= now.steady {
            self.step = Step::Requested;
            return Some(Action::MakeKey);
        }
        None
    }

    /// By how far the wall clock has jumped since the last look, if it has: it was set, or the machine has slept.
    pub(super) fn jumped(&mut self, now: Now) -> Option<Jump> {
        let last = std::mem::replace(&mut self.last, now);
        let expected = last.wall + now.steady.saturating_duration_since(last.steady);
        let (by, is_forth) = match now.wall.duration_since(expected) {
            Ok(by) => (by, true),
            Err(back) => (back.duration(), false),
        };
        (by > JUMP).then_some(Jump { by, is_forth })
    }

    /// How long there is nothing to do, if nothing happens.
    pub(super) fn rest(&self, now: Now) -> Duration {
        let rest = match self.step {
            Step::Serving => self.lease.due.duration_since(now.wall).unwrap_or_default(),
            Step::RenewDue => self.ask_at.saturating_duration_since(now.steady),
            Step::Requested | Step::KeyReady | Step::Issued => GLANCE,
        };
        rest.min(GLANCE)
    }

    /// What the certificate in use is worth.
    pub(super) fn standing(&self, wall: SystemTime) -> Standing {
        match self.standing {
            Standing::Revoked => Standing::Revoked,
            _ if wall > self.lease.not_after => Standing::Expired,
            // The one who said so may have looked before it was too late.
            Standing::Expired => Standing::Good,
            other => other,
        }
    }

    pub(super) fn step(&self) -> Step {
        self.step
    }

    pub(super) fn due(&self) -> SystemTime {
        self.lease.due
    }

    /// Since when a new certificate is wanted, if asking for it has failed.
    pub(super) fn overdue_since(&self) -> Option<SystemTime> {
        self.wanted_since.filter(|_| self.backoff.failures() > 0)
    }

    pub(super) fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// Whether it is time for an alarm: less is left than at any time while renewing works.
    pub(super) fn is_ending(&self, wall: SystemTime) -> bool {
        let lifetime = self
            .lease
            .not_after
            .duration_since(self.lease.not_before)
            .unwrap_or_default();
        let left = self.lease.not_after.duration_since(wall).unwrap_or_default();
        match lifetime < crate::rotation::SHORT_LIFETIME {
            true => left < lifetime / 4,
            false => left < crate::rotation::RENEW_BEFORE,
        }
    }

    fn is_wanting(&self, wall: SystemTime) -> bool {
        self.standing(wall) != Standing::Good
            || self.lease.due <= wall
            // One that has not begun was issued by a clock that was set back since: nobody believes it.
            || self.lease.not_before > wall
    }

    fn spread(&self) -> Duration {
        match self.standing {
            // When it is due differs already.
            Standing::Good | Standing::Expired => Duration::ZERO,
            Standing::Tainted => SPREAD_TAINTED.mul_f64(self.lease.share),
            Standing::Revoked | Standing::Untrusted => SPREAD_UNTRUSTED.mul_f64(self.lease.share),
        }
    }

    fn pause(&mut self, retry_after: Option<Duration>, now: Now, random: &mut fastrand::Rng) {
        let longest = match self.lease.is_at_its_end(now.wall) {
            true => LONGEST_PAUSE_AT_THE_END,
            false => LONGEST_PAUSE,
        };
        let ceiling = self.backoff.ceiling();
        let drawn = self.backoff.next(random);
        // Drawn from all of what is allowed, and not cut at its end, where everybody would meet.
        let drawn = drawn.mul_f64(longest.min(ceiling).as_secs_f64() / ceiling.as_secs_f64());
        let wait = match retry_after {
            Some(asked) => asked.min(longest) + drawn.min(asked / 4),
            None => drawn,
        };
        self.step = Step::RenewDue;
        self.wanted_since.get_or_insert(now.wall);
        self.ask_at = now.steady + wait;
    }
}

/// How the wall clock jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) by: Duration,
    pub(super) is_forth: bool,
}

#[cfg(test)]
mod tests;
