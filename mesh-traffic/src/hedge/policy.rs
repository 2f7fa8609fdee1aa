//! When a request is sent a second time.

use std::fmt;
use std::time::Duration;

use mesh_core::duration;

/// The settings of hedging, as numbers. A [`HedgePolicy`] is made of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct HedgeConfig {
    /// A request that takes longer than so many percent of the last ones is sent a second time: 50 to 99.99. So many of
    /// them get company as are slower, 5 % by default, as far as the budget goes. Default 95.
    pub percentile: f64,
    /// It is not sent a second time before so long: 0 to 1 min. Default 1 ms, as Finagle's.
    pub min_delay: Duration,
    /// How far back latencies are remembered, at most; half as far at least: 1 s to 1 h. Default 1 min.
    pub window: Duration,
    /// Of fewer latencies nothing is concluded: 1 to a million. Default 100.
    pub min_samples: u32,
    /// The longest body that is kept to be sent a second time, in bytes. Default 64 KiB.
    pub max_body: usize,
    /// Whether every request is idempotent, whatever its method. Default `false`: those that HTTP says are, and those that
    /// are [marked](crate::retry::Idempotent). One that asks for a tunnel never is.
    pub idempotent: bool,
}

impl Default for HedgeConfig {
    fn default() -> Self {
        Self {
            percentile: 95.0,
            min_delay: Duration::from_millis(1),
            window: Duration::from_secs(60),
            min_samples: 100,
            max_body: 64 * 1024,
            idempotent: false,
        }
    }
}

/// When a request is sent a second time: settings that make sense.
///
/// ```
/// use mesh_traffic::hedge::{HedgeConfig, HedgePolicy};
///
/// let mut config = HedgeConfig::default();
/// config.percentile = 99.0;
/// assert!(HedgePolicy::try_from(config).is_ok());
///
/// config.percentile = 10.0;
/// let refused = HedgePolicy::try_from(config).expect_err("most requests would be sent twice");
/// assert_eq!(refused.to_string(), "percentile of hedging is 10: expected 50 to 99.99");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HedgePolicy(HedgeConfig);

impl HedgePolicy {
    /// Its settings.
    pub fn config(&self) -> &HedgeConfig {
        &self.0
    }
}

impl TryFrom<HedgeConfig> for HedgePolicy {
    type Error = HedgeConfigError;

    fn try_from(config: HedgeConfig) -> Result<Self, HedgeConfigError> {
        let refuse = |key, found, expected| Err(HedgeConfigError { key, found, expected });
        let span = |time| duration::display(time).to_string();
        if !(50.0..=99.99).contains(&config.percentile) {
            return refuse("percentile", config.percentile.to_string(), "50 to 99.99");
        }
        if config.min_delay > Duration::from_secs(60) {
            return refuse("minDelay", span(config.min_delay), "0 to 1m");
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&config.window) {
            return refuse("window", span(config.window), "1s to 1h");
        }
        if !(1..=1_000_000).contains(&config.min_samples) {
            return refuse("minSamples", config.min_samples.to_string(), "1 to 1000000");
        }
        Ok(Self(config))
    }
}

/// Why settings of hedging make no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HedgeConfigError {
    key: &'static str,
    found: String,
    expected: &'static str,
}

impl fmt::Display for HedgeConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, found, expected } = self;
        write!(f, "{key} of hedging is {found}: expected {expected}")
    }
}

impl std::error::Error for HedgeConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_sense() {
        assert_eq!(
            HedgePolicy::try_from(HedgeConfig::default()),
            Ok(HedgePolicy::default())
        );
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let refused = |change: &dyn Fn(&mut HedgeConfig)| {
            let mut config = HedgeConfig::default();
            change(&mut config);
            HedgePolicy::try_from(config).expect_err("out of range").key
        };
        assert_eq!(refused(&|config| config.percentile = 100.0), "percentile");
        assert_eq!(refused(&|config| config.percentile = f64::NAN), "percentile");
        assert_eq!(refused(&|config| config.min_delay = Duration::MAX), "minDelay");
        assert_eq!(refused(&|config| config.window = Duration::ZERO), "window");
        assert_eq!(refused(&|config| config.min_samples = 0), "minSamples");
    }
}
