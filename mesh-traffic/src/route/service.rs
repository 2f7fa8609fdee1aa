//! The service: decide, then call on or answer.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use mesh_core::reject::{RejectBody, is_grpc, reject};
use mesh_core::{Error, Live, MeshContext, RequestHead};
use tokio::time::Instant;
use tower_service::Service;

use super::layer::Routes;
use crate::answer::AnswerFuture;
use crate::deadline::require_within;
use crate::router::{Action, RouteTable};

/// What [`RouteLayer`](super::RouteLayer) puts in front of a service.
#[derive(Debug)]
pub struct RouteService<S, T = RouteTable> {
    inner: S,
    routes: Live<T>,
}

impl<S, T> RouteService<S, T> {
    pub(super) fn new(inner: S, routes: Live<T>) -> Self {
        Self { inner, routes }
    }
}

impl<S: Clone, T> Clone for RouteService<S, T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            routes: self.routes.clone(),
        }
    }
}

impl<S, T, ReqBody, ResBody> Service<Request<ReqBody>> for RouteService<S, T>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    T: Routes,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<RejectBody<ResBody>>;
    type Error = S::Error;
    type Future = AnswerFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        match decide(&**self.routes.load(), &mut request) {
            Some(answer) => AnswerFuture::answered(answer),
            None => AnswerFuture::inner(self.inner.call(request)),
        }
    }
}

/// Leaves in the request where it goes, or gives the answer to it.
fn decide<T: Routes, ReqBody, ResBody>(
    routes: &T,
    request: &mut Request<ReqBody>,
) -> Option<Response<RejectBody<ResBody>>> {
    if request.extensions().get::<MeshContext>().is_none() {
        request.extensions_mut().insert(MeshContext::new(Instant::now()));
    }
    let context = request.extensions().get::<MeshContext>()?;
    if context.target.is_some() {
        return None;
    }
    let head = RequestHead::of(request);
    let decision = match routes
        .table()
        .route(&head, context.source_service(), fastrand::u32(..))
    {
        Ok(decision) => decision,
        Err(nothing) => return Some(reject(&Error::from(nothing), is_grpc(head.headers))),
    };
    match decision.action() {
        Action::Respond(respond) => Some(respond.response()),
        Action::Forward(target) => {
            let extensions = request.extensions_mut();
            if let Some(context) = extensions.get_mut::<MeshContext>() {
                context.target = Some(target.clone());
                if let Some(timeout) = decision.timeout() {
                    require_within(context, timeout);
                }
            }
            routes.attach(decision, extensions);
            None
        }
    }
}
