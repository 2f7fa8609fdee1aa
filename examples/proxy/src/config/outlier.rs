//! `services[].outlierDetection`.

use std::time::Duration;

use super::share::Percent;

/// When an endpoint that fails is left out for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct OutlierDetection {
    /// After so many failures in a row. Default 5.
    pub consecutive_failures: u32,
    /// How often it is looked at. Default 10 s.
    pub interval: Duration,
    /// For how long the first time. Default 30 s.
    pub base_ejection: Duration,
    /// At most this share at once. Default 50 %.
    pub max_ejection_percent: Percent,
}
