//! The service: set the deadline, then call on within it.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use mesh_core::MeshContext;
use mesh_core::reject::{RejectBody, is_grpc};
use tokio::time::Instant;
use tower_service::Service;

use super::future::{DeadlineFuture, Term};
use super::require_within;

/// What a [`DeadlineLayer`](super::DeadlineLayer) puts in front of a service.
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    at_most: Option<Duration>,
}

impl<S> DeadlineService<S> {
    pub(super) fn new(inner: S, at_most: Option<Duration>) -> Self {
        Self { inner, at_most }
    }

    /// Until when this request must be answered. Leaves it in the request.
    fn term<B>(&self, request: &mut Request<B>) -> Option<Term> {
        let grpc = is_grpc(request.headers());
        let extensions = request.extensions_mut();
        if let Some(limit) = self.at_most {
            let context = extensions.get_or_insert_with(|| MeshContext::new(Instant::now()));
            require_within(context, limit);
        }
        let context = extensions.get::<MeshContext>()?;
        Some(Term {
            deadline: context.deadline?,
            received: context.received,
            grpc,
        })
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for DeadlineService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<RejectBody<ResBody>>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let term = self.term(&mut request);
        match term {
            // The clock is read once more, since the request may have waited in a queue after it was received.
            Some(term) if term.deadline <= Instant::now() => DeadlineFuture::passed(&term),
            _ => DeadlineFuture::inner(self.inner.call(request), term),
        }
    }
}
