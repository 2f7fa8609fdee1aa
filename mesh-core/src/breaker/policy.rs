//! When a breaker opens and for how long.

use std::fmt;
use std::time::Duration;

use super::window::Window;
use crate::duration::MAX;

/// The settings of a breaker, as they are written. Becomes a [`BreakerPolicy`] if they make sense.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::breaker::{BreakerConfig, BreakerPolicy};
///
/// let mut config = BreakerConfig::default();
/// config.open_for = Duration::from_secs(5);
/// config.max_open_for = Duration::from_secs(60); // 5 s, 10 s, 15 s … with each opening in a row
/// let policy = BreakerPolicy::try_from(config)?;
/// assert_eq!(policy.open_for(3), Duration::from_secs(15));
///
/// let mut config = BreakerConfig::default();
/// config.error_rate = Some(50.0);
/// let error = BreakerPolicy::try_from(config).expect_err("not a ratio");
/// assert_eq!(error.to_string(), "errorRate is 50: expected a ratio above 0 and at most 1, as 0.5 for half of the requests");
/// # Ok::<(), mesh_core::breaker::BreakerConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// Opens after so many failures one after another. Default 5; `None` looks at the error rate alone.
    pub consecutive_failures: Option<u32>,
    /// Opens when at least this share of the requests in the window failed: above 0, at most 1. Default 0.5;
    /// `None` looks at consecutive failures alone.
    pub error_rate: Option<f64>,
    /// The error rate of fewer requests than this says nothing. Default 20.
    pub minimum_requests: u32,
    /// How far back the error rate looks. Default 10 s; at least 10 ms.
    pub window: Duration,
    /// How long it stays open the first time. Default 30 s.
    pub open_for: Duration,
    /// The n-th opening in a row lasts n times `open_for`, at most this. Every `open_for` it then stays closed
    /// forgives one of them. Default 30 s: no growth.
    pub max_open_for: Duration,
    /// How many requests are tried at once after that, and how many must succeed before it closes. Default 3.
    pub half_open_requests: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: Some(5),
            error_rate: Some(0.5),
            minimum_requests: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(30),
            max_open_for: Duration::from_secs(30),
            half_open_requests: 3,
        }
    }
}

/// Settings that make sense. [`Default`] is [`BreakerConfig::default`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BreakerPolicy(BreakerConfig);

impl BreakerPolicy {
    /// How long the `repetition`-th opening in a row lasts; the first is 1.
    pub fn open_for(&self, repetition: u32) -> Duration {
        self.0
            .open_for
            .saturating_mul(repetition.max(1))
            .min(self.0.max_open_for)
    }

    /// The settings it was made of.
    pub fn config(&self) -> &BreakerConfig {
        &self.0
    }

    /// Whether so many failures, one after another, are too many.
    pub(super) fn is_streak_too_long(&self, streak: u32) -> bool {
        self.0.consecutive_failures.is_some_and(|limit| streak >= limit)
    }

    /// Whether so many failures of so many requests are too many.
    pub(super) fn is_rate_too_high(&self, failed: u64, requests: u64) -> bool {
        let enough = requests >= u64::from(self.0.minimum_requests);
        enough
            && self
                .0
                .error_rate
                .is_some_and(|rate| failed as f64 >= rate * requests as f64)
    }
}

impl TryFrom<BreakerConfig> for BreakerPolicy {
    type Error = BreakerConfigError;

    fn try_from(config: BreakerConfig) -> Result<Self, BreakerConfigError> {
        let refuse = |key, found: String, expected| Err(BreakerConfigError { key, found, expected });
        let span = |d: Duration| crate::duration::display(d).to_string();
        if config.consecutive_failures == Some(0) {
            return refuse("consecutiveFailures", "0".into(), "at least 1");
        }
        if let Some(rate) = config.error_rate
            && !(rate > 0.0 && rate <= 1.0)
        {
            let expected = "a ratio above 0 and at most 1, as 0.5 for half of the requests";
            return refuse("errorRate", rate.to_string(), expected);
        }
        if config.minimum_requests == 0 {
            return refuse("minimumRequests", "0".into(), "at least 1");
        }
        if config.window < Window::MIN_LENGTH || config.window > MAX {
            return refuse("window", span(config.window), "10ms to 36500d");
        }
        if config.open_for.is_zero() || config.open_for > MAX {
            return refuse("openFor", span(config.open_for), "more than 0 and at most 36500d");
        }
        if config.max_open_for < config.open_for || config.max_open_for > MAX {
            return refuse(
                "maxOpenFor",
                span(config.max_open_for),
                "at least openFor and at most 36500d",
            );
        }
        if config.half_open_requests == 0 {
            return refuse("halfOpenRequests", "0".into(), "at least 1");
        }
        Ok(Self(config))
    }
}

/// A setting of a breaker that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerConfigError {
    key: &'static str,
    found: String,
    expected: &'static str,
}

impl BreakerConfigError {
    /// The key, as the configuration names it.
    pub fn key(&self) -> &'static str {
        self.key
    }
}

impl fmt::Display for BreakerConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: expected {}", self.key, self.found, self.expected)
    }
}

impl std::error::Error for BreakerConfigError {}
