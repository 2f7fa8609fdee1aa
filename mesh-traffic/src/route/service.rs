//! The service: decide, then call on or answer.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Response};
use http_body::Body;
use mesh_core::reject::{RejectBody, is_grpc, reject};
use mesh_core::{Error, Live, MeshContext, RequestHead};
use tokio::time::Instant;
use tower_service::Service;

use super::future::{Finish, RouteFuture};
use super::layer::Routes;
use crate::deadline::require_within;
use crate::router::CrossOrigin;
use crate::router::{Action, Asking, RouteTable};

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
    type Future = RouteFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match decide(&**self.routes.load(), request) {
            Ok((request, finish)) => RouteFuture::inner(self.inner.call(request), finish),
            Err(answer) => RouteFuture::answered(answer),
        }
    }
}

/// The request with where it goes, and what is done to its response; or the answer to it.
#[expect(clippy::result_large_err, reason = "it is the answer, moved once")]
fn decide<T: Routes, ReqBody, ResBody>(
    routes: &T,
    mut request: Request<ReqBody>,
) -> Result<(Request<ReqBody>, Finish), Response<RejectBody<ResBody>>> {
    let context = request
        .extensions_mut()
        .get_or_insert_with(|| MeshContext::new(Instant::now()));
    if context.target.is_some() {
        return Ok((request, Finish::default()));
    }
    let context = context.clone();
    let head = RequestHead::of(&request);
    let asking = Asking::of(&head, &context);
    if let Some((_, cors)) = routes.table().preflight(&asking) {
        return Err(cors.preflight(&head));
    }
    let routed = match routes.table().route(&asking) {
        Ok(routed) => routed,
        Err(nothing) => return Err(reject(&Error::from(nothing), is_grpc(head.headers))),
    };
    let (decision, assignment) = (routed.decision(), routed.assignment());
    let finish = Finish {
        changes: decision.changes().cloned(),
        cookie: routed.cookie().and_then(|cookie| cookie.set_cookie()),
        cors: decision.cors().map(|cors| CrossOrigin::of(cors, head.headers)),
    };
    let answered = |mut answer: Response<_>| {
        finish.finish(&mut answer);
        Err(answer)
    };
    match decision.action() {
        Action::Respond(respond) => answered(respond.response()),
        Action::Redirect(redirect) => answered(redirect.response(&head, &scheme(&head, &context))),
        Action::Forward(target) => {
            let extensions = request.extensions_mut();
            if let Some(context) = extensions.get_mut::<MeshContext>() {
                context.target = Some(target.clone());
                context.assignment = assignment;
                if let Some(timeout) = decision.timeout() {
                    require_within(context, timeout);
                }
            }
            routes.attach(decision, extensions);
            if let Some(changes) = decision.changes().filter(|changes| changes.touch_request()) {
                let (mut parts, body) = request.into_parts();
                changes.apply_to_request(&mut parts);
                request = Request::from_parts(parts, body);
            }
            Ok((request, finish))
        }
    }
}

/// The scheme a request came by.
fn scheme(head: &RequestHead<'_>, context: &MeshContext) -> Scheme {
    let tls = || context.peer.as_ref().is_some_and(|peer| peer.tls);
    match head.uri.scheme() {
        Some(scheme) => scheme.clone(),
        None if tls() => Scheme::HTTPS,
        None => Scheme::HTTP,
    }
}
