//! The service: the engine around an inner one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::{BoxError, Error};
use tower_service::Service;

use super::retries::Retries;
use super::sender::Sender;

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
    type Future = RetryFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Error::wrap)
    }

    fn call(&mut self, request: Request<Body>) -> RetryFuture {
        let mut sender = Sender::of(&mut self.inner);
        let sent = self.retries.send(request, move |request| sender.send(request));
        RetryFuture(Box::pin(sent))
    }
}

/// The response of a [`RetryService`].
pub struct RetryFuture(Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>);

impl Future for RetryFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for RetryFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetryFuture").finish_non_exhaustive()
    }
}
