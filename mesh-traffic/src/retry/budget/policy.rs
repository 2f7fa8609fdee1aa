//! How many retries there may be.

use std::fmt;
use std::time::Duration;

use mesh_core::duration;

/// The settings of a budget, as numbers. A [`BudgetPolicy`] is made of it.
///
/// The defaults are those of Linkerd's service profiles and of the Gateway API's retry constraint (GEP-3388): a fifth of
/// the requests of the last ten seconds, and ten a second in any case.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BudgetConfig {
    /// So many retries to a hundred requests: 0 to 100. Default 20.
    pub percent: f64,
    /// So many a second in any case, for services with few requests: up to a million. Default 10.
    pub min_per_second: u32,
    /// How far back requests and retries are counted: 1 s to 1 h. Default 10 s.
    pub ttl: Duration,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            percent: 20.0,
            min_per_second: 10,
            ttl: Duration::from_secs(10),
        }
    }
}

/// How many retries there may be: settings that make sense.
///
/// ```
/// use mesh_traffic::retry::{BudgetConfig, BudgetPolicy};
///
/// let mut config = BudgetConfig::default();
/// config.percent = 10.0;
/// let policy = BudgetPolicy::try_from(config)?;
/// assert_eq!(policy.config().min_per_second, 10);
///
/// config.percent = 200.0;
/// let refused = BudgetPolicy::try_from(config).expect_err("more retries than requests");
/// assert_eq!(refused.to_string(), "percent of a retry budget is 200: expected 0 to 100");
/// # Ok::<(), mesh_traffic::retry::BudgetConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BudgetPolicy(BudgetConfig);

impl BudgetPolicy {
    /// Its settings.
    pub fn config(&self) -> &BudgetConfig {
        &self.0
    }

    /// How many of so many requests are its share.
    pub(super) fn share(&self, requests: u64) -> u64 {
        // Less than 2^53 in any case: a window counts no more.
        (requests as f64 * self.0.percent / 100.0).floor() as u64
    }

    /// How many there may be within `ttl` in any case.
    pub(super) fn reserve(&self) -> u64 {
        let nanos = self.0.ttl.as_nanos() * u128::from(self.0.min_per_second) / 1_000_000_000;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

impl TryFrom<BudgetConfig> for BudgetPolicy {
    type Error = BudgetConfigError;

    fn try_from(config: BudgetConfig) -> Result<Self, BudgetConfigError> {
        let BudgetConfig {
            percent,
            min_per_second,
            ttl,
        } = config;
        let refuse = |key, found, expected| Err(BudgetConfigError { key, found, expected });
        if !(0.0..=100.0).contains(&percent) {
            return refuse("percent", percent.to_string(), "0 to 100");
        }
        if min_per_second > 1_000_000 {
            return refuse("minPerSecond", min_per_second.to_string(), "0 to 1000000");
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&ttl) {
            return refuse("ttl", duration::display(ttl).to_string(), "1s to 1h");
        }
        Ok(Self(config))
    }
}

/// Why settings of a budget make no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetConfigError {
    key: &'static str,
    found: String,
    expected: &'static str,
}

impl fmt::Display for BudgetConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, found, expected } = self;
        write!(f, "{key} of a retry budget is {found}: expected {expected}")
    }
}

impl std::error::Error for BudgetConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_sense() {
        assert_eq!(
            BudgetPolicy::try_from(BudgetConfig::default()),
            Ok(BudgetPolicy::default())
        );
        assert_eq!(BudgetPolicy::default().share(14), 2);
        assert_eq!(BudgetPolicy::default().reserve(), 100);
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let refused = |change: &dyn Fn(&mut BudgetConfig)| {
            let mut config = BudgetConfig::default();
            change(&mut config);
            BudgetPolicy::try_from(config).expect_err("out of range").key
        };
        assert_eq!(refused(&|config| config.percent = -1.0), "percent");
        assert_eq!(refused(&|config| config.percent = f64::NAN), "percent");
        assert_eq!(
            refused(&|config| config.min_per_second = 1_000_001),
            "minPerSecond"
        );
        assert_eq!(refused(&|config| config.ttl = Duration::from_millis(999)), "ttl");
        assert_eq!(refused(&|config| config.ttl = Duration::MAX), "ttl");
    }
}
