//! What the tries of one request say of the versions that they met.

use std::time::Duration;

use mesh_core::error::CanaryError;
use mesh_core::outcome::Answered;
use mesh_core::{AttemptInfo, Error, ErrorKind, Outcome, Version};
use mesh_lb::balance::Attempt as Tried;
use mesh_telemetry::evidence::EvidenceRecord;

use super::attempt::Attempt;

/// The tries that a balancer makes by itself: each counts, a good one when its answer is over.
pub(super) struct Tries<'a> {
    attempt: Attempt<'a>,
    /// How long the last one took, if it was answered well.
    well: Option<Duration>,
}

impl<'a> Tries<'a> {
    pub(super) fn of(attempt: Attempt<'a>) -> Self {
        Self { attempt, well: None }
    }

    /// One is over.
    pub(super) fn tried(&mut self, tried: &Tried<'_>) {
        // A client that sends its own body slowly is held against no version.
        let took = tried.took.saturating_sub(tried.waited);
        match tried.outcome {
            Outcome::Success => self.well = Some(took),
            outcome => self.count(tried.version, outcome, took),
        }
    }

    /// The answer may be passed on: what is to be told of how its body ends.
    pub(super) fn answered(&mut self, answered: Answered, info: &AttemptInfo) -> EvidenceRecord {
        match self.well.take() {
            Some(took) => {
                let version = info.version.as_ref().or(self.attempt.version);
                self.attempt
                    .evidence
                    .record(version, self.attempt.assignment, took, answered)
            }
            None => EvidenceRecord::default(),
        }
    }

    /// The connection was upgraded, or that was declined: what comes next is not looked at.
    pub(super) fn upgraded(&mut self, info: &AttemptInfo) {
        if let Some(took) = self.well.take() {
            self.count(info.version.as_ref(), Outcome::Success, took);
        }
    }

    /// The answer cannot be passed on.
    pub(super) fn malformed(&mut self, info: &AttemptInfo) {
        if let Some(took) = self.well.take() {
            let reset = Outcome::Refused(ErrorKind::UpstreamReset);
            self.count(info.version.as_ref(), reset, took);
        }
    }

    /// There is no answer. What an endpoint had to do with was counted already; a refusal before there was one counts for
    /// the version that was meant.
    pub(super) fn failed(&self, error: &Error) {
        if error.kind().canary_error() == CanaryError::IfMeantForCanary {
            self.count(None, Outcome::Refused(error.kind()), Duration::ZERO);
        }
    }

    fn count(&self, served: Option<&Version>, outcome: Outcome, took: Duration) {
        // An endpoint without a version is one of the stable ones, so of those that were meant.
        let version = served.or(self.attempt.version);
        self.attempt
            .evidence
            .ended(version, self.attempt.assignment, outcome, took);
    }
}
