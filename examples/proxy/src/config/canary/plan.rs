//! `canaryDeployment` as a plan of rollouts.

use std::time::Duration;

use mesh_canary::judge;
use mesh_canary::plan::{self, Plan, PlanError, PlanStage};
use mesh_core::duration::display;

use super::{Canary, Criteria};
use crate::config::analysis::Judge;
use crate::config::context::Wrong;
use crate::config::shape::Fields;

/// So many windows of an A/B run are kept, at most.
const AB_TEST_WINDOWS: u32 = 45_000;
/// How long an A/B run may wait for somebody before it is said to be stuck.
const AB_TEST_WAITS: Duration = Duration::from_secs(3600);

/// How long a window of evidence is, unless something of the plan is shorter.
const WINDOW: Duration = Duration::from_secs(5);
const SHORTEST_WINDOW: Duration = Duration::from_millis(200);

impl Canary {
    /// How rollouts go.
    ///
    /// ```
    /// use mesh_proxy::config::parse;
    ///
    /// let loaded = parse("mesh.yaml", "canaryDeployment: { autoPromote: true }\n").expect("valid");
    /// let plan = loaded.config.canary.expect("written").plan()?;
    /// assert_eq!(plan.to_string(), "5% for 5m, 10% for 5m, 20% for 10m, 50% for 10m, 100%");
    /// assert!(plan.auto_promote());
    /// # Ok::<(), mesh_canary::plan::PlanError>(())
    /// ```
    ///
    /// # Errors
    /// The configuration was not checked as it should have been.
    pub fn plan(&self) -> Result<Plan, PlanError> {
        let last = self.stages.len().saturating_sub(1);
        let stages = self.stages.iter().enumerate().map(|(n, stage)| PlanStage {
            weight: stage.weight,
            duration: stage.duration.filter(|_| n < last),
        });
        let bake = self.stages.last().and_then(|stage| stage.duration);
        let plan = Plan::builder();
        let plan = match self.ab_test {
            None => plan.stages(stages).bake(bake.unwrap_or_default()),
            Some(ab) => plan
                .ab_test(ab.weight, ab.duration)
                .stuck_after(ab.duration.saturating_add(AB_TEST_WAITS)),
        };
        plan.auto_promote(self.auto_promote)
            .auto_rollback(self.auto_rollback)
            .judge(match self.analysis.judge {
                Judge::Sequential => plan::Judge::Sequential,
                Judge::Threshold => plan::Judge::Threshold,
            })
            .false_rollback(self.analysis.false_rollback.get())
            .sticky(self.routing.sticky)
            .success(criteria(&self.success))
            .rollback(criteria(&self.rollback))
            .interval(self.window())
            .build()
    }

    /// Several windows go into whatever is shortest.
    fn window(&self) -> Duration {
        let stages = self.stages.iter().filter_map(|stage| stage.duration);
        let stages = stages.filter(|_| self.ab_test.is_none());
        let criteria = [self.success.duration, self.rollback.duration];
        let shortest = stages.chain(criteria).min().unwrap_or(WINDOW);
        let window = (shortest / 4).clamp(SHORTEST_WINDOW, WINDOW);
        let least = self
            .ab_test
            .map_or(Duration::ZERO, |ab| ab.duration / AB_TEST_WINDOWS);
        // What is counted in whole seconds is easier to read.
        window.max(Duration::from_secs(least.as_secs_f64().ceil() as u64))
    }
}

fn criteria(criteria: &Criteria) -> judge::Criteria {
    judge::Criteria::over(criteria.duration)
        .error_rate(criteria.error_rate.get())
        .response_time(criteria.response_time)
}

/// What each part allows and the plan does not, and what takes longer than it seems to.
pub(super) fn check(fields: &mut Fields<'_>, canary: &Canary, stages_are_right: bool) {
    if let Err(error) = canary.plan() {
        for problem in error.problems() {
            // Stages that are wrong were told of as what they are: all together.
            if stages_are_right || !problem.key().starts_with("stages") {
                let wrong = Wrong::expected(problem.expected());
                fields.refuse_below(problem.key(), problem.found(), wrong);
            }
        }
    }
    let shorter = |(n, duration): (usize, Duration)| {
        let window = canary.success.duration;
        (duration < window).then(|| {
            format!(
                "stage {} takes at least {} and not {}: for so long is looked at what a stage has to keep",
                n + 1,
                display(window),
                display(duration)
            )
        })
    };
    let last = canary.stages.len().saturating_sub(1);
    let stages = canary.stages.iter().take(last).enumerate();
    let durations = stages.filter_map(|(n, stage)| Some((n, stage.duration?)));
    if fields.has("stages")
        && let Some(message) = durations.filter_map(shorter).next()
    {
        fields.advise("successCriteria", message);
    }
}
