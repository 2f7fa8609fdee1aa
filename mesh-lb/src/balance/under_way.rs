//! An attempt that is under way: however it ends, the fleet and the observer are told.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use mesh_core::due::Due;
use mesh_core::{AttemptInfo, Endpoint, ErrorKind, MeshContext, Outcome, PeerInfo};
use tokio::time::Instant;

use super::attempt::Watch;
use super::{Attempt, Balance};
use crate::fleet::Unjudged;

/// An attempt at an endpoint. Dropped before its end, nobody waits for it any more; if its answer was due by then, the
/// endpoint has missed that.
pub(super) struct UnderWay<'a> {
    pub(super) balance: &'a Balance,
    pub(super) watch: Watch<'a>,
    pub(super) endpoint: Arc<Endpoint>,
    /// None when it has ended.
    pub(super) attempt: Option<Unjudged>,
    /// From 1.
    pub(super) number: u32,
    pub(super) patience: Patience,
    /// How long the client had been waited for when it began.
    pub(super) waited_before: Duration,
}

/// When whoever gives up on a request blames the endpoint for it.
#[derive(Clone)]
pub(super) enum Patience {
    /// At the request's deadline, if it has one.
    Deadline(Option<Instant>),
    /// When the answer is due.
    Due(Due),
}

impl Patience {
    /// As the layers in front said.
    pub(super) fn with<B>(request: &Request<B>) -> Self {
        let extensions = request.extensions();
        match extensions.get::<Due>() {
            Some(due) => Self::Due(due.clone()),
            None => Self::Deadline(
                extensions
                    .get::<MeshContext>()
                    .and_then(|context| context.deadline),
            ),
        }
    }

    /// How long the client was waited for until now, as far as that is looked at.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        match self {
            Self::Deadline(_) => Duration::ZERO,
            Self::Due(due) => due.waited(now),
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        match self {
            Self::Deadline(deadline) => deadline.is_some_and(|deadline| deadline <= now),
            Self::Due(due) => due.is_over(now),
        }
    }
}

impl UnderWay<'_> {
    /// There was an answer, at this time.
    pub(super) fn answered(
        mut self,
        outcome: Outcome,
        peer: Option<Arc<PeerInfo>>,
        at: Instant,
    ) -> AttemptInfo {
        self.judge(outcome, at);
        let (id, version) = (self.endpoint.id().clone(), self.endpoint.version.clone());
        AttemptInfo::new(id, version, self.number).with_peer(peer)
    }

    /// There was none.
    pub(super) fn failed(mut self, kind: ErrorKind) {
        self.judge(Outcome::Refused(kind), Instant::now());
    }

    /// There was none, and that says nothing about the endpoint.
    pub(super) fn came_to_nothing(mut self) {
        self.attempt = None;
    }

    fn judge(&mut self, outcome: Outcome, now: Instant) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        let took = now.saturating_duration_since(attempt.begun());
        self.balance.fleet().judge(attempt, outcome, now);
        let attempt = Attempt {
            endpoint: self.endpoint.id(),
            version: self.endpoint.version.as_ref(),
            took,
            waited: self.patience.waited(now).saturating_sub(self.waited_before),
            outcome,
            number: self.number,
        };
        if let Some(observe) = &self.balance.shared.observe {
            observe(&attempt);
        }
        (self.watch)(&attempt);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.attempt.is_none() {
            return;
        }
        let now = Instant::now();
        if self.patience.is_over(now) {
            self.judge(Outcome::Refused(ErrorKind::Timeout), now);
        } else if let Some(attempt) = self.attempt.take() {
            self.balance.fleet().give_up(attempt, now);
        }
    }
}
