//! Limits over a while: the `successCriteria` and `rollbackCriteria` of a configuration.

use std::fmt;
use std::time::Duration;

use mesh_core::duration::display;
use mesh_core::metric::Histogram;
use serde::{Deserialize, Serialize};

use super::observation::Observation;
use crate::analyzer::{Finding, Number};

/// A rate of errors, or a 95th percentile of response times, that must not be exceeded over a while.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::judge::Criteria;
///
/// let criteria = Criteria::over(Duration::from_secs(60))
///     .error_rate(0.05)
///     .response_time(Duration::from_secs(1))
///     .min_requests(50);
/// # let _ = criteria;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criteria {
    window: Duration,
    error_rate: Option<f64>,
    response_time: Option<Duration>,
    min_requests: Option<u64>,
}

impl Criteria {
    /// Nothing is limited yet; the last `window` is looked at.
    pub fn over(window: Duration) -> Self {
        Self {
            window,
            error_rate: None,
            response_time: None,
            min_requests: None,
        }
    }

    /// The highest share of errors, 0 to 1.
    #[must_use]
    pub fn error_rate(mut self, limit: f64) -> Self {
        self.error_rate = Some(limit);
        self
    }

    /// The longest 95th percentile of response times.
    #[must_use]
    pub fn response_time(mut self, limit: Duration) -> Self {
        self.response_time = Some(limit);
        self
    }

    /// How many requests of the canary are looked at, at least: with fewer, the window grows until there are
    /// as many. The default for a rollback is 20; for a success, as many as prove the error rate when none of
    /// them fails, with an error of 5 % (299 for a rate of 1 %), but at least 20.
    #[must_use]
    pub fn min_requests(mut self, requests: u64) -> Self {
        self.min_requests = Some(requests);
        self
    }

    pub(crate) fn error_rate_limit(&self) -> Option<f64> {
        self.error_rate
    }

    pub(crate) fn response_time_limit(&self) -> Option<Duration> {
        self.response_time
    }

    /// All that is wrong with these of a success and those of a rollback.
    pub(crate) fn problems(success: &Self, rollback: &Self) -> Vec<CriteriaError> {
        let mut problems = success.own_problems("successCriteria");
        problems.extend(rollback.own_problems("rollbackCriteria"));
        let above = |a: Option<f64>, b: Option<f64>| matches!((a, b), (Some(a), Some(b)) if a > b);
        if above(success.error_rate, rollback.error_rate) {
            problems.push(CriteriaError::new(
                "successCriteria.errorRate",
                success.error_rate.unwrap_or_default(),
                "at most rollbackCriteria.errorRate, or the same canary is good and bad",
            ));
        }
        let slower = |a: Option<Duration>, b: Option<Duration>| matches!((a, b), (Some(a), Some(b)) if a > b);
        if slower(success.response_time, rollback.response_time) {
            problems.push(CriteriaError::new(
                "successCriteria.responseTime",
                display(success.response_time.unwrap_or_default()),
                "at most rollbackCriteria.responseTime, or the same canary is good and bad",
            ));
        }
        problems
    }

    fn own_problems(&self, name: &'static str) -> Vec<CriteriaError> {
        let key = |key: &str| format!("{name}.{key}");
        let mut problems = Vec::new();
        if self.window.is_zero() {
            let expected = "a duration above zero, as \"5m\"";
            problems.push(CriteriaError::new(key("duration"), "0s", expected));
        }
        if let Some(rate) = self.error_rate.filter(|rate| !(0.0..=1.0).contains(rate)) {
            let expected = "a ratio between 0 and 1 (0.01 is 1%)";
            problems.push(CriteriaError::new(key("errorRate"), rate, expected));
        }
        if self.response_time.is_some_and(|limit| limit.is_zero()) {
            let expected = "a duration above zero, as \"500ms\"";
            problems.push(CriteriaError::new(key("responseTime"), "0s", expected));
        }
        if self.min_requests == Some(0) {
            let expected = "at least 1: no requests prove nothing";
            problems.push(CriteriaError::new(key("minimumRequests"), 0, expected));
        }
        if self.error_rate.is_none() && self.response_time.is_none() {
            let expected = "errorRate, responseTime or both";
            problems.push(CriteriaError::new(name, "without a limit", expected));
        }
        problems
    }
}

/// The fewest requests that have a 95th percentile.
pub(crate) const FEWEST: u64 = 20;

/// What is to be proven where no error is allowed at all, which no number of requests proves: 2 995 without one do this.
const RAREST: f64 = 0.001;

/// How many requests without an error make it unlikely (5 %) that the true rate is above `rate`.
pub(crate) fn proving(rate: f64) -> u64 {
    let rate = if rate > 0.0 { rate } else { RAREST };
    let requests = (0.05_f64.ln() / (-rate).ln_1p()).ceil();
    // The conversion saturates.
    (requests as u64).max(FEWEST)
}

/// [`Criteria`] that cannot be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    pub(super) window: Duration,
    pub(super) error_rate: Option<f64>,
    pub(super) response_time: Option<Duration>,
    pub(super) min_requests: u64,
}

/// How what was measured compares with the limits.
#[derive(Default)]
pub(super) struct Check {
    pub(super) kept: Vec<Finding>,
    pub(super) exceeded: Vec<Finding>,
    pub(super) unknown: Vec<Finding>,
}

impl Limits {
    /// The limits of a success and of a rollback, and how many requests each needs where the criteria say
    /// nothing.
    ///
    /// # Errors
    /// Criteria without a limit or without a window, a rate that is not a ratio, a limit or a number of requests
    /// of zero where that makes no sense, or a success that is also a rollback.
    pub(super) fn pair(
        success: Criteria,
        success_requests: u64,
        rollback: Criteria,
        rollback_requests: u64,
    ) -> Result<(Self, Self), CriteriaError> {
        match Criteria::problems(&success, &rollback).into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok((
                Self::of(success, success_requests),
                Self::of(rollback, rollback_requests),
            )),
        }
    }

    /// The limits of the mesh's documentation.
    pub(super) fn documented(success_requests: u64, rollback_requests: u64) -> (Self, Self) {
        let success = Self {
            window: Duration::from_secs(300),
            error_rate: Some(0.01),
            response_time: Some(Duration::from_millis(500)),
            min_requests: success_requests,
        };
        let rollback = Self {
            window: Duration::from_secs(60),
            error_rate: Some(0.05),
            response_time: Some(Duration::from_secs(1)),
            min_requests: rollback_requests,
        };
        (success, rollback)
    }

    fn of(criteria: Criteria, min_requests: u64) -> Self {
        Self {
            window: criteria.window,
            error_rate: criteria.error_rate,
            response_time: criteria.response_time,
            min_requests: criteria.min_requests.unwrap_or(min_requests),
        }
    }

    /// What is looked at; nothing yet.
    pub(super) fn observation(&self) -> Observation {
        Observation::over(self.window, self.min_requests)
    }

    pub(super) fn check(&self, observation: &Observation) -> Check {
        let (canary, stable) = (observation.canary(), observation.stable());
        let mut check = Check::default();
        let finding = |what, measured: Option<Number>, limit, stable: Option<Number>| {
            Finding::at_most(what, measured, limit)
                .beside_stable(stable)
                .seen(canary.requests(), observation.span())
        };
        if let Some(limit) = self.error_rate {
            let rate = canary.error_rate();
            let found = finding(
                "error rate",
                rate.map(Number::Ratio),
                Number::Ratio(limit),
                stable.error_rate().map(Number::Ratio),
            )
            .refused(canary.refusals());
            match rate {
                Some(rate) if rate > limit => check.exceeded.push(found),
                Some(_) => check.kept.push(found),
                None => check.unknown.push(found),
            }
        }
        if let Some(limit) = self.response_time {
            let measured = p95(&canary.latency());
            let found = finding(
                "P95 response time",
                measured,
                Number::Latency(limit),
                p95(&stable.latency()),
            );
            match measured {
                Some(Number::Latency(latency)) if latency <= limit => check.kept.push(found),
                Some(Number::LatencyAtLeast(edge)) if edge < limit => check.unknown.push(found),
                Some(_) => check.exceeded.push(found),
                None => check.unknown.push(found),
            }
        }
        check
    }
}

/// The 95th percentile, or the last edge of the histogram if it lies above that.
pub(super) fn p95(latency: &Histogram) -> Option<Number> {
    let p95 = latency.quantile(0.95)?;
    let last = *latency.edges().last()?;
    let beyond = latency.slower_than(last)?;
    let up_to_last = latency.count().saturating_sub(beyond) as f64;
    if up_to_last < 0.95 * latency.count() as f64 {
        Some(Number::LatencyAtLeast(last))
    } else {
        Some(Number::Latency(p95))
    }
}

/// Criteria that cannot be met or contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriteriaError {
    key: String,
    found: String,
    expected: &'static str,
}

impl CriteriaError {
    pub(crate) fn new(key: impl Into<String>, found: impl fmt::Display, expected: &'static str) -> Self {
        Self {
            key: key.into(),
            found: found.to_string(),
            expected,
        }
    }

    /// The key of the configuration that is wrong, as `successCriteria.errorRate`.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn found(&self) -> &str {
        &self.found
    }

    pub(crate) fn expected(&self) -> &str {
        self.expected
    }
}

impl fmt::Display for CriteriaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: expected {}", self.key, self.found, self.expected)
    }
}

impl std::error::Error for CriteriaError {}
