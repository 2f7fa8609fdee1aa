//! The service: the engine around an inner one.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::{BoxError, Error};
use tower_service::Service;

use super::hedges::Hedges;
use crate::sender::{SendFuture, Sender};

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
    type Future = SendFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Error::wrap)
    }

    fn call(&mut self, request: Request<Body>) -> SendFuture {
        let mut sender = Sender::of(&mut self.inner);
        let sent = self.hedges.send(request, move |request| sender.send(request));
        SendFuture::of(sent)
    }
}
