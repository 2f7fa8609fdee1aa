//! One try at a service: leave of its breaker, an endpoint, an answer.

use http::{Request, Response};
use hyper::body::Incoming;
use mesh_core::body::Body;
use mesh_core::body_end::EndBody;
use mesh_core::breaker::State;
use mesh_core::{AttemptInfo, Error, Version};
use mesh_lb::Balance;
use mesh_lb::load::InFlight;
use mesh_traffic::breaker::{Admitted, BreakerBody, Verdict};
use tokio::time::Instant;

use crate::breakers::Watched;

/// The body of an answer: the breaker learns from it how the request ended.
pub(super) type SentBody = BreakerBody<Body>;

/// Where a request is tried.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) breaker: Option<&'a Watched>,
    pub(super) balance: &'a Balance,
    pub(super) version: Option<&'a Version>,
    pub(super) received: Instant,
    pub(super) deadline: Option<Instant>,
}

impl Attempt<'_> {
    /// Sends a request. What the balancer sends elsewhere by itself is one try: the breaker is told what came of all.
    ///
    /// # Errors
    /// The breaker's and the balancer's.
    pub(super) async fn send(
        self,
        request: Request<Body>,
    ) -> Result<(Response<SentBody>, AttemptInfo), Error> {
        let admitted = self.admit()?;
        match self.balance.send(request, self.version).await {
            Ok((response, info)) => Ok((judged(admitted, response), info)),
            Err(error) => Err(failed(admitted, error)),
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
        let admitted = self.admit()?;
        match self.balance.send_upgrade(request, self.version).await {
            Ok((response, _, in_flight)) => Ok((judged(admitted, response), in_flight)),
            Err(error) => Err(failed(admitted, error)),
        }
    }

    fn admit(self) -> Result<Option<Admitted>, Error> {
        let Some(watched) = self.breaker else {
            return Ok(None);
        };
        let breaker = watched.breaker();
        // A closed breaker needs no newer time than when the request came; for an open one it may have waited.
        let now = match breaker.state() {
            State::Closed => self.received,
            _ => Instant::now(),
        };
        Ok(Some(breaker.admit(now)?.due_by(self.deadline)))
    }
}

/// A body that no breaker waits for.
pub(super) fn unwatched(body: Body) -> SentBody {
    EndBody::new(body, Verdict::default())
}

fn judged<B: http_body::Body>(admitted: Option<Admitted>, response: Response<B>) -> Response<BreakerBody<B>> {
    match admitted {
        Some(admitted) => admitted.response(response),
        None => response.map(|body| EndBody::new(body, Verdict::default())),
    }
}

fn failed(admitted: Option<Admitted>, error: Error) -> Error {
    if let Some(admitted) = admitted {
        admitted.failed(&error);
    }
    error
}
