//! Rollouts in virtual time: what a plan would do to traffic that is only drawn.
//!
//! The state machine and the analyzer are the ones that run in production. Requests are drawn by counts, not one by
//! one, so that an hour takes milliseconds; a seed gives the same rollout on every machine.
//!
//! ```
//! use mesh_canary::plan::Plan;
//! use mesh_canary::simulate::{Outcome, Scenario, Simulation};
//!
//! // From minute 12 on the new version fails 2 % of its requests.
//! let scenario: Scenario = serde_json::from_str(
//!     r#"{
//!         "duration": "1h",
//!         "requestsPerSecond": 100,
//!         "arms": {
//!             "stable": [{ "at": "0s", "errorRate": 0.001, "p95": "120ms" }],
//!             "canary": [{ "at": "0s", "errorRate": 0.001, "p95": "120ms" },
//!                        { "at": "12m", "errorRate": 0.02, "p95": "120ms" }]
//!         },
//!         "operator": [{ "at": "8m", "do": "pause" }, { "at": "9m", "do": "resume" }]
//!     }"#,
//! )?;
//! let simulation = Simulation::new(Plan::default(), scenario)?;
//! let report = simulation.run(7);
//! assert_eq!(report.decision, Outcome::RolledBack);
//! assert!(report.at_s > 12.0 * 60.0 && report.at_s < 20.0 * 60.0, "{}", report.at_s);
//! assert_eq!(report, simulation.run(7));
//! # Ok::<(), mesh_core::BoxError>(())
//! ```

use std::sync::Arc;

use mesh_core::ServiceName;
use mesh_core::Version;

use crate::analyzer::CanaryAnalyzer;
use crate::plan::Plan;

mod draw;
mod report;
mod run;
mod scenario;
mod traffic;
mod units;

pub use report::{ArmFigures, Detection, Figures, Hurt, Line, Outcome, Report, Summary};
pub use scenario::{Arms, Behaviour, Intervention, Scenario, ScenarioError, What};

/// A plan and a scenario to try it in.
#[derive(Clone)]
pub struct Simulation {
    plan: Plan,
    scenario: Scenario,
    analyzer: Arc<dyn CanaryAnalyzer>,
    names: (ServiceName, Version, Version),
}

impl Simulation {
    /// Tries this plan. It promotes by itself, unless somebody promotes in the scenario.
    ///
    /// # Errors
    /// All that is wrong with the scenario.
    pub fn new(plan: Plan, scenario: Scenario) -> Result<Self, ScenarioError> {
        scenario.check()?;
        let promoted = scenario.operator.iter().any(|step| step.what == What::Promote);
        let name = |error: mesh_core::name::NameError| ScenarioError::of_name(&error);
        let names = (
            "service".parse().map_err(name)?,
            "stable".parse().map_err(name)?,
            "canary".parse().map_err(name)?,
        );
        Ok(Self {
            analyzer: plan.analyzer(),
            plan: plan.with_auto_promote(!promoted),
            scenario,
            names,
        })
    }

    /// Judged by another analyzer than the one that the plan asks for.
    #[must_use]
    pub fn with_analyzer(mut self, analyzer: impl CanaryAnalyzer) -> Self {
        self.analyzer = Arc::new(analyzer);
        self
    }

    /// One rollout. The same seed gives the same one.
    pub fn run(&self, seed: u64) -> Report {
        run::run(self, seed)
    }

    /// So many rollouts, each with other traffic, and what became of them.
    pub fn runs(&self, runs: u64, seed: u64) -> Summary {
        let reports = (0..runs).map(|run| {
            // Far apart, so that two sets of runs with seeds beside each other have none in common.
            let seed = seed.wrapping_add(run.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            self.run(seed)
        });
        Summary::of(reports, self.scenario.worse_from())
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("plan", &self.plan)
            .field("scenario", &self.scenario)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
