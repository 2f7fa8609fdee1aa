//! `mesh-proxy simulate`: what a rollout would come to, in virtual time.

mod text;

use mesh_canary::plan::Plan;
use mesh_canary::simulate::{Outcome, Report, Scenario, Simulation, Summary};
use mesh_core::ServiceName;
use serde_json::{Value, json};

use crate::config::Config;

/// What came of trying the rollouts of a configuration.
#[derive(Clone, Debug)]
pub struct Tried {
    service: Option<ServiceName>,
    plan: Plan,
    seed: u64,
    came: Came,
}

#[derive(Clone, Debug)]
enum Came {
    One(Report),
    Many(Summary),
}

impl Tried {
    /// Tries the rollouts of a configuration in a scenario: one, whose timeline is kept, or so many.
    ///
    /// ```
    /// use mesh_canary::simulate::Outcome;
    /// use mesh_proxy::config::{parse, parse_scenario};
    /// use mesh_proxy::simulate::Tried;
    ///
    /// let config = parse("mesh.yaml", "canaryDeployment: { stages: [ { weight: 50, duration: 5m }, { weight: 100 } ] }\n");
    /// let scenario = "duration: 10m\nrequestsPerSecond: 50\narms: { stable: [ { p95: 90ms } ], canary: [ { errorRate: 0.3 } ] }\n";
    /// let scenario = parse_scenario("bad.yaml", scenario).expect("valid");
    /// let tried = Tried::of(&config.expect("valid").config, scenario, None, 7, None).expect("tried");
    /// assert_eq!(tried.outcome(), Outcome::RolledBack);
    /// ```
    ///
    /// # Errors
    /// There is nothing to roll out, in a sentence that says what to write.
    pub fn of(
        config: &Config,
        scenario: Scenario,
        service: Option<ServiceName>,
        seed: u64,
        runs: Option<u64>,
    ) -> Result<Self, String> {
        let canary = config.canary.as_ref().filter(|canary| canary.enabled);
        let canary = canary.ok_or(
            "there are no rollouts in this configuration: expected canaryDeployment, without enabled: false \
             (canaryDeployment: {} is the documented process)",
        )?;
        if let Some(service) = &service {
            let is_known = config.mesh.services.iter().any(|known| known.name == *service);
            let is_rolled_out = |services: &Vec<ServiceName>| services.contains(service);
            if !is_known {
                return Err(format!(
                    "--service: there is no service {service} in this configuration"
                ));
            }
            if !canary.services.as_ref().is_none_or(is_rolled_out) {
                let message = "is not among canaryDeployment.services: it is not rolled out";
                return Err(format!("--service: {service} {message}"));
            }
        }
        let plan = canary.plan().map_err(|error| error.to_string())?;
        let simulation = Simulation::new(plan.clone(), scenario).map_err(|error| error.to_string())?;
        let came = match runs {
            None => Came::One(simulation.run(seed)),
            Some(runs) => Came::Many(simulation.runs(runs, seed)),
        };
        Ok(Self {
            service,
            plan,
            seed,
            came,
        })
    }

    /// How it ended; of many, how most of them did, and of two that are as many the worse.
    pub fn outcome(&self) -> Outcome {
        match &self.came {
            Came::One(report) => report.decision,
            Came::Many(summary) => {
                let most = [
                    (summary.promoted, Outcome::Promoted),
                    (summary.undecided, Outcome::Undecided),
                    (summary.rolled_back, Outcome::RolledBack),
                ];
                let most = most.into_iter().max_by_key(|(runs, _)| *runs);
                most.map_or(Outcome::Undecided, |(_, outcome)| outcome)
            }
        }
    }

    /// As one JSON object: of one rollout with its timeline, of many with how often and how fast.
    pub fn json(&self) -> Value {
        let value = match &self.came {
            Came::One(report) => serde_json::to_value(report),
            Came::Many(summary) => serde_json::to_value(summary),
        };
        // What is numbers and words has no reason to fail.
        value.unwrap_or_else(|error| json!({ "error": error.to_string() }))
    }
}
