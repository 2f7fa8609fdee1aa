//! `outlierDetection`, as the parts of it understand it.

use std::time::Duration;

use mesh_core::breaker::{BreakerConfig, BreakerConfigError, BreakerPolicy, Window};

use super::ejection::EjectionCap;
use super::success_rate::SuccessRateTest;

/// The longest ejection, unless the first one is longer already.
const MAX_EJECTION: Duration = Duration::from_secs(300);

/// When an endpoint that fails is left out for a while. The defaults are the contract's.
///
/// ```
/// use std::time::Duration;
/// use mesh_lb::outlier::OutlierConfig;
///
/// let config = OutlierConfig::default();
/// let policy = config.breaker()?;
/// assert_eq!(policy.config().consecutive_failures, Some(5));
/// assert_eq!(policy.open_for(1), Duration::from_secs(30));
/// assert_eq!(policy.open_for(2), Duration::from_secs(60));
/// assert_eq!(policy.open_for(99), Duration::from_secs(300));
/// assert_eq!(config.cap().limit(8), 4);
/// # Ok::<(), mesh_core::breaker::BreakerConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct OutlierConfig {
    /// After so many failures in a row. Default 5; `None`: they do not matter.
    pub consecutive_failures: Option<u32>,
    /// When at least this share of its requests in `interval` failed (above 0, at most 1), of at least
    /// `minimum_requests`. Default 0.5, as the contract's `circuitBreaker.errorRate`; `None`: it does not matter.
    pub error_rate: Option<f64>,
    /// The error rate of fewer requests says nothing. Default 20.
    pub minimum_requests: u32,
    /// How far back the error rate looks, and how often success rates are compared. Default 10 s; at least 10 ms, a
    /// shorter one is as long as that.
    pub interval: Duration,
    /// When it succeeds less often than its peers. Default [`SuccessRateTest::default`]; `None`: they are not
    /// compared.
    pub success_rate: Option<SuccessRateTest>,
    /// For how long the first time; the n-th time in a row n times as long, at most 300 s. Default 30 s.
    pub base_ejection: Duration,
    /// At most this share at once, in percent. Default 50.
    pub max_ejection_percent: f64,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            error_rate: Some(0.5),
            minimum_requests: 20,
            interval: Duration::from_secs(10),
            success_rate: Some(SuccessRateTest::default()),
            base_ejection: Duration::from_secs(30),
            max_ejection_percent: 50.0,
        }
    }
}

impl OutlierConfig {
    /// The breaker of one endpoint: open is ejected. One request at a time tries an endpoint whose ejection is over,
    /// and the first that succeeds brings it back. An ejection is forgiven for every `base_ejection` without another.
    ///
    /// # Errors
    /// A number is zero, the error rate is no share, or a duration is longer than 36500 days. The error calls
    /// `interval` and `base_ejection` by the breaker's names, `window` and `openFor`.
    pub fn breaker(&self) -> Result<BreakerPolicy, BreakerConfigError> {
        let mut config = BreakerConfig::default();
        config.consecutive_failures = self.consecutive_failures;
        config.error_rate = self.error_rate;
        config.minimum_requests = self.minimum_requests;
        config.window = self.looks_every();
        config.open_for = self.base_ejection;
        config.max_open_for = self.base_ejection.max(MAX_EJECTION);
        config.half_open_requests = 1;
        BreakerPolicy::try_from(config)
    }

    /// How often success rates are compared.
    pub(crate) fn looks_every(&self) -> Duration {
        self.interval.max(Window::MIN_LENGTH)
    }

    /// How many may be ejected at once.
    pub fn cap(&self) -> EjectionCap {
        EjectionCap::new(self.max_ejection_percent)
    }
}

#[cfg(test)]
mod tests {
    use mesh_core::breaker::State;
    use mesh_core::{Breaker, Outcome};
    use tokio::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn record(breaker: &Breaker, outcome: Outcome, now: Instant) {
        let admission = breaker.admit(now).expect("admitted");
        let _ = breaker.record(admission.permit, outcome, now);
    }

    #[test]
    fn an_endpoint_is_ejected_longer_each_time_in_a_row_and_forgiven_one_by_one() {
        let start = Instant::now();
        let breaker = Breaker::new(OutlierConfig::default().breaker().expect("good"), start);
        let eject = |now: Instant| {
            (0..5).for_each(|_| record(&breaker, Outcome::Failure, now));
            let due = breaker.due().expect("it is ejected");
            record(&breaker, Outcome::Success, due);
            assert_eq!(breaker.state(), State::Closed, "one success brings it back");
            (due - now, due)
        };
        let mut now = start;
        for expected in [30, 60, 90] {
            let (ejected_for, back) = eject(now);
            assert_eq!(ejected_for, expected * SECOND);
            now = back + SECOND;
        }
        // Three are remembered; after 60 s of peace, one.
        let (ejected_for, _) = eject(now + 60 * SECOND);
        assert_eq!(ejected_for, 60 * SECOND);
    }

    #[test]
    fn answers_that_blame_the_caller_and_pushed_back_requests_eject_nobody() {
        let start = Instant::now();
        let breaker = Breaker::new(OutlierConfig::default().breaker().expect("good"), start);
        for status in [400, 404, 429, 499] {
            let status = http::StatusCode::from_u16(status).expect("a status");
            (0..50).for_each(|_| record(&breaker, Outcome::of_status(status), start));
        }
        (0..50).for_each(|_| {
            record(
                &breaker,
                Outcome::Refused(mesh_core::ErrorKind::Overloaded),
                start,
            )
        });
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn without_an_error_rate_failures_do_not_eject_as_long_as_they_are_not_in_a_row() {
        let start = Instant::now();
        let config = OutlierConfig {
            error_rate: None,
            ..OutlierConfig::default()
        };
        let breaker = Breaker::new(config.breaker().expect("good"), start);
        for n in 0..1000 {
            let outcome = if n % 5 == 4 {
                Outcome::Success
            } else {
                Outcome::Failure
            };
            record(&breaker, outcome, start);
        }
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn a_long_first_ejection_may_exceed_the_longest() {
        let config = OutlierConfig {
            base_ejection: 1000 * SECOND,
            ..OutlierConfig::default()
        };
        let policy = config.breaker().expect("good");
        assert_eq!(
            (policy.open_for(1), policy.open_for(2)),
            (1000 * SECOND, 1000 * SECOND)
        );
    }

    #[test]
    fn an_interval_that_is_too_short_is_as_long_as_the_shortest() {
        let config = OutlierConfig {
            interval: Duration::from_millis(1),
            ..OutlierConfig::default()
        };
        let policy = config.breaker().expect("good");
        assert_eq!(policy.config().window, Duration::from_millis(10));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let config = OutlierConfig {
            base_ejection: Duration::ZERO,
            ..OutlierConfig::default()
        };
        assert_eq!(config.breaker().expect_err("no time").key(), "openFor");
    }
}
