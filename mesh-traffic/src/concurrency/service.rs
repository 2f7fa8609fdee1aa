//! The service: pass, wait or refuse.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use mesh_core::reject::{is_grpc, reject};
use mesh_core::{Error, MeshContext, RequestHead};
use tower_service::Service;

use super::future::{ConcurrencyBody, ConcurrencyFuture};
use super::layer::ConcurrencyLayer;
use super::limiter::Entry;

/// What a [`ConcurrencyLayer`](super::ConcurrencyLayer) puts in front of a service.
#[derive(Clone, Debug)]
pub struct ConcurrencyService<S> {
    inner: S,
    layer: ConcurrencyLayer,
}

impl<S> ConcurrencyService<S> {
    pub(super) fn new(inner: S, layer: ConcurrencyLayer) -> Self {
        Self { inner, layer }
    }

    fn enter<B>(&self, request: &Request<B>) -> Result<Entry, Error> {
        let head = RequestHead::of(request);
        let context = head.extensions.get::<MeshContext>();
        let deadline = context.and_then(|context| context.deadline);
        let priority = self.layer.priority().of(&head);
        self.layer.limiter().enter(priority, deadline)
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ConcurrencyService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<ConcurrencyBody<ResBody>>;
    type Error = S::Error;
    type Future = ConcurrencyFuture<S, ReqBody, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.enter(&request) {
            Ok(Entry::Passed(ticket)) => ConcurrencyFuture::passed(self.inner.call(request), ticket),
            Ok(Entry::Waits(in_line)) => {
                // The one that was ready waits; its clone stays behind.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                ConcurrencyFuture::waits(ready, request, in_line)
            }
            Err(refused) => ConcurrencyFuture::refused(reject(&refused, is_grpc(request.headers()))),
        }
    }
}
