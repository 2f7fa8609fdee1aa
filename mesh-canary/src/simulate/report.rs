//! What came of simulated rollouts.

use std::time::Duration;

use mesh_core::metric::Traffic;
use serde::{Deserialize, Serialize};

use crate::rollout::Rollout;

/// How a simulated rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The new version is the stable one.
    Promoted,
    /// The stable version has all traffic again.
    RolledBack,
    /// The scenario was over before.
    Undecided,
}

/// One simulated rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// How it ended.
    pub decision: Outcome,
    /// Why, with the figures.
    pub reason: String,
    /// When, in seconds.
    pub at_s: f64,
    /// The share of the new version at the end, in percent.
    pub weight: u8,
    /// Whatever was decided on the way.
    pub timeline: Vec<Line>,
    /// How many requests failed that would not have failed with the stable version.
    pub users_hurt: u64,
    /// What both versions did in the last stage; in an A/B run, while its split lasted.
    pub arms: Figures,
}

/// What both versions did in a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Figures {
    /// The stable version.
    pub stable: ArmFigures,
    /// The new version.
    pub canary: ArmFigures,
}

/// What a version did in a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArmFigures {
    /// How many requests it answered.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// The 95th percentile of response times, in milliseconds; nothing without requests.
    pub p95_ms: Option<f64>,
}

impl Figures {
    pub(super) fn of(rollout: &Rollout) -> Self {
        let seen = rollout.compared();
        let of = |arm: &Traffic| ArmFigures {
            requests: arm.requests,
            errors: arm.errors,
            p95_ms: arm.latency.quantile(0.95).map(|p95| p95.as_secs_f64() * 1000.0),
        };
        Self {
            stable: of(&seen.stable),
            canary: of(&seen.canary),
        }
    }
}

/// Something was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Line {
    /// When, in seconds.
    pub at_s: f64,
    /// Where the rollout is now ([`Phase::word`](crate::rollout::Phase::word)).
    pub state: String,
    /// The share of the new version, in percent.
    pub weight: u8,
    /// How many of its requests were seen in this stage.
    pub samples: u64,
    /// How strongly the evidence speaks against it, if the analyzer weighs it: an e-value.
    pub evidence: Option<f64>,
    /// What was decided, and why.
    pub event: String,
}

/// Many simulated rollouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// How many.
    pub runs: u64,
    /// So many were promoted.
    pub promoted: u64,
    /// So many were rolled back.
    pub rolled_back: u64,
    /// So many were not decided.
    pub undecided: u64,
    /// How long it took to roll back, in seconds since the new version became worse than the stable one.
    pub detection_s: Detection,
    /// How many requests failed that would not have failed with the stable version.
    pub users_hurt: Hurt,
}

/// How long it took to roll back; nothing if none was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Half of them took no longer.
    pub p50: Option<f64>,
    /// Nine of ten took no longer.
    pub p90: Option<f64>,
}

/// A mean over all runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hurt {
    /// The mean.
    pub mean: f64,
}

impl Summary {
    pub(super) fn of(reports: impl Iterator<Item = Report>, worse_from: Duration) -> Self {
        let worse_from = worse_from.as_secs_f64();
        let (mut runs, mut promoted, mut undecided, mut hurt) = (0_u64, 0_u64, 0_u64, 0_u64);
        let (mut rolled_back, mut took) = (0_u64, Vec::new());
        for report in reports {
            runs += 1;
            hurt = hurt.saturating_add(report.users_hurt);
            match report.decision {
                Outcome::Promoted => promoted += 1,
                Outcome::Undecided => undecided += 1,
                Outcome::RolledBack => {
                    rolled_back += 1;
                    // Who was rolled back before it was worse was not detected.
                    took.extend(Some(report.at_s - worse_from).filter(|took| *took >= 0.0));
                }
            }
        }
        took.sort_unstable_by(f64::total_cmp);
        let quantile = |q: f64| {
            let rank = (q * took.len() as f64).ceil() as usize;
            took.get(rank.saturating_sub(1)).copied()
        };
        Self {
            runs,
            promoted,
            rolled_back,
            undecided,
            detection_s: Detection {
                p50: quantile(0.5),
                p90: quantile(0.9),
            },
            users_hurt: Hurt {
                mean: if runs == 0 { 0.0 } else { hurt as f64 / runs as f64 },
            },
        }
    }
}
