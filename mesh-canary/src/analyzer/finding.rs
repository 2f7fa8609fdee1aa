//! The numbers behind a verdict.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use mesh_core::ErrorKind;
use mesh_core::duration::about;
use mesh_core::metric::Refusals;

/// A number with its unit.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::Number;
///
/// assert_eq!(Number::Ratio(0.0525).to_string(), "5.25%");
/// assert_eq!(Number::Latency(Duration::from_millis(480)).to_string(), "480ms");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Number {
    /// A share, 0 to 1. Shown in percent.
    Ratio(f64),
    /// How long something took. Shown in milliseconds.
    Latency(Duration),
    /// How long it took at least: the true value lies above what can be counted.
    LatencyAtLeast(Duration),
    /// How many.
    Count(u64),
    /// A number without a unit: a score, the result of a query.
    Plain(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ratio(share) => write!(f, "{}%", rounded(share * 100.0, 1000.0)),
            Self::Latency(latency) => write!(f, "{}ms", milliseconds(latency)),
            Self::LatencyAtLeast(latency) => write!(f, "more than {}ms", milliseconds(latency)),
            Self::Count(count) => count.fmt(f),
            Self::Plain(number) => number.fmt(f),
        }
    }
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

fn milliseconds(latency: Duration) -> f64 {
    rounded(latency.as_secs_f64() * 1000.0, 10.0)
}

/// What a number should be.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Bound {
    /// No more than this.
    AtMost(Number),
    /// No less than this.
    AtLeast(Number),
    /// No more than another number that was measured at the same time, beyond what chance explains. No limit is written
    /// anywhere: it is the difference that was proven.
    NotAbove(Compared),
    /// What a condition says of an answer; the answer stands in [`Finding::what`].
    Condition(String),
}

/// What a number was compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Compared {
    /// So many times the stable version's ([`Finding::stable`]).
    Stable(f64),
    /// What the canary's share of the traffic makes of it.
    Share(Number),
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stable(1.0) => f.write_str("the stable version"),
            Self::Stable(times) => write!(f, "{times} times the stable version"),
            Self::Share(share) => write!(f, "its share of {share}"),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(number) => write!(f, "at most {number}"),
            Self::AtLeast(number) => write!(f, "at least {number}"),
            Self::NotAbove(other) => write!(f, "significantly more than {other}"),
            Self::Condition(condition) => f.write_str(condition),
        }
    }
}

/// One number that was looked at, beside what it should be.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::{Finding, Number};
///
/// let finding = Finding::at_most("error rate", Number::Ratio(0.06), Number::Ratio(0.05))
///     .beside_stable(Number::Ratio(0.001))
///     .seen(1200, Duration::from_secs(60));
/// assert_eq!(finding.to_string(), "error rate 6% (at most 5%, stable 0.1%, 1200 requests in 1m)");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at.
    pub what: Cow<'static, str>,
    /// The number; nothing if it could not be measured.
    pub measured: Option<Number>,
    /// What it was compared with.
    pub bound: Bound,
    /// The same of the stable version, for a human: whether the canary is alone with it.
    pub stable: Option<Number>,
    /// How many requests of the canary were looked at, and for how long.
    pub seen: Option<(u64, Duration)>,
    /// How many of the canary's errors were requests that were never sent, and why they were not.
    pub refusals: Refusals,
}

impl Finding {
    /// A number that must not be above another.
    pub fn at_most(
        what: impl Into<Cow<'static, str>>,
        measured: impl Into<Option<Number>>,
        most: Number,
    ) -> Self {
        Self::new(what.into(), measured.into(), Bound::AtMost(most))
    }

    /// A number that must not be below another.
    pub fn at_least(
        what: impl Into<Cow<'static, str>>,
        measured: impl Into<Option<Number>>,
        least: Number,
    ) -> Self {
        Self::new(what.into(), measured.into(), Bound::AtLeast(least))
    }

    /// A number that was proven to be above the stable version's, or so many times that, at the same time.
    ///
    /// ```
    /// use mesh_canary::{Finding, Number};
    ///
    /// let finding = Finding::above_stable("error rate", Number::Ratio(0.4), 1.0).beside_stable(Number::Ratio(0.0));
    /// assert_eq!(finding.to_string(), "error rate 40% (significantly more than the stable version, stable 0%)");
    /// ```
    pub fn above_stable(
        what: impl Into<Cow<'static, str>>,
        measured: impl Into<Option<Number>>,
        times: f64,
    ) -> Self {
        let other = Compared::Stable(times);
        Self::new(what.into(), measured.into(), Bound::NotAbove(other))
    }

    /// A number that was proven to be above what the canary's share of the traffic makes of it.
    pub fn above_share(
        what: impl Into<Cow<'static, str>>,
        measured: impl Into<Option<Number>>,
        share: Number,
    ) -> Self {
        let other = Compared::Share(share);
        Self::new(what.into(), measured.into(), Bound::NotAbove(other))
    }

    fn new(what: Cow<'static, str>, measured: Option<Number>, bound: Bound) -> Self {
        Self {
            what,
            measured,
            bound,
            stable: None,
            seen: None,
            refusals: Refusals::default(),
        }
    }

    /// With the same number of the stable version.
    #[must_use]
    pub fn beside_stable(mut self, number: impl Into<Option<Number>>) -> Self {
        self.stable = number.into();
        self
    }

    /// With how many requests of the canary were looked at, and for how long.
    #[must_use]
    pub fn seen(mut self, requests: u64, span: Duration) -> Self {
        self.seen = Some((requests, span));
        self
    }
}

impl Finding {
    /// With how many of the canary's errors were refusals.
    ///
    /// ```
    /// use mesh_canary::{Finding, Number};
    /// use mesh_core::metric::Refusals;
    ///
    /// let refusals = Refusals { circuit_open: 40, ..Refusals::default() };
    /// let finding = Finding::at_most("error rate", Number::Ratio(0.5), Number::Ratio(0.05)).refused(refusals);
    /// assert_eq!(finding.to_string(), "error rate 50% (at most 5%, 40 errors are circuit_open)");
    /// ```
    #[must_use]
    pub fn refused(mut self, refusals: Refusals) -> Self {
        self.refusals = refusals;
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.measured, &self.bound) {
            (Some(measured), _) => write!(f, "{} {measured}", self.what)?,
            (None, Bound::Condition(_)) => f.write_str(&self.what)?,
            (None, _) => write!(f, "{} not measured", self.what)?,
        }
        write!(f, " ({}", self.bound)?;
        if let Some(stable) = self.stable {
            write!(f, ", stable {stable}")?;
        }
        if let Some((requests, span)) = self.seen {
            write!(f, ", {requests} requests in {}", about(span))?;
        }
        let Refusals {
            circuit_open,
            no_healthy_endpoint,
        } = self.refusals;
        for (count, kind) in [
            (circuit_open, ErrorKind::CircuitOpen),
            (no_healthy_endpoint, ErrorKind::NoHealthyEndpoint),
        ] {
            if count > 0 {
                write!(f, ", {count} errors are {}", kind.code())?;
            }
        }
        f.write_str(")")
    }
}
