//! How both versions of a rollout compare, as it is shown.

use mesh_canary::analyzer::{Interval, Observed};
use mesh_canary::rollout::Rollout;
use mesh_core::metric::Traffic;
use serde::Serialize;
use utoipa::ToSchema;

/// How both versions compare in this stage, or in an A/B run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownContrast {
    /// The new version's share of errors less the stable one's (0.01 is one percent more); nothing before both were asked.
    pub error_rate: Option<Bounded>,
    /// How many times as often the new version fails: of users, by their first failure, where they stay with their version;
    /// else of requests. Nothing before anything failed.
    pub ratio: Option<Bounded>,
    /// The new version's 95th percentile of response times less the stable one's, in milliseconds.
    pub response_time_p95: Option<f64>,
    /// How strongly it speaks for a new version that fails more often: chance alone takes it above x in at most one of x
    /// runs.
    pub worse: f64,
    /// The same for one that fails less often.
    pub better: f64,
    /// The same in words.
    #[schema(
        example = "error rate -0.4 points (-0.512 to -0.289); evidence 0.0 that it is worse, 8124.1 that it is better"
    )]
    pub text: String,
}

/// A number, and what it lies between in 19 of 20 runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Bounded {
    /// As it was seen; nothing if it is beyond all bounds.
    pub seen: Option<f64>,
    /// The least that it can be; nothing if there is no least.
    pub low: Option<f64>,
    /// The most that it can be; nothing if there is no most.
    pub high: Option<f64>,
}

impl ShownContrast {
    pub(super) fn of(rollout: &Rollout, seen: &Observed) -> Self {
        let contrast = rollout.contrast();
        let p95 = |arm: &Traffic| arm.latency.quantile(0.95).map(|p95| p95.as_secs_f64() * 1000.0);
        Self {
            error_rate: contrast.error_rate.map(Bounded::of),
            ratio: contrast.ratio.map(Bounded::of),
            response_time_p95: p95(&seen.canary)
                .zip(p95(&seen.stable))
                .map(|(new, old)| new - old),
            worse: contrast.worse,
            better: contrast.better,
            text: contrast.to_string(),
        }
    }
}

impl Bounded {
    fn of(interval: Interval) -> Self {
        let finite = |number: f64| Some(number).filter(|number| number.is_finite());
        Self {
            seen: finite(interval.seen),
            low: finite(interval.low),
            high: finite(interval.high),
        }
    }
}
