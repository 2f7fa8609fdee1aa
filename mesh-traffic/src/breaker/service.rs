//! The service: ask the breaker, then call on or refuse.

use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use mesh_core::breaker::State;
use mesh_core::{BoxError, Error, MeshContext};
use tokio::time::Instant;
use tower_service::Service;

use super::admitted::{Admitted, BreakerBody};
use super::future::BreakerFuture;
use super::service_breaker::ServiceBreaker;

/// What a [`BreakerLayer`](super::BreakerLayer) puts in front of a service.
#[derive(Clone, Debug)]
pub struct BreakerService<S> {
    inner: S,
    breaker: ServiceBreaker,
}

impl<S> BreakerService<S> {
    pub(super) fn new(inner: S, breaker: ServiceBreaker) -> Self {
        Self { inner, breaker }
    }

    fn admit<B>(&self, request: &Request<B>) -> Result<Admitted, Error> {
        let context = request.extensions().get::<MeshContext>();
        // A closed breaker does not look at the clock. For an open one it must be read: the request may have waited.
        let now = match (context, self.breaker.state()) {
            (Some(context), State::Closed) => context.received,
            _ => Instant::now(),
        };
        let admitted = self.breaker.admit(now)?;
        Ok(admitted.due_by(context.and_then(|context| context.deadline)))
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for BreakerService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: Body,
{
    type Response = Response<BreakerBody<ResBody>>;
    type Error = Error;
    type Future = BreakerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Error::wrap)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.admit(&request) {
            Ok(admitted) => BreakerFuture::admitted(self.inner.call(request), admitted),
            Err(refused) => BreakerFuture::refused(refused),
        }
    }
}
