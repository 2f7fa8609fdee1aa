//! The service: decide, then call on with the trouble there is to be.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use mesh_core::reject::{RejectBody, is_grpc, reject};
use mesh_core::{BoxError, MeshContext};
use tokio::time::Instant;
use tower_service::Service;

use super::asked::Asked;
use super::body::FaultBody;
use super::future::FaultFuture;
use super::injection::Injection;
use super::layer::FaultLayer;

/// What a [`FaultLayer`] puts in front of a service.
#[derive(Clone, Debug)]
pub struct FaultService<S> {
    inner: S,
    layer: FaultLayer,
}

impl<S> FaultService<S> {
    pub(super) fn new(inner: S, layer: FaultLayer) -> Self {
        Self { inner, layer }
    }

    fn begin<B>(&self, request: &mut Request<B>) -> Option<Injection> {
        let context = request.extensions().get::<MeshContext>();
        let now = context.map_or_else(Instant::now, |context| context.received);
        let asked = match self.layer.faults().is_on_request() {
            true => {
                let may_ask = context
                    .and_then(|context| context.peer.as_ref())
                    .is_some_and(|peer| peer.identity.is_some());
                let asked = may_ask.then(|| Asked::of(request.headers())).flatten();
                Asked::strip(request.headers_mut());
                asked
            }
            false => None,
        };
        self.layer.begin(asked.as_ref(), fastrand::u64(..), now)
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for FaultService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<FaultBody<RejectBody<ResBody>>>;
    type Error = S::Error;
    type Future = FaultFuture<S, ReqBody, S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let Some(injection) = self.begin(&mut request) else {
            return FaultFuture::calling(self.inner.call(request), None);
        };
        if injection.fault().delay.is_some() {
            // The one that was ready is the one that is called, though later.
            let clone = self.inner.clone();
            let ready = std::mem::replace(&mut self.inner, clone);
            return FaultFuture::waiting(injection, ready, request);
        }
        match injection.abort() {
            Some(error) => FaultFuture::answered(reject(&error, is_grpc(request.headers()))),
            None => FaultFuture::calling(self.inner.call(request), Some(injection)),
        }
    }
}
