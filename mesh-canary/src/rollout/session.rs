//! What a rollout knows that is not in its log, and finds out anew after a restart.

use std::time::{Duration, SystemTime};

use super::action::Question;

/// More than this between two inputs is a clock that jumped, or a process that did not run.
const LONGEST_STEP: Duration = Duration::from_secs(60);

/// How long endpoints are not given up after a restart. The first answer of a health check counts alone, since nothing is
/// known that it contradicts; three in a row, five seconds apart, are known by then.
const SETTLING: Duration = Duration::from_secs(20);

/// How far the shares that were ordered have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// The router is to be told.
    #[default]
    Due,
    /// It was told, and has not answered.
    Sent,
    /// It refused, and is told again after the next tick.
    Refused,
    /// They are in force.
    Confirmed,
}

/// How many endpoints take requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoints {
    pub(super) stable: usize,
    pub(super) canary: usize,
}

impl Endpoints {
    /// Whether requests that are split so would all find one.
    pub(super) fn bear(self, percent: u8) -> bool {
        (percent == 0 || self.canary > 0) && (percent == 100 || self.stable > 0)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    last: Option<SystemTime>,
    /// Since the rollout began, without the time in which nobody counted.
    pub(super) clock: Duration,
    pub(super) endpoints: Option<Endpoints>,
    pub(super) progress: Progress,
    pub(super) answered: Option<Question>,
    /// How strongly the evidence spoke against the canary, in the last verdict.
    pub(super) evidence: Option<f64>,
    /// How long it has been starting, without being paused.
    pub(super) starting: Duration,
    pub(super) rolling_back: Duration,
    /// How long ago it was read from its log; nothing if it was not, or if that is long enough for endpoints to be known.
    pub(super) settling: Option<Duration>,
    /// How long nothing could be measured.
    pub(super) outage: Option<Duration>,
    /// Why the router refused last.
    pub(super) refusal: Option<String>,
}

impl Session {
    /// A new one, for a rollout whose last record is from so long after its beginning.
    pub(super) fn at(clock: Duration) -> Self {
        Self {
            clock,
            ..Self::default()
        }
    }

    /// The same after a restart.
    pub(super) fn resumed(clock: Duration) -> Self {
        Self {
            settling: Some(Duration::ZERO),
            ..Self::at(clock)
        }
    }

    /// Time went by.
    pub(super) fn settle(&mut self, step: Duration) {
        let settling = self.settling.map(|so_far| so_far.saturating_add(step));
        self.settling = settling.filter(|so_far| *so_far < SETTLING);
    }

    /// The clock went on; by how much.
    pub(super) fn advance(&mut self, now: SystemTime) -> Duration {
        let last = self.last.replace(now).unwrap_or(now);
        let step = now.duration_since(last).unwrap_or_default();
        let step = if step > LONGEST_STEP { Duration::ZERO } else { step };
        self.clock = self.clock.saturating_add(step);
        step
    }

    /// What the clock would show.
    pub(super) fn clock_at(&self, now: SystemTime) -> Duration {
        let mut then = self.clone();
        then.advance(now);
        then.clock
    }
}
