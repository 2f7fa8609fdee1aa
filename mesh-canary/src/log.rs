//! What a rollout decided, as an append-only log. Its state is what reading the log comes to.

use std::fmt;
use std::time::{Duration, SystemTime};

use mesh_core::{ServiceName, Version};
use serde::{Deserialize, Serialize};

use crate::analyzer::{EvidenceError, Window};
use crate::plan::Plan;
use crate::rollout::Decision;

mod history;
mod wire;

pub use history::{History, Request, StartError};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When, since the rollout began. Time in which nobody counted is left out.
    pub at: Duration,
    /// What the clock on the wall showed, for a reader. Nothing is decided by it.
    pub written: SystemTime,
    /// What happened.
    pub entry: Entry,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "one every few seconds")]
pub enum Entry {
    /// A rollout started. What stands before it is not needed any more to go on.
    Started(Box<Started>),
    /// A window of evidence was added.
    Seen(#[serde(with = "wire")] Window),
    /// Something was decided.
    Decided(Decision),
}

/// How a rollout started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Started {
    /// The service.
    #[serde(with = "wire::name")]
    pub service: ServiceName,
    /// The version that has the traffic.
    #[serde(with = "wire::name")]
    pub stable: Version,
    /// The version that is to have it.
    #[serde(with = "wire::name")]
    pub canary: Version,
    /// How it is to go.
    pub plan: Plan,
    /// The versions that were rolled back before, the newest last.
    #[serde(with = "wire::names")]
    pub rejected: Vec<Version>,
}

/// A log that says what cannot have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogError {
    position: u64,
    problem: LogProblem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogProblem {
    Position(u64),
    NotStarted,
    Running,
    Ended,
    OtherService(ServiceName),
    NoStage(usize),
    Change,
    Evidence(EvidenceError),
}

impl LogError {
    pub(crate) fn new(position: u64, problem: LogProblem) -> Self {
        Self { position, problem }
    }

    /// Where.
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} of the rollout log ", self.position)?;
        match &self.problem {
            LogProblem::Position(expected) => write!(f, "is out of order: expected record {expected}"),
            LogProblem::NotStarted => f.write_str("belongs to no rollout: expected one that starts first"),
            LogProblem::Running => f.write_str("starts a rollout while one is under way"),
            LogProblem::Ended => f.write_str("comes after the end of its rollout"),
            LogProblem::OtherService(service) => write!(f, "is about another service, {service}"),
            LogProblem::NoStage(stage) => write!(f, "names stage {stage}, which the plan has not"),
            LogProblem::Change => f.write_str("decides what was not to be decided there"),
            LogProblem::Evidence(error) => write!(f, "has bad evidence: {error}"),
        }
    }
}

impl std::error::Error for LogError {}

#[cfg(test)]
mod tests;
