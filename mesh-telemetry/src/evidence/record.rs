//! An attempt that was answered, until its body is over.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::Assignment;
use mesh_core::body_end::{End, EndBody, OnEnd};
use mesh_core::outcome::Answered;
use tokio::time::Instant;

use super::counts::{Counts, Ended};
use super::of_service::{ServiceEvidence, is_error};

/// The body of an answer whose attempt is counted when it is over.
pub type EvidenceBody<B> = EndBody<B, EvidenceRecord>;

/// Counts an attempt when the body of its answer is over. The default counts nothing: there is nothing more to learn.
#[derive(Default)]
pub struct EvidenceRecord(Option<Open>);

struct Open {
    service: Arc<ServiceEvidence>,
    counts: Arc<Counts>,
    answered: Answered,
    assignment: Assignment,
    took: Duration,
}

impl EvidenceRecord {
    pub(super) fn new(
        service: Arc<ServiceEvidence>,
        counts: Arc<Counts>,
        answered: Answered,
        assignment: Assignment,
        took: Duration,
    ) -> Self {
        Self(Some(Open {
            service,
            counts,
            answered,
            assignment,
            took,
        }))
    }
}

impl OnEnd for EvidenceRecord {
    fn on_end(self, end: End, at: Instant) {
        let Some(open) = self.0 else { return };
        if let Some(failed) = open.answered.at(end).and_then(is_error) {
            let ended = Ended {
                assignment: open.assignment,
                failed,
                refused: None,
                took: open.took,
            };
            open.service.over(&open.counts, ended, at);
        }
    }
}
