//! How a rollout is to go: its stages, what ends each, and what happens then.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::duration::display;
use serde::{Deserialize, Serialize};

use crate::analyzer::CanaryAnalyzer;
use crate::judge::{Criteria, FEWEST, Sequential, Threshold, WithTemplates, proving};

mod builder;
mod problem;

pub use builder::PlanBuilder;
pub use problem::{PlanError, PlanProblem};

/// A step of a rollout: so much traffic for the new version, for so long at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanStage {
    /// The share of the traffic, in percent.
    pub weight: u8,
    /// How long it is looked at, at least; the last stage has none.
    pub duration: Option<Duration>,
}

impl PlanStage {
    /// `weight` percent for at least `duration`.
    pub fn new(weight: u8, duration: Duration) -> Self {
        Self {
            weight,
            duration: Some(duration),
        }
    }

    /// Everything: the last stage.
    pub fn full() -> Self {
        Self {
            weight: 100,
            duration: None,
        }
    }
}

/// Which of the mesh's analyzers judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// [`Sequential`]: compares with the stable version at the same time.
    #[default]
    Sequential,
    /// [`Threshold`]: compares with fixed limits.
    Threshold,
}

/// How a rollout is to go. Whoever has one knows that nothing is wrong with it.
///
/// The default is the documented process: 5 % and 10 % of the traffic for 5 minutes each, 20 % and 50 % for 10 minutes
/// each, then everything. Each stage waits for somebody to promote it, and a bad canary is rolled back by itself.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::plan::{Plan, PlanStage};
///
/// let plan = Plan::default();
/// assert_eq!(plan.stages().iter().map(|stage| stage.weight).collect::<Vec<_>>(), [5, 10, 20, 50, 100]);
/// assert_eq!(plan.length(), Duration::from_secs(30 * 60));
/// assert!(!plan.auto_promote() && plan.auto_rollback());
///
/// let error = Plan::builder()
///     .stages([PlanStage::new(20, Duration::ZERO), PlanStage::new(10, Duration::from_secs(60))])
///     .build()
///     .expect_err("two things are wrong");
/// assert_eq!(error.problems().len(), 2);
/// assert_eq!(
///     error.problems()[1].to_string(),
///     "stages[1].weight is 10: expected more than the 20 of the stage before",
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PlanBuilder", into = "PlanBuilder")]
pub struct Plan(PlanBuilder);

impl Plan {
    /// The documented process, to be changed.
    pub fn builder() -> PlanBuilder {
        PlanBuilder::default()
    }

    /// Its stages, the last one with everything.
    pub fn stages(&self) -> &[PlanStage] {
        &self.0.stages
    }

    /// The number of its last stage, counted from 0.
    pub fn last_stage(&self) -> usize {
        self.0.stages.len().saturating_sub(1)
    }

    /// Whether it is an A/B run: its first stage lasts until somebody ends it.
    pub fn is_ab_test(&self) -> bool {
        self.0.ab_test
    }

    /// How long it takes at least.
    pub fn length(&self) -> Duration {
        let stages = self.0.stages.iter().filter_map(|stage| stage.duration);
        stages.fold(self.0.bake, Duration::saturating_add)
    }

    /// Whether a stage that went well is followed by the next without anybody being asked.
    pub fn auto_promote(&self) -> bool {
        self.0.auto_promote
    }

    /// Whether users stay with the version they got.
    pub fn sticky(&self) -> bool {
        self.0.sticky
    }

    /// The same, but for whether anybody is asked before the next stage. Of an A/B run somebody always is.
    #[must_use]
    pub fn with_auto_promote(self, auto: bool) -> Self {
        let auto = auto && !self.is_ab_test();
        Self(self.0.auto_promote(auto))
    }

    /// Whether a bad canary is rolled back without anybody being asked.
    pub fn auto_rollback(&self) -> bool {
        self.0.auto_rollback
    }

    /// Which analyzer judges.
    pub fn judge(&self) -> Judge {
        self.0.judge
    }

    /// How strong the evidence against a canary has to be for a rollback; nothing if the analyzer weighs none.
    ///
    /// ```
    /// use mesh_canary::plan::{Judge, Plan};
    ///
    /// assert_eq!(Plan::default().evidence_limit(), Some(100.0)); // one of a hundred good ones is rolled back
    /// assert_eq!(Plan::builder().judge(Judge::Threshold).build()?.evidence_limit(), None);
    /// # Ok::<(), mesh_canary::plan::PlanError>(())
    /// ```
    pub fn evidence_limit(&self) -> Option<f64> {
        match self.0.judge {
            Judge::Sequential => Some(1.0 / self.0.false_rollback),
            Judge::Threshold => None,
        }
    }

    /// How long evidence is not counted after the canary got its first traffic.
    pub fn warm_up(&self) -> Duration {
        self.0.warm_up
    }

    /// How long the new version is watched with all traffic before it is the stable one.
    pub fn bake(&self) -> Duration {
        self.0.bake
    }

    /// How long the new version may take to have an endpoint.
    pub fn start_deadline(&self) -> Duration {
        self.0.start_deadline
    }

    /// How long a rollout goes on without anything to judge by before it pauses.
    pub fn outage_patience(&self) -> Duration {
        self.0.outage_patience
    }

    /// How long a rollback is tried before somebody is asked.
    pub fn rollback_deadline(&self) -> Duration {
        self.0.rollback_deadline
    }

    /// After how long a rollout is said to be stuck.
    pub fn stuck_after(&self) -> Duration {
        self.0.stuck_after
    }

    /// How long a window of evidence is.
    pub fn interval(&self) -> Duration {
        self.0.interval
    }

    /// How many requests of the canary each stage has to see, at least. Whatever the analyzer says, no stage ends
    /// with fewer.
    pub fn min_requests(&self) -> u64 {
        let default = || self.0.rollback.error_rate_limit().map_or(FEWEST, proving);
        self.0.min_requests.unwrap_or_else(default)
    }

    /// Response times that the criteria compare with: a histogram needs them among its edges.
    pub fn response_times(&self) -> impl Iterator<Item = Duration> {
        let criteria = [&self.0.success, &self.0.rollback];
        criteria.into_iter().filter_map(Criteria::response_time_limit)
    }

    /// The analyzer it asks for, and what analysis templates say beside it.
    ///
    /// ```
    /// use mesh_canary::plan::Plan;
    /// use mesh_canary::{CanaryAnalyzer, Evidence, Stage, Verdict};
    ///
    /// let nothing = Evidence::new(Stage::new(0, 5, std::time::Duration::ZERO));
    /// assert!(matches!(Plan::default().analyzer().judge(&nothing), Verdict::Continue(_)));
    /// ```
    pub fn analyzer(&self) -> Arc<dyn CanaryAnalyzer> {
        let (success, rollback) = (self.0.success, self.0.rollback);
        match self.0.judge {
            // What the builder checked is what they check: the limits of the documentation are not reached.
            Judge::Threshold => Arc::new(WithTemplates::beside(
                Threshold::new(success, rollback).unwrap_or_default(),
            )),
            Judge::Sequential => {
                let judge = Sequential::new(success, rollback).unwrap_or_default();
                let strict = judge.clone().false_rollback(self.0.false_rollback);
                Arc::new(WithTemplates::beside(
                    strict.unwrap_or(judge).sticky(self.0.sticky),
                ))
            }
        }
    }

    /// Whether a rollout that is in stage `stage` by `self` can go on by `other`: what it has been through is the same.
    pub fn agrees_until(&self, other: &Self, stage: usize) -> bool {
        let weights = |plan: &Self| -> Option<Vec<u8>> {
            let past = plan.stages().get(..=stage)?;
            Some(past.iter().map(|stage| stage.weight).collect())
        };
        let (before, after) = (weights(self), weights(other));
        before.is_some() && before == after && self.is_ab_test() == other.is_ab_test()
    }
}

impl TryFrom<PlanBuilder> for Plan {
    type Error = PlanError;

    fn try_from(builder: PlanBuilder) -> Result<Self, PlanError> {
        builder.build()
    }
}

impl From<Plan> for PlanBuilder {
    fn from(plan: Plan) -> Self {
        plan.0
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (true, Some(stage)) = (self.is_ab_test(), self.0.stages.first()) {
            write!(f, "A/B: {}%", stage.weight)?;
            if let Some(duration) = stage.duration {
                write!(f, " for {}", display(duration))?;
            }
            return f.write_str(", then whatever somebody decides");
        }
        for (n, stage) in self.0.stages.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{}%", stage.weight)?;
            if let Some(duration) = stage.duration {
                write!(f, " for {}", display(duration))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
