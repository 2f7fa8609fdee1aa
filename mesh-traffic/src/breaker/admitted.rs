//! One request from leave to verdict.

use http::Response;
use http_body::Body;
use mesh_core::body_end::{End, EndBody, OnEnd};
use mesh_core::breaker::Permit;
use mesh_core::outcome::Answered;
use mesh_core::{Error, ErrorKind, Outcome};
use tokio::time::Instant;

use super::service_breaker::ServiceBreaker;

/// A request that a breaker let pass. Whoever sends it says how it ended, by one of [`response`](Self::response),
/// [`failed`](Self::failed) and [`settle`](Self::settle).
///
/// One that is dropped was given up, and the service is not to blame: if it was a trial, another takes its place. Unless
/// its [deadline](Self::due_by) had passed: that is a `timeout`.
#[derive(Debug)]
#[must_use = "dropped, it says nothing about the service"]
pub struct Admitted {
    breaker: ServiceBreaker,
    permit: Option<Permit>,
    at: Instant,
    deadline: Option<Instant>,
}

impl Admitted {
    pub(super) fn new(breaker: ServiceBreaker, permit: Permit, at: Instant) -> Self {
        Self {
            breaker,
            permit: Some(permit),
            at,
            deadline: None,
        }
    }

    /// The same, to be answered until then. A service that never answers is given up by a deadline further out, so that
    /// all it leaves behind is a request dropped too late.
    pub fn due_by(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether it is one of the few that try a half-open breaker.
    pub fn is_trial(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_trial)
    }

    /// There is a response. A failure counts now, a good head when its body is over.
    pub fn response<B: Body>(self, response: Response<B>) -> Response<BreakerBody<B>> {
        let verdict = self.answered(Answered::by(&response));
        response.map(|body| EndBody::new(body, verdict))
    }

    /// The same, and the caller has what this returns told of the body's end.
    pub fn answered(mut self, answered: Answered) -> Verdict {
        // In time: what becomes of the body is not the deadline's business.
        self.deadline = None;
        match answered {
            Answered::Ended(outcome) => {
                self.settle(outcome, Instant::now());
                Verdict(None)
            }
            open @ Answered::Open { .. } => Verdict(Some((self, open))),
        }
    }

    /// There is no response.
    pub fn failed(self, error: &Error) {
        self.settle(Outcome::Refused(error.kind()), Instant::now());
    }

    /// It ended so, at this time.
    pub fn settle(mut self, outcome: Outcome, now: Instant) {
        if let Some(permit) = self.permit.take() {
            self.breaker.record(permit, self.at, outcome, now);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let (Some(permit), Some(deadline)) = (self.permit.take(), self.deadline) else {
            return;
        };
        let now = Instant::now();
        if deadline <= now {
            let missed = Outcome::Refused(ErrorKind::Timeout);
            self.breaker.record(permit, self.at, missed, now);
        }
    }
}

/// The body of a response whose request a breaker let pass.
pub type BreakerBody<B> = EndBody<B, Verdict>;

/// Tells the breaker when the body is over. The default is that of no breaker: nobody is told.
#[derive(Debug, Default)]
pub struct Verdict(Option<(Admitted, Answered)>);

impl OnEnd for Verdict {
    fn on_end(self, end: End, at: Instant) {
        let Some((admitted, answered)) = self.0 else {
            return;
        };
        if let Some(outcome) = answered.at(end) {
            admitted.settle(outcome, at);
        }
    }
}
