//! The service: remembers what the request accepts, and calls on.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::accepted::Accepted;
use super::body::CompressedBody;
use super::future::CompressionFuture;
use super::rule::CompressionRule;

/// What a [`CompressionLayer`](super::CompressionLayer) puts around a service.
#[derive(Clone, Debug)]
pub struct CompressionService<S> {
    inner: S,
    rule: CompressionRule,
}

impl<S> CompressionService<S> {
    pub(super) fn new(inner: S, rule: CompressionRule) -> Self {
        Self { inner, rule }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for CompressionService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<CompressedBody<ResBody>>;
    type Error = S::Error;
    type Future = CompressionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let accepted = Accepted::of(request.method(), request.headers());
        CompressionFuture::new(self.inner.call(request), self.rule, accepted)
    }
}
