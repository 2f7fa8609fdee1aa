//! Fixed limits: the `successCriteria` and `rollbackCriteria` of a configuration.

use std::fmt;
use std::time::Duration;

use mesh_core::duration::display;
use mesh_core::metric::{Histogram, Traffic};

use crate::analyzer::{CanaryAnalyzer, Doubt, Evidence, Finding, Number, Reason, Verdict, Window};

mod observation;

use observation::Observation;

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
#[derive(Clone, Copy, Debug, PartialEq)]
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
}

/// The fewest requests that have a 95th percentile.
const FEWEST: u64 = 20;

/// How many requests without an error make it unlikely (5 %) that the true rate is above `rate`.
fn proving(rate: f64) -> u64 {
    let requests = (0.05_f64.ln() / (-rate).ln_1p()).ceil();
    // The conversion saturates, and makes 0 of "not a number".
    (requests as u64).max(FEWEST)
}

/// Judges by fixed limits.
///
/// 1. **Rollback** if the canary exceeds a limit of the rollback criteria over their window.
/// 2. **Promote** if it keeps every limit of the success criteria over their window. All of that window lies in
///    the present stage.
/// 3. **Inconclusive** if it does neither, once the window of the success criteria is full.
/// 4. **Continue** until then.
///
/// "Exceeds" is strict: an error rate of exactly 5 % does not exceed 5 %. A window is the newest stretch of
/// evidence that is as long as the criteria say *and* holds their least number of requests; it does not count
/// while the canary gets no requests at all. No requests are never a success.
///
/// The default has the limits of the mesh's documentation: success with at most 1 % errors and a P95 of at most
/// 500 ms over 5 minutes, rollback above 5 % or above 1 s over 1 minute.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::judge::{Criteria, Threshold};
///
/// let s = Duration::from_secs;
/// let judge = Threshold::new(
///     Criteria::over(s(300)).error_rate(0.01).response_time(Duration::from_millis(500)),
///     Criteria::over(s(60)).error_rate(0.05).response_time(s(1)),
/// )?;
/// assert_eq!(judge, Threshold::default());
///
/// let error = Threshold::new(Criteria::over(s(300)).error_rate(1.5), Criteria::over(s(60)).error_rate(0.05));
/// assert_eq!(
///     error.expect_err("a percentage").to_string(),
///     "successCriteria.errorRate is 1.5: expected a ratio between 0 and 1 (0.01 is 1%)",
/// );
/// # Ok::<(), mesh_canary::judge::threshold::CriteriaError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    success: Limits,
    rollback: Limits,
}

/// [`Criteria`] that cannot be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limits {
    window: Duration,
    error_rate: Option<f64>,
    response_time: Option<Duration>,
    min_requests: u64,
}

impl Threshold {
    /// Judges by these criteria.
    ///
    /// # Errors
    /// Criteria without a limit or without a window, a rate that is not a ratio, a limit or a number of requests
    /// of zero where that makes no sense, or a success that is also a rollback.
    pub fn new(success: Criteria, rollback: Criteria) -> Result<Self, CriteriaError> {
        let proof = success.error_rate.map_or(FEWEST, proving);
        let success = Limits::of(success, "successCriteria", proof)?;
        let rollback = Limits::of(rollback, "rollbackCriteria", FEWEST)?;
        let above = |a: Option<f64>, b: Option<f64>| matches!((a, b), (Some(a), Some(b)) if a > b);
        if above(success.error_rate, rollback.error_rate) {
            return Err(CriteriaError::new(
                "successCriteria.errorRate",
                success.error_rate.unwrap_or_default(),
                "at most rollbackCriteria.errorRate, or the same canary is good and bad",
            ));
        }
        let slower = |a: Option<Duration>, b: Option<Duration>| matches!((a, b), (Some(a), Some(b)) if a > b);
        if slower(success.response_time, rollback.response_time) {
            return Err(CriteriaError::new(
                "successCriteria.responseTime",
                display(success.response_time.unwrap_or_default()),
                "at most rollbackCriteria.responseTime, or the same canary is good and bad",
            ));
        }
        Ok(Self { success, rollback })
    }
}

impl Default for Threshold {
    fn default() -> Self {
        Self {
            success: Limits {
                window: Duration::from_secs(300),
                error_rate: Some(0.01),
                response_time: Some(Duration::from_millis(500)),
                min_requests: proving(0.01),
            },
            rollback: Limits {
                window: Duration::from_secs(60),
                error_rate: Some(0.05),
                response_time: Some(Duration::from_secs(1)),
                min_requests: FEWEST,
            },
        }
    }
}

impl CanaryAnalyzer for Threshold {
    fn judge(&self, evidence: &Evidence) -> Verdict {
        let recent = self.rollback.observe(evidence.windows());
        if recent.is_enough() {
            let exceeded = self.rollback.check(&recent).exceeded;
            if !exceeded.is_empty() {
                return Verdict::Rollback(Reason::new(exceeded));
            }
        }
        let stage = self.success.observe(evidence.stage_windows());
        if !stage.is_enough() {
            return Verdict::Continue(stage.what_is_missing());
        }
        let check = self.success.check(&stage);
        if !check.exceeded.is_empty() {
            let findings = check.exceeded.into_iter().chain(check.unknown);
            Verdict::Inconclusive(Doubt::Between, Reason::new(findings))
        } else if !check.unknown.is_empty() {
            Verdict::Inconclusive(Doubt::NotMeasured, Reason::new(check.unknown))
        } else {
            Verdict::Promote(Reason::new(check.kept))
        }
    }
}

/// How what was measured compares with the limits.
#[derive(Default)]
struct Check {
    kept: Vec<Finding>,
    exceeded: Vec<Finding>,
    unknown: Vec<Finding>,
}

impl Limits {
    fn of(criteria: Criteria, name: &'static str, min_requests: u64) -> Result<Self, CriteriaError> {
        let key = |key: &str| format!("{name}.{key}");
        if criteria.window.is_zero() {
            return Err(CriteriaError::new(
                key("duration"),
                "0s",
                "a duration above zero, as \"5m\"",
            ));
        }
        if let Some(rate) = criteria.error_rate.filter(|rate| !(0.0..=1.0).contains(rate)) {
            return Err(CriteriaError::new(
                key("errorRate"),
                rate,
                "a ratio between 0 and 1 (0.01 is 1%)",
            ));
        }
        if criteria.response_time.is_some_and(|limit| limit.is_zero()) {
            return Err(CriteriaError::new(
                key("responseTime"),
                "0s",
                "a duration above zero, as \"500ms\"",
            ));
        }
        if criteria.min_requests == Some(0) {
            return Err(CriteriaError::new(
                key("minimumRequests"),
                0,
                "at least 1: no requests prove nothing",
            ));
        }
        if criteria.error_rate.is_none() && criteria.response_time.is_none() {
            return Err(CriteriaError::new(
                name,
                "without a limit",
                "errorRate, responseTime or both",
            ));
        }
        Ok(Self {
            window: criteria.window,
            error_rate: criteria.error_rate,
            response_time: criteria.response_time,
            min_requests: criteria.min_requests.unwrap_or(min_requests),
        })
    }

    fn observe(&self, windows: &[Window]) -> Observation {
        Observation::newest(windows, self.window, self.min_requests)
    }

    fn check(&self, observation: &Observation) -> Check {
        let seen = &observation.seen;
        let mut check = Check::default();
        let finding = |what, measured: Option<Number>, limit, stable: Option<Number>| {
            Finding::at_most(what, measured, limit)
                .beside_stable(stable)
                .seen(seen.canary.requests, seen.span)
        };
        if let Some(limit) = self.error_rate {
            let ratio = |traffic: &Traffic| traffic.error_rate().map(Number::Ratio);
            let found = finding(
                "error rate",
                ratio(&seen.canary),
                Number::Ratio(limit),
                ratio(&seen.stable),
            );
            match seen.canary.error_rate() {
                Some(rate) if rate > limit => check.exceeded.push(found),
                Some(_) => check.kept.push(found),
                None => check.unknown.push(found),
            }
        }
        if let Some(limit) = self.response_time {
            let canary = p95(&seen.canary.latency);
            let found = finding(
                "P95 response time",
                canary,
                Number::Latency(limit),
                p95(&seen.stable.latency),
            );
            match canary {
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
fn p95(latency: &Histogram) -> Option<Number> {
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
    fn new(key: impl Into<String>, found: impl fmt::Display, expected: &'static str) -> Self {
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
}

impl fmt::Display for CriteriaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: expected {}", self.key, self.found, self.expected)
    }
}

impl std::error::Error for CriteriaError {}

#[cfg(test)]
mod tests;
