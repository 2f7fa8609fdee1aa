//! The service: count, then call on or refuse.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use mesh_core::reject::{RejectBody, is_grpc};
use mesh_core::{MeshContext, RequestHead};
use tokio::time::Instant;
use tower_service::Service;

use super::layer::RateLimitLayer;
use super::limited::Limited;
use crate::answer::AnswerFuture;

/// What a [`RateLimitLayer`] puts in front of a service.
#[derive(Clone, Debug)]
pub struct RateLimitService<S> {
    inner: S,
    limit: RateLimitLayer,
}

impl<S> RateLimitService<S> {
    pub(super) fn new(inner: S, limit: RateLimitLayer) -> Self {
        Self { inner, limit }
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), Limited> {
        let head = RequestHead::of(request);
        let context = head.extensions.get::<MeshContext>();
        let now = context.map_or_else(Instant::now, |context| context.received);
        self.limit.limiter().check(self.limit.extractor().key(&head), now)
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RateLimitService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<RejectBody<ResBody>>;
    type Error = S::Error;
    type Future = AnswerFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.check(&request) {
            Err(limited) if !self.limit.is_dry_run() => {
                AnswerFuture::answered(limited.refusal(is_grpc(request.headers())))
            }
            _ => AnswerFuture::inner(self.inner.call(request)),
        }
    }
}
