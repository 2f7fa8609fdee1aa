//! The service: the engine around an inner one.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::{BoxError, Error};
use tower_service::Service;

use super::retries::Retries;
use crate::sender::{SendFuture, Sender};

/// What a [`RetryLayer`](super::RetryLayer) puts in front of a service.
#[derive(Clone, Debug)]
pub struct RetryService<S> {
    inner: S,
    retries: Retries,
}

impl<S> RetryService<S> {
    pub(super) fn new(inner: S, retries: Retries) -> Self {
        Self { inner, retries }
    }
}

impl<S, ResBody> Service<Request<Body>> for RetryService<S>
where
    S: Service<Request<Body>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    ResBody: http_body::Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = SendFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Error::wrap)
    }

    fn call(&mut self, request: Request<Body>) -> SendFuture {
        let mut sender = Sender::of(&mut self.inner);
        let sent = self.retries.send(request, move |request| sender.send(request));
        SendFuture::of(sent)
    }
}
