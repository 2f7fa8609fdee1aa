//! The service: the engine around an inner one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::{BoxError, Error};
use tower_service::Service;

use super::hedges::Hedges;
use crate::retry::sender::Sender;

/// What a [`HedgeLayer`](super::HedgeLayer) puts in front of a service.
#[derive(Clone, Debug)]
pub struct HedgeService<S> {
    inner: S,
    hedges: Hedges,
}

impl<S> HedgeService<S> {
    pub(super) fn new(inner: S, hedges: Hedges) -> Self {
        Self { inner, hedges }
    }
}

impl<S, ResBody> Service<Request<Body>> for HedgeService<S>
where
    S: Service<Request<Body>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    ResBody: http_body::Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = HedgeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Error::wrap)
    }

    fn call(&mut self, request: Request<Body>) -> HedgeFuture {
        let mut sender = Sender::of(&mut self.inner);
        let sent = self.hedges.send(request, move |request| sender.send(request));
        HedgeFuture(Box::pin(sent))
    }
}

/// The response of a [`HedgeService`].
pub struct HedgeFuture(Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>);

impl Future for HedgeFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for HedgeFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HedgeFuture").finish_non_exhaustive()
    }
}
