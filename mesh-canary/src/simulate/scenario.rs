//! What happens in a simulated rollout: traffic, how both versions behave, and what people do.

use std::fmt;
use std::time::Duration;

use mesh_core::duration::display;
use serde::{Deserialize, Serialize};

use super::units;
use crate::plan::PlanProblem;

/// Longer rollouts are refused: nobody looks at so many windows.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
const MOST_STEPS: usize = 10_000;
const MOST_REQUESTS: f64 = 1e6;

/// What happens in a simulated rollout. Durations take a unit (`"12m"`); a bare number counts seconds, and
/// milliseconds for `p95`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Scenario {
    /// How long it is looked at.
    #[serde(deserialize_with = "units::seconds", serialize_with = "units::write")]
    pub duration: Duration,
    /// How many requests come, for both versions together.
    pub requests_per_second: f64,
    /// How both versions behave.
    pub arms: Arms,
    /// What people do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operator: Vec<Intervention>,
}

/// How both versions behave: each as steps in order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arms {
    /// The stable version.
    pub stable: Vec<Behaviour>,
    /// The new version.
    pub canary: Vec<Behaviour>,
}

/// How a version behaves from some moment on. What is left out stays as it was; at first nothing fails, and the 95th
/// percentile is 100 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Behaviour {
    /// From when on.
    #[serde(default, deserialize_with = "units::seconds", serialize_with = "units::write")]
    pub at: Duration,
    /// The share of requests that fail, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<f64>,
    /// The 95th percentile of response times, which are log-normal.
    #[serde(
        default,
        deserialize_with = "units::milliseconds",
        serialize_with = "units::write_some",
        skip_serializing_if = "Option::is_none"
    )]
    pub p95: Option<Duration>,
}

/// Somebody does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intervention {
    /// When.
    #[serde(deserialize_with = "units::seconds", serialize_with = "units::write")]
    pub at: Duration,
    /// What.
    #[serde(rename = "do")]
    pub what: What,
}

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Wants the next stage.
    Promote,
    /// Has it wait.
    Pause,
    /// Has it go on.
    Resume,
    /// Wants the stable version back.
    Rollback,
}

impl What {
    /// The word in a scenario.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
        }
    }
}

/// How a version behaves at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Now {
    pub(super) error_rate: f64,
    pub(super) p95: Duration,
}

impl Scenario {
    /// How both versions behave, without anything that people do.
    pub fn new(duration: Duration, requests_per_second: f64, arms: Arms) -> Self {
        Self {
            duration,
            requests_per_second,
            arms,
            operator: Vec::new(),
        }
    }

    /// Looks for all that is wrong with it.
    ///
    /// # Errors
    /// Each problem has a line.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let mut problems = Vec::new();
        let mut wrong = |key: &str, found: &dyn fmt::Display, expected: &str| {
            problems.push(PlanProblem::new(key, found, expected));
        };
        if self.duration.is_zero() || self.duration > LONGEST {
            wrong(
                "duration",
                &display(self.duration),
                "a duration above zero and at most 7d",
            );
        }
        if !(0.0..=MOST_REQUESTS).contains(&self.requests_per_second) {
            wrong(
                "requestsPerSecond",
                &self.requests_per_second,
                "a number from 0 to 1000000",
            );
        }
        for (name, arm) in [("stable", &self.arms.stable), ("canary", &self.arms.canary)] {
            if arm.is_empty() || arm.len() > MOST_STEPS {
                wrong(
                    &format!("arms.{name}"),
                    &format_args!("a list of {}", arm.len()),
                    "1 to 10000 steps",
                );
            }
            let mut before = None;
            for (n, step) in arm.iter().enumerate().take(MOST_STEPS) {
                let key = |key: &str| format!("arms.{name}[{n}].{key}");
                if before.is_some_and(|before| step.at <= before) {
                    wrong(&key("at"), &display(step.at), "later than the step before");
                }
                before = Some(step.at);
                if let Some(rate) = step.error_rate
                    && !(0.0..=1.0).contains(&rate)
                {
                    wrong(&key("errorRate"), &rate, "a ratio between 0 and 1 (0.01 is 1%)");
                }
                if let Some(p95) = step.p95
                    && p95.is_zero()
                {
                    wrong(&key("p95"), &"0s", "a duration above zero, as \"120ms\"");
                }
            }
        }
        if self.operator.len() > MOST_STEPS {
            wrong(
                "operator",
                &format_args!("a list of {}", self.operator.len()),
                "at most 10000 steps",
            );
        }
        for (n, step) in self.operator.iter().enumerate().take(MOST_STEPS) {
            if step.at > self.duration {
                wrong(
                    &format!("operator[{n}].at"),
                    &display(step.at),
                    "no later than the end of the scenario",
                );
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ScenarioError(problems))
        }
    }

    /// When the new version first behaves worse than the stable one; the beginning if it never does.
    pub(super) fn worse_from(&self) -> Duration {
        let worse = |at: &Duration| {
            let (stable, canary) = (now(&self.arms.stable, *at), now(&self.arms.canary, *at));
            canary.error_rate > stable.error_rate || canary.p95 > stable.p95
        };
        self.changes().into_iter().find(worse).unwrap_or_default()
    }

    /// Each moment at which a version begins to behave in another way.
    pub(super) fn changes(&self) -> Vec<Duration> {
        let steps = self.arms.stable.iter().chain(&self.arms.canary);
        let mut changes: Vec<Duration> = steps.map(|step| step.at).chain([Duration::ZERO]).collect();
        changes.sort_unstable();
        changes.dedup();
        changes
    }
}

/// How a version behaves at a moment.
pub(super) fn now(arm: &[Behaviour], at: Duration) -> Now {
    let mut now = Now {
        error_rate: 0.0,
        p95: Duration::from_millis(100),
    };
    for step in arm.iter().take_while(|step| step.at <= at) {
        now.error_rate = step.error_rate.unwrap_or(now.error_rate);
        now.p95 = step.p95.unwrap_or(now.p95);
    }
    now
}

/// All that is wrong with a scenario, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError(Vec<PlanProblem>);

impl ScenarioError {
    pub(super) fn of_name(error: &mesh_core::name::NameError) -> Self {
        Self(vec![PlanProblem::new(
            "arms",
            error,
            "names of a service and two versions",
        )])
    }

    /// Each problem.
    pub fn problems(&self) -> &[PlanProblem] {
        &self.0
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            let line = if n == 0 { "" } else { "\n" };
            write!(f, "{line}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}
