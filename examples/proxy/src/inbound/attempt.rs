//! One try at a service: leave of its breaker, an endpoint, an answer.

use std::sync::Arc;

use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use mesh_core::body::Body;
use mesh_core::body_end::{Both, End, OnEnd as _};
use mesh_core::breaker::State;
use mesh_core::due::Due;
use mesh_core::hop::check_response;
use mesh_core::outcome::Answered;
use mesh_core::{Assignment, Error, MeshContext, Version};
use mesh_lb::Balance;
use mesh_telemetry::ServiceEvidence;
use mesh_telemetry::story::{Story, Try};
use mesh_traffic::ServiceBreaker;
use mesh_traffic::breaker::{Admitted, Verdict};
use tokio::time::Instant;

use super::sent::Sent;
use super::tries::Tries;

/// Where a request is tried.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) breaker: Option<&'a ServiceBreaker>,
    pub(super) balance: &'a Balance,
    pub(super) version: Option<&'a Version>,
    pub(super) evidence: &'a Arc<ServiceEvidence>,
    /// How the request came to that version.
    pub(super) assignment: Assignment,
    pub(super) received: Instant,
    /// When the service is to have answered by its configuration. A caller that waits less does not make it worse.
    pub(super) due: Option<Instant>,
    /// What is told of the request.
    pub(super) story: Option<&'a Story>,
}

impl Attempt<'_> {
    /// Sends a request. What the balancer sends elsewhere by itself is one try: the breaker is told what came of all.
    ///
    /// # Errors
    /// The breaker's and the balancer's; an answer that cannot be passed on.
    pub(super) async fn send(&self, request: &mut Request<Body>) -> Result<Sent, Error> {
        let mut asked = self.ask()?;
        asked.watch(request);
        let tried = self.begin(request);
        let mut tries = Tries::of(*self);
        let sent = self
            .balance
            .send_watched(request, self.version, &mut |tried| tries.tried(tried))
            .await;
        let error = match sent {
            Ok((response, info)) => {
                match check_response(response.status(), response.version(), response.headers(), false) {
                    Ok(()) => {
                        if let Some(tried) = tried {
                            tried.answered(&response, &info);
                        }
                        let answered = Answered::by(&response);
                        let evidence = tries.answered(answered, &info);
                        let verdict = asked.answered(answered);
                        return Ok(Sent {
                            response,
                            learning: Both(evidence, verdict),
                        });
                    }
                    Err(error) => {
                        tries.malformed(&info);
                        error
                    }
                }
            }
            Err(error) => error,
        };
        if let Some(tried) = tried {
            tried.failed(&error);
        }
        tries.failed(&error);
        Err(asked.failed(error))
    }

    fn begin(&self, request: &mut Request<Body>) -> Option<Try<'_>> {
        let story = self.story?;
        Some(story.begin_try(request, Instant::now()))
    }

    /// Sends a request that asks for an upgrade.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(super) async fn send_upgrade(
        &self,
        request: &mut Request<Body>,
    ) -> Result<(Response<Incoming>, Verdict), Error> {
        let asked = self.ask()?;
        let tried = self.begin(request);
        let mut tries = Tries::of(*self);
        let sent = self
            .balance
            .send_upgrade_watched(request, self.version, &mut |tried| tries.tried(tried))
            .await;
        match sent {
            Ok((response, info)) => {
                if let Some(tried) = tried {
                    tried.answered(&response, &info);
                }
                tries.upgraded(&info);
                let verdict = asked.answered(Answered::by(&response));
                Ok((response, verdict))
            }
            Err(error) => {
                if let Some(tried) = tried {
                    tried.failed(&error);
                }
                tries.failed(&error);
                Err(asked.failed(error))
            }
        }
    }

    /// Whether the service may be tried once more.
    ///
    /// # Errors
    /// It rests.
    pub(super) fn leave(self) -> Result<(), Error> {
        match self.breaker {
            Some(breaker) if breaker.state() == State::Open => breaker.admit(Instant::now()).map(drop),
            _ => Ok(()),
        }
    }

    /// Asks the breaker for leave.
    ///
    /// # Errors
    /// The service rests.
    pub(super) fn ask(self) -> Result<Asked, Error> {
        let mut asked = Asked {
            admitted: None,
            at: self.due,
            began: self.received,
            due: None,
        };
        if let Some(breaker) = self.breaker {
            // A closed breaker needs no newer time than when the request came; for an open one it may have waited.
            let now = match breaker.state() {
                State::Closed => self.received,
                _ => Instant::now(),
            };
            let admitted = breaker.admit(now);
            asked.admitted = Some(admitted.inspect_err(|refused| Tries::of(self).failed(refused))?);
        }
        Ok(asked)
    }
}

/// A try that is under way. Dropped after the service was due, it is one that the service has missed, unless it was the
/// client that kept it waiting.
pub(super) struct Asked {
    admitted: Option<Admitted>,
    /// When the service is to have answered.
    at: Option<Instant>,
    began: Instant,
    /// The same, if it is not as simple as that.
    due: Option<Due>,
}

impl Asked {
    /// Says when the answer is due, where that is not the request's deadline: the caller may wait less, and may let its
    /// own body be waited for.
    pub(super) fn watch(&mut self, request: &mut Request<Body>) {
        let context = request.extensions().get::<MeshContext>();
        let deadline = context.and_then(|context| context.deadline);
        if request.body().is_end_stream() && deadline == self.at {
            return;
        }
        let due = Due::new(self.at, self.began);
        self.due = Some(due.clone());
        request.extensions_mut().insert(due.clone());
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = due.watch(body);
    }

    /// There is an answer: what the breaker learns when its body is over.
    pub(super) fn answered(mut self, answered: Answered) -> Verdict {
        match self.admitted.take() {
            Some(admitted) => admitted.answered(answered),
            None => Verdict::default(),
        }
    }

    pub(super) fn failed(mut self, error: Error) -> Error {
        if let Some(admitted) = self.admitted.take() {
            admitted.failed(&error);
        }
        error
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            let at = match &self.due {
                None => self.at,
                // It is over now or not.
                Some(due) => Some(Instant::now()).filter(|now| due.is_over(*now)),
            };
            drop(admitted.due_by(at));
        }
    }
}

/// The answer to a request for an upgrade was none that can be passed on.
pub(super) fn malformed(verdict: Verdict) {
    verdict.on_end(End::Failed, Instant::now());
}
