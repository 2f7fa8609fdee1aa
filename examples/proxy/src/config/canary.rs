//! `canaryDeployment`: how a new version is rolled out.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use mesh_core::ServiceName;

use super::analysis::Analysis;
use super::share::Ratio;

/// `canaryDeployment`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Canary {
    /// Whether rollouts happen at all. Default true.
    pub enabled: bool,
    /// Whether a stage that went well leads to the next by itself. Default false.
    pub auto_promote: bool,
    /// Whether a bad canary is rolled back by itself. Default true.
    pub auto_rollback: bool,
    /// What a stage has to reach.
    pub success: Criteria,
    /// What leads to a rollback.
    pub rollback: Criteria,
    /// The services that are rolled out; `None`: every one with several versions.
    pub services: Option<Vec<ServiceName>>,
    /// The stages; weights rise, and the last is 100.
    pub stages: Vec<Stage>,
    /// How a stage is judged.
    pub analysis: Analysis,
    /// Who is pinned to which version.
    pub routing: CanaryRouting,
    /// Where decisions are kept. Default `./mesh-state/canary`.
    pub state_dir: PathBuf,
}

/// Limits and the window they are looked at over.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Criteria {
    /// The share of failed requests.
    pub error_rate: Ratio,
    /// The 95th percentile of the response time.
    pub response_time: Duration,
    /// The window.
    pub duration: Duration,
}

/// A stage of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stage {
    /// The canary's share in percent, 1 to 100.
    pub weight: u8,
    /// How long it lasts; `None` for the last.
    pub duration: Option<Duration>,
}

/// `canaryDeployment.routing`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CanaryRouting {
    /// `true` pins to the canary, `false` to the stable version. Default `x-canary-user`.
    pub header: HeaderName,
    /// `always` pins to the canary, `never` to the stable version. Default `canary`.
    pub cookie: Box<str>,
    /// Whether a client stays with the version it got. Default true.
    pub sticky: bool,
}
