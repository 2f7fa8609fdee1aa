//! Where a rollout is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::analyzer::Doubt;

/// Where a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It goes on.
    Running(Step),
    /// It waits for somebody. What guards the traffic is still in force.
    Paused {
        /// Why.
        reason: PauseReason,
        /// Where it goes on.
        during: Step,
    },
    /// The new version is to get no traffic any more.
    RollingBack,
    /// It is over.
    Ended(End),
}

/// What a rollout that goes on is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The new version has no endpoint yet and no traffic.
    Starting,
    /// A stage is looked at.
    Analyzing,
    /// The stage went well; somebody has to promote it.
    AwaitingPromotion,
    /// The new version has all traffic and is not yet the stable one.
    Baking,
}

/// Why a rollout waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PauseReason {
    /// Somebody said so.
    Manual,
    /// The numbers are neither good nor bad.
    Inconclusive,
    /// There is nothing to judge by. It goes on by itself once there is.
    MetricsUnavailable,
    /// The stable version ails too, or is not there.
    BaselineUnhealthy,
    /// The traffic was not split as it was to be.
    SplitMismatch,
    /// The canary is bad, and only a human may roll it back.
    Alarm,
    /// It took so long that no more evidence is kept.
    EvidenceFull,
}

impl From<Doubt> for PauseReason {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Between | Doubt::NotMeasured => Self::Inconclusive,
            Doubt::BaselineUnhealthy => Self::BaselineUnhealthy,
            Doubt::SplitMismatch => Self::SplitMismatch,
        }
    }
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manual => "somebody paused it",
            Self::Inconclusive => "the numbers are neither good nor bad",
            Self::MetricsUnavailable => "there is nothing to judge by",
            Self::BaselineUnhealthy => "the stable version ails",
            Self::SplitMismatch => "the traffic is not split as it was to be",
            Self::Alarm => "the canary is bad, and autoRollback is off",
            Self::EvidenceFull => "it took so long that no more evidence is kept",
        })
    }
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The new version is the stable one.
    Succeeded,
    /// The stable version has all traffic again.
    RolledBack,
    /// It should have been rolled back and could not: somebody has to look at once.
    Halted,
    /// A newer version takes its place; the stable version has all traffic.
    Superseded,
}

impl Phase {
    /// One word for a machine: `starting`, `analyzing`, `awaiting_promotion`, `baking`, `paused`, `rolling_back`,
    /// `succeeded`, `rolled_back`, `halted` or `superseded`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Running(Step::Starting) => "starting",
            Self::Running(Step::Analyzing) => "analyzing",
            Self::Running(Step::AwaitingPromotion) => "awaiting_promotion",
            Self::Running(Step::Baking) => "baking",
            Self::Paused { .. } => "paused",
            Self::RollingBack => "rolling_back",
            Self::Ended(End::Succeeded) => "succeeded",
            Self::Ended(End::RolledBack) => "rolled_back",
            Self::Ended(End::Halted) => "halted",
            Self::Ended(End::Superseded) => "superseded",
        }
    }

    /// The word of the metric `canary_deployment_status`: `pending`, `progressing`, `paused` (it waits for somebody),
    /// `success`, `failed` or `rolled_back`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Running(Step::Starting) => "pending",
            Self::Running(Step::Analyzing | Step::Baking) | Self::RollingBack => "progressing",
            Self::Running(Step::AwaitingPromotion) | Self::Paused { .. } => "paused",
            Self::Ended(End::Succeeded) => "success",
            Self::Ended(End::Halted) => "failed",
            Self::Ended(End::RolledBack | End::Superseded) => "rolled_back",
        }
    }

    /// Whether nothing can happen to it any more.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }

    /// What it does, or did before it was paused.
    pub(super) fn step(&self) -> Option<Step> {
        match *self {
            Self::Running(step) | Self::Paused { during: step, .. } => Some(step),
            Self::RollingBack | Self::Ended(_) => None,
        }
    }
}
