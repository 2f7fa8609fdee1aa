//! Puts a plan together.

use std::time::Duration;

use mesh_core::duration::display;
use serde::{Deserialize, Serialize};

use super::{Judge, Plan, PlanError, PlanProblem, PlanStage};
use crate::judge::Criteria;

/// More stages than this are refused: each percent its own would be a hundred.
const MOST_STAGES: usize = 100;

/// Puts a [`Plan`] together. It begins with the documented process.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::judge::Criteria;
/// use mesh_canary::plan::{Judge, Plan, PlanStage};
///
/// let s = Duration::from_secs;
/// let plan = Plan::builder()
///     .stages([PlanStage::new(50, s(600)), PlanStage::full()])
///     .auto_promote(true)
///     .judge(Judge::Threshold)
///     .success(Criteria::over(s(300)).error_rate(0.01))
///     .build()?;
/// assert_eq!(plan.to_string(), "50% for 10m, 100%");
/// # Ok::<(), mesh_canary::plan::PlanError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct PlanBuilder {
    pub(super) stages: Vec<PlanStage>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ab_test: bool,
    pub(super) auto_promote: bool,
    pub(super) auto_rollback: bool,
    pub(super) judge: Judge,
    pub(super) false_rollback: f64,
    pub(super) sticky: bool,
    pub(super) success: Criteria,
    pub(super) rollback: Criteria,
    pub(super) min_requests: Option<u64>,
    pub(super) warm_up: Duration,
    pub(super) bake: Duration,
    pub(super) interval: Duration,
    pub(super) start_deadline: Duration,
    pub(super) outage_patience: Duration,
    pub(super) rollback_deadline: Duration,
    pub(super) stuck_after: Duration,
}

impl Default for PlanBuilder {
    fn default() -> Self {
        let s = Duration::from_secs;
        let stages = [(5, 300), (10, 300), (20, 600), (50, 600)];
        let stages = stages.map(|(weight, duration)| PlanStage::new(weight, s(duration)));
        Self {
            stages: stages.into_iter().chain([PlanStage::full()]).collect(),
            ab_test: false,
            auto_promote: false,
            auto_rollback: true,
            judge: Judge::default(),
            false_rollback: 0.01,
            sticky: false,
            success: Criteria::over(s(300))
                .error_rate(0.01)
                .response_time(Duration::from_millis(500)),
            rollback: Criteria::over(s(60)).error_rate(0.05).response_time(s(1)),
            min_requests: None,
            warm_up: Duration::ZERO,
            bake: Duration::ZERO,
            interval: s(5),
            start_deadline: s(600),
            outage_patience: s(300),
            rollback_deadline: s(60),
            stuck_after: s(3600),
        }
    }
}

impl PlanBuilder {
    /// Its stages, two at least. Weights rise to 100; each but the last has a duration.
    pub fn stages(mut self, stages: impl IntoIterator<Item = PlanStage>) -> Self {
        self.stages = stages.into_iter().collect();
        self.ab_test = false;
        self
    }

    /// An A/B run instead of stages: the new version has `weight` percent of the traffic for `duration`, and keeps it until
    /// somebody promotes it or rolls it back. Nothing promotes it by itself.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mesh_canary::plan::Plan;
    ///
    /// let plan = Plan::builder().ab_test(50, Duration::from_secs(86_400)).build()?;
    /// assert_eq!(plan.to_string(), "A/B: 50% for 1d, then whatever somebody decides");
    ///
    /// let error = Plan::builder().ab_test(50, Duration::from_secs(60)).auto_promote(true).build();
    /// assert!(error.expect_err("that is no A/B run").to_string().starts_with("autoPromote is true: expected false"));
    /// # Ok::<(), mesh_canary::plan::PlanError>(())
    /// ```
    pub fn ab_test(mut self, weight: u8, duration: Duration) -> Self {
        self.stages = vec![PlanStage::new(weight, duration), PlanStage::full()];
        self.ab_test = true;
        self
    }

    /// Whether a stage that went well is followed by the next without anybody being asked. The default is no.
    pub fn auto_promote(mut self, auto: bool) -> Self {
        self.auto_promote = auto;
        self
    }

    /// Whether a bad canary is rolled back without anybody being asked. The default is yes; otherwise the rollout
    /// pauses. A canary without any endpoint is rolled back in either case.
    pub fn auto_rollback(mut self, auto: bool) -> Self {
        self.auto_rollback = auto;
        self
    }

    /// Which analyzer judges. The default is the sequential one.
    pub fn judge(mut self, judge: Judge) -> Self {
        self.judge = judge;
        self
    }

    /// How often the sequential analyzer may roll a good canary back, as a share of rollouts. The default is 0.01.
    pub fn false_rollback(mut self, share: f64) -> Self {
        self.false_rollback = share;
        self
    }

    /// Whether users stay with the version they got. The default is no.
    pub fn sticky(mut self, sticky: bool) -> Self {
        self.sticky = sticky;
        self
    }

    /// What a good canary keeps. The default is at most 1 % errors and a P95 of at most 500 ms over 5 minutes.
    pub fn success(mut self, criteria: Criteria) -> Self {
        self.success = criteria;
        self
    }

    /// What a bad canary exceeds. The default is 5 % errors or a P95 of 1 s over a minute.
    pub fn rollback(mut self, criteria: Criteria) -> Self {
        self.rollback = criteria;
        self
    }

    /// How many requests of the canary each stage has to see, at least. By default as many as tell it from one that
    /// fails as often as the rollback criteria allow (59 for 5 %).
    pub fn min_requests(mut self, requests: u64) -> Self {
        self.min_requests = Some(requests);
        self
    }

    /// How long evidence is not counted after the canary got its first traffic. The default is 0: everything counts.
    pub fn warm_up(mut self, warm_up: Duration) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// How long the new version is watched with all traffic before it is the stable one. The default is 0.
    pub fn bake(mut self, bake: Duration) -> Self {
        self.bake = bake;
        self
    }

    /// How long a window of evidence is. The default is 5 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long the new version may take to have an endpoint. The default is 10 minutes.
    pub fn start_deadline(mut self, deadline: Duration) -> Self {
        self.start_deadline = deadline;
        self
    }

    /// How long a rollout goes on without anything to judge by before it pauses. The default is 5 minutes.
    pub fn outage_patience(mut self, patience: Duration) -> Self {
        self.outage_patience = patience;
        self
    }

    /// How long a rollback is tried before somebody is asked. The default is a minute.
    pub fn rollback_deadline(mut self, deadline: Duration) -> Self {
        self.rollback_deadline = deadline;
        self
    }

    /// After how long a rollout is said to be stuck. The default is an hour.
    pub fn stuck_after(mut self, after: Duration) -> Self {
        self.stuck_after = after;
        self
    }

    /// The plan.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn build(self) -> Result<Plan, PlanError> {
        let problems = self.problems();
        if problems.is_empty() {
            Ok(Plan(self))
        } else {
            Err(PlanError::new(problems))
        }
    }

    fn problems(&self) -> Vec<PlanProblem> {
        let mut problems = self.stage_problems();
        if self.ab_test && self.auto_promote {
            let expected = "false: an A/B run is promoted by somebody, or not at all";
            problems.push(PlanProblem::new("autoPromote", true, expected));
        }
        if self.ab_test && self.stages.len() != 2 {
            let expected = "2 for an A/B run: the split, and everything";
            problems.push(PlanProblem::new(
                "stages",
                format!("a list of {}", self.stages.len()),
                expected,
            ));
        }
        if !(self.false_rollback > 0.0 && self.false_rollback < 1.0) {
            let expected = "a ratio above 0 and below 1 (0.01 is 1%)";
            problems.push(PlanProblem::new(
                "analysis.falseRollback",
                self.false_rollback,
                expected,
            ));
        }
        if self.min_requests == Some(0) {
            let expected = "at least 1: no requests prove nothing";
            problems.push(PlanProblem::new("minimumRequests", 0, expected));
        }
        let lengths = [
            ("interval", self.interval, Duration::from_secs(60)),
            ("startDeadline", self.start_deadline, mesh_core::duration::MAX),
            ("outagePatience", self.outage_patience, mesh_core::duration::MAX),
            (
                "rollbackDeadline",
                self.rollback_deadline,
                mesh_core::duration::MAX,
            ),
            ("stuckAfter", self.stuck_after, mesh_core::duration::MAX),
        ];
        for (key, length, most) in lengths {
            if length.is_zero() || length > most {
                let expected = format!("a duration above zero and at most {}", display(most));
                problems.push(PlanProblem::new(key, display(length), expected));
            }
        }
        let criteria = Criteria::problems(&self.success, &self.rollback);
        problems.extend(criteria.into_iter().map(PlanProblem::from));
        problems
    }

    fn stage_problems(&self) -> Vec<PlanProblem> {
        let mut problems = Vec::new();
        let count = self.stages.len();
        if !(2..=MOST_STAGES).contains(&count) {
            let expected = format!(
                "2 to {MOST_STAGES} stages, or there is nothing to look at before all traffic is moved"
            );
            problems.push(PlanProblem::new("stages", format!("a list of {count}"), expected));
            return problems;
        }
        let mut before = 0;
        for (n, stage) in self.stages.iter().enumerate() {
            let (last, weight) = (n + 1 == count, stage.weight);
            let key = |key: &str| format!("stages[{n}].{key}");
            if weight <= before && n > 0 {
                let expected = format!("more than the {before} of the stage before");
                problems.push(PlanProblem::new(key("weight"), weight, expected));
            } else if weight == 0 || weight > 100 || (weight == 100 && !last) {
                let most = if last { 100 } else { 99 };
                problems.push(PlanProblem::new(
                    key("weight"),
                    weight,
                    format!("1 to {most} percent"),
                ));
            } else if last && weight != 100 {
                let expected = "100: a rollout ends with everything";
                problems.push(PlanProblem::new(key("weight"), weight, expected));
            }
            before = before.max(weight);
            match stage.duration {
                None if !last => {
                    let expected = "a duration: only the last stage has none";
                    problems.push(PlanProblem::new(key("duration"), "missing", expected));
                }
                Some(duration) if last && weight == 100 => {
                    let expected = "none: nothing comes after the last stage";
                    problems.push(PlanProblem::new(key("duration"), display(duration), expected));
                }
                Some(duration) if duration.is_zero() || duration > mesh_core::duration::MAX => {
                    let expected = "a duration above zero, as \"5m\"";
                    problems.push(PlanProblem::new(key("duration"), display(duration), expected));
                }
                _ => {}
            }
        }
        problems
    }
}
