//! The service: begins a copy, and calls on.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::Body;
use mesh_core::MeshContext;
use mesh_core::upgrade::asks_for_tunnel;
use tokio::time::Instant;
use tower_service::Service;

use super::handle::Mirror;
use super::layer::Send;
use super::tee::TeeBody;

/// What a [`MirrorLayer`](super::MirrorLayer) puts in front of a service.
#[derive(Clone)]
pub struct MirrorService<S> {
    inner: S,
    mirror: Mirror,
    send: Send,
}

impl<S> MirrorService<S> {
    pub(super) fn new(inner: S, mirror: Mirror, send: Send) -> Self {
        Self { inner, mirror, send }
    }
}

impl<S, B> Service<Request<B>> for MirrorService<S>
where
    S: Service<Request<TeeBody<B>>>,
    B: Body<Data = Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        let received = || {
            let context = request.extensions().get::<MeshContext>();
            context.map_or_else(Instant::now, |context| context.received)
        };
        let begun = match asks_for_tunnel(request.method(), request.headers()) {
            true => None,
            false => self.mirror.begin(fastrand::u32(..), received()),
        };
        let Some(begun) = begun else {
            return self.inner.call(request.map(TeeBody::plain));
        };
        let (request, copy) = begun.tee(request);
        (self.send)(copy);
        self.inner.call(request)
    }
}

impl<S: fmt::Debug> fmt::Debug for MirrorService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorService")
            .field("inner", &self.inner)
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}
