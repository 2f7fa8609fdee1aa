//! The service: ask, then call on or refuse.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use mesh_core::reject::{is_grpc, reject};
use mesh_core::{BoxError, MeshContext, RequestHead};
use tower_service::Service;

use super::body::{AuthorizeBody, Standing};
use super::future::AuthorizeFuture;
use super::layer::AuthorizeLayer;
use super::question::Question;

/// What an [`AuthorizeLayer`] puts in front of a service.
#[derive(Clone, Debug)]
pub struct AuthorizeService<S> {
    inner: S,
    layer: AuthorizeLayer,
}

impl<S> AuthorizeService<S> {
    pub(super) fn new(inner: S, layer: AuthorizeLayer) -> Self {
        Self { inner, layer }
    }

    /// The refusal; or what to ask about once more, if it may change.
    fn ask<B>(&self, request: &Request<B>) -> Result<Option<Box<Standing>>, mesh_core::Error> {
        let head = RequestHead::of(request);
        let context = head.extensions.get::<MeshContext>();
        let policy = self.layer.policy().load();
        let decision = policy.decide(&Question::of(&head, context));
        self.layer.tell(&decision);
        match decision.error() {
            Some(error) => Err(error),
            None if self.layer.follows() => Ok(Some(Box::new(Standing {
                layer: self.layer.clone(),
                policy: Arc::clone(&policy),
                peer: context.and_then(|context| context.peer.clone()),
                method: request.method().clone(),
                uri: request.uri().clone(),
            }))),
            None => Ok(None),
        }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for AuthorizeService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<AuthorizeBody<ResBody>>;
    type Error = S::Error;
    type Future = AuthorizeFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.ask(&request) {
            Ok(standing) => AuthorizeFuture::passed(self.inner.call(request), standing),
            Err(error) => AuthorizeFuture::refused(reject(&error, is_grpc(request.headers()))),
        }
    }
}
