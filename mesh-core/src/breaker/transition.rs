//! What a breaker can be, how it changes, and why.

use std::fmt;
use std::time::Duration;

use crate::duration::display;

/// Whether a breaker lets requests through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// All pass.
    Closed,
    /// None passes.
    Open,
    /// A few pass, to try.
    HalfOpen,
}

impl State {
    /// `closed`, `open` or `half_open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a breaker changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// So many requests failed one after another.
    ConsecutiveFailures(u32),
    /// So many of the requests in the window failed.
    ErrorRate {
        /// How many failed.
        failed: u64,
        /// Of how many.
        requests: u64,
    },
    /// It had been open long enough.
    OpenLongEnough,
    /// A trial failed.
    TrialFailed,
    /// So many trials succeeded.
    TrialsSucceeded(u32),
    /// Its owner said so: [`trip`](super::Breaker::trip) or [`reset`](super::Breaker::reset).
    Ordered,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures(count) => write!(f, "{count} consecutive failures"),
            Self::ErrorRate { failed, requests } => write!(f, "{failed} of {requests} requests failed"),
            Self::OpenLongEnough => f.write_str("open long enough, trying"),
            Self::TrialFailed => f.write_str("a trial failed"),
            Self::TrialsSucceeded(count) => write!(f, "{count} trials succeeded"),
            Self::Ordered => f.write_str("ordered"),
        }
    }
}

/// A change of a breaker's state: for a log line, an event, a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// How long it stays open at least, if it opened.
    pub open_for: Option<Duration>,
}

impl Transition {
    pub(super) const fn new(from: State, to: State, cause: Cause, open_for: Option<Duration>) -> Self {
        Self {
            from,
            to,
            cause,
            open_for,
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}: {}", self.from, self.to, self.cause)?;
        match self.open_for {
            Some(open_for) => write!(f, ", open for {}", display(open_for)),
            None => Ok(()),
        }
    }
}
