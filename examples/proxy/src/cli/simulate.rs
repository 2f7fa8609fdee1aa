//! `mesh-proxy simulate`.

use std::path::PathBuf;
use std::process::ExitCode;

use mesh_canary::simulate::Outcome;
use mesh_core::ServiceName;

use super::{BAD_CONFIGURATION, print, warnings};
use crate::config;
use crate::simulate::Tried;

/// The rollout was rolled back.
const ROLLED_BACK: u8 = 4;
/// The scenario was over before the rollout.
const UNDECIDED: u8 = 5;

pub(super) const HELP: &str = "\
Example:
  mesh-proxy simulate --config mesh.yaml --scenario examples/scenarios/errors-at-12m.yaml
  mesh-proxy simulate --config mesh.yaml --scenario examples/scenarios/healthy.yaml --runs 1000 --json

Exit: 0 if it is promoted, 4 if it is rolled back, 5 if the scenario is over before; with --runs, by how most of them end.
2 on bad usage or a bad configuration";

#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// The configuration, in YAML: its canaryDeployment is tried
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What happens meanwhile, in YAML: duration, requestsPerSecond, arms (at, errorRate, p95), operator (at, do)
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    /// The service that is rolled out; it must be one that the configuration rolls out
    #[arg(long, value_name = "NAME")]
    service: Option<ServiceName>,
    /// The seed of the traffic
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Try so many rollouts, each with other traffic, and tell how many ended how, and how fast
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    runs: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn main(simulate: &Simulate) -> ExitCode {
    match tried(simulate) {
        Ok(tried) => {
            let text = match simulate.json {
                true => format!("{:#}\n", tried.json()),
                false => tried.to_string(),
            };
            print(std::io::stdout(), &text);
            match tried.outcome() {
                Outcome::Promoted => ExitCode::SUCCESS,
                Outcome::RolledBack => ExitCode::from(ROLLED_BACK),
                Outcome::Undecided => ExitCode::from(UNDECIDED),
            }
        }
        Err(message) => {
            print(std::io::stderr(), &message);
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

/// Both files are read before anything is said of either.
fn tried(simulate: &Simulate) -> Result<Tried, String> {
    let loaded = config::load(&simulate.config).map_err(|report| report.to_string());
    let scenario = config::load_scenario(&simulate.scenario).map_err(|report| report.to_string());
    let (loaded, scenario) = match (loaded, scenario) {
        (Ok(loaded), Ok(scenario)) => (loaded, scenario),
        (loaded, scenario) => {
            let reports = [loaded.err(), scenario.err()];
            return Err(reports.into_iter().flatten().collect());
        }
    };
    print(std::io::stderr(), &warnings(&loaded));
    if loaded.config.templates().next().is_some() {
        let message = "warning: analysisTemplates ask a Prometheus server, and there is none in a simulation: they are \
                       left out\n";
        print(std::io::stderr(), message);
    }
    let (service, seed, runs) = (simulate.service.clone(), simulate.seed, simulate.runs);
    let tried = Tried::of(&loaded.config, scenario, service, seed, runs);
    tried.map_err(|message| format!("{message}\n"))
}
