//! `services[].outlierDetection`.

use std::time::Duration;

use super::defaults;
use super::shape::{Fields, boolean, duration, integer, percent};
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

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<OutlierDetection>> {
    let enabled = fields.or("enabled", boolean(), true);
    let failures = integer(1..=u32::MAX);
    Some(
        Some(OutlierDetection {
            consecutive_failures: fields.or(
                "consecutiveFailures",
                failures,
                defaults::OUTLIER_CONSECUTIVE_FAILURES,
            ),
            interval: fields.or("interval", duration(), defaults::OUTLIER_INTERVAL),
            base_ejection: fields.or("baseEjection", duration(), defaults::OUTLIER_BASE_EJECTION),
            max_ejection_percent: fields.or("maxEjectionPercent", percent(), defaults::OUTLIER_MAX_EJECTION),
        })
        .filter(|_| enabled),
    )
}
