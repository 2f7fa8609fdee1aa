//! A rollout as it is shown.

use std::time::Duration;

use serde::Serialize;

use super::{Phase, Rollout};

/// A rollout as it is shown: a plain function of its state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The service.
    pub service: String,
    /// The version that had the traffic before.
    pub stable: String,
    /// The version that is rolled out.
    pub canary: String,
    /// Where it is ([`Phase::word`]).
    pub state: &'static str,
    /// The same, for the metric `canary_deployment_status` ([`Phase::status`]).
    pub status: &'static str,
    /// The stage, from 1.
    pub stage: usize,
    /// Of so many.
    pub stages: usize,
    /// The share of the new version, in percent.
    pub weight: u8,
    /// How many requests of the new version were seen in this stage.
    pub samples: u64,
    /// How long this stage was looked at, in seconds.
    pub sampled_s: f64,
    /// How long it takes at least, in seconds; nothing for the last.
    pub planned_s: Option<f64>,
    /// How long the rollout has been going on, up to its last record, in seconds.
    pub duration_s: f64,
    /// The share of errors among the new version's requests of this stage, 0 to 1.
    pub error_rate: Option<f64>,
    /// The 95th percentile of its response times in this stage, in milliseconds.
    pub response_time_p95: Option<f64>,
    /// Why it is where it is.
    pub cause: Option<String>,
}

impl Rollout {
    /// As it is shown.
    pub fn status(&self) -> Status {
        let state = &self.state;
        let canary = state.evidence.in_stage().canary;
        let p95 = canary.latency.quantile(0.95);
        Status {
            service: state.service.to_string(),
            stable: state.stable.to_string(),
            canary: state.canary.to_string(),
            state: state.phase.word(),
            status: state.phase.status(),
            stage: state.stage.saturating_add(1),
            stages: state.plan.stages().len(),
            weight: self.weight_in_force(),
            samples: state.requests,
            sampled_s: state.sampled.as_secs_f64(),
            planned_s: state
                .planned_stage()
                .and_then(|stage| stage.duration)
                .as_ref()
                .map(Duration::as_secs_f64),
            duration_s: state.at.as_secs_f64(),
            error_rate: canary.error_rate(),
            response_time_p95: p95.map(|p95| p95.as_secs_f64() * 1000.0),
            cause: state.cause.as_ref().map(ToString::to_string),
        }
    }

    fn weight_in_force(&self) -> u8 {
        match self.state.phase {
            Phase::RollingBack => 0,
            _ => self.state.order.percent,
        }
    }

    /// How strongly the evidence spoke against the new version, in the last verdict since the restart.
    pub fn evidence_against(&self) -> Option<f64> {
        self.session.evidence
    }
}
