//! One try at a service: leave of its breaker, an endpoint, an answer.

mod upload;

use http::{Request, Response};
use hyper::body::Incoming;
use mesh_core::body::Body;
use mesh_core::body_end::EndBody;
use mesh_core::breaker::State;
use mesh_core::hop::check_response;
use mesh_core::{AttemptInfo, Error, Version};
use mesh_lb::Balance;
use mesh_lb::load::InFlight;
use mesh_traffic::breaker::{Admitted, BreakerBody, Verdict};
use tokio::time::Instant;

use crate::breakers::Watched;
use upload::Upload;

/// The body of an answer: the breaker learns from it how the request ended.
pub(super) type SentBody = BreakerBody<Body>;

/// Where a request is tried.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) breaker: Option<&'a Watched>,
    pub(super) balance: &'a Balance,
    pub(super) version: Option<&'a Version>,
    pub(super) received: Instant,
    /// When the service is to have answered by its configuration. A caller that waits less does not make it worse.
    pub(super) due: Option<Instant>,
}

impl Attempt<'_> {
    /// Sends a request. What the balancer sends elsewhere by itself is one try: the breaker is told what came of all.
    ///
    /// # Errors
    /// The breaker's and the balancer's; an answer that cannot be passed on.
    pub(super) async fn send(
        self,
        mut request: Request<Body>,
    ) -> Result<(Response<SentBody>, AttemptInfo), Error> {
        let mut asked = self.ask()?;
        if asked.due.is_some() && asked.admitted.is_some() {
            request = asked.watch(request);
        }
        let sent = self.balance.send(request, self.version).await;
        let sent = sent.and_then(|(response, info)| {
            check_response(response.status(), response.version(), response.headers(), false)?;
            Ok((response, info))
        });
        match sent {
            Ok((response, info)) => Ok((asked.answered(response), info)),
            Err(error) => Err(asked.failed(error)),
        }
    }

    /// Sends a request that asks for an upgrade.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(super) async fn send_upgrade(
        self,
        request: Request<Body>,
    ) -> Result<(Response<BreakerBody<Incoming>>, InFlight), Error> {
        let asked = self.ask()?;
        match self.balance.send_upgrade(request, self.version).await {
            Ok((response, _, in_flight)) => Ok((asked.answered(response), in_flight)),
            Err(error) => Err(asked.failed(error)),
        }
    }

    fn ask(self) -> Result<Asked, Error> {
        let mut asked = Asked {
            admitted: None,
            due: self.due,
            upload: None,
        };
        if let Some(watched) = self.breaker {
            let breaker = watched.breaker();
            // A closed breaker needs no newer time than when the request came; for an open one it may have waited.
            let now = match breaker.state() {
                State::Closed => self.received,
                _ => Instant::now(),
            };
            asked.admitted = Some(breaker.admit(now)?);
        }
        Ok(asked)
    }
}

/// A try that is under way. Dropped after the service was due, it is one that the service has missed, unless it was the
/// client that kept it waiting.
struct Asked {
    admitted: Option<Admitted>,
    due: Option<Instant>,
    /// If there is a body.
    upload: Option<Upload>,
}

impl Asked {
    fn watch(&mut self, request: Request<Body>) -> Request<Body> {
        let (head, body) = request.into_parts();
        let (body, upload) = Upload::of(body);
        self.upload = upload;
        Request::from_parts(head, body)
    }

    fn answered<B: http_body::Body>(mut self, response: Response<B>) -> Response<BreakerBody<B>> {
        match self.admitted.take() {
            Some(admitted) => admitted.response(response),
            None => response.map(|body| EndBody::new(body, Verdict::default())),
        }
    }

    fn failed(mut self, error: Error) -> Error {
        if let Some(admitted) = self.admitted.take() {
            admitted.failed(&error);
        }
        error
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            let waits_for_client = self.upload.as_ref().is_some_and(Upload::waits_for_client);
            drop(admitted.due_by(self.due.filter(|_| !waits_for_client)));
        }
    }
}

/// A body that no breaker waits for.
pub(super) fn unwatched(body: Body) -> SentBody {
    EndBody::new(body, Verdict::default())
}
