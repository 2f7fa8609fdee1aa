//! The future: the inner response with what the decision changes of it, or an answer that is there already.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use http::header::{HeaderValue, SET_COOKIE};
use mesh_core::reject::RejectBody;

use crate::router::{Changes, CrossOrigin};

pin_project_lite::pin_project! {
    /// The response of a service behind a [`RouteLayer`](super::RouteLayer), or the layer's own.
    pub struct RouteFuture<F, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<F, B> {
        Inner { #[pin] future: F, finish: Finish },
        Answered { answer: Option<Response<RejectBody<B>>> },
    }
}

/// What is done to the response.
#[derive(Default)]
pub(super) struct Finish {
    pub(super) changes: Option<Arc<Changes>>,
    /// A cookie the client is given.
    pub(super) cookie: Option<HeaderValue>,
    /// Who may read it.
    pub(super) cors: Option<CrossOrigin>,
}

impl Finish {
    pub(super) fn finish<B>(&self, response: &mut Response<B>) {
        if let Some(changes) = &self.changes {
            changes.apply_to_response(response.headers_mut());
        }
        if let Some(cors) = &self.cors {
            cors.apply(response.headers_mut());
        }
        if let Some(cookie) = &self.cookie {
            response.headers_mut().append(SET_COOKIE, cookie.clone());
        }
    }
}

impl<F, B> RouteFuture<F, B> {
    pub(super) fn inner(future: F, finish: Finish) -> Self {
        Self {
            kind: Kind::Inner { future, finish },
        }
    }

    pub(super) fn answered(answer: Response<RejectBody<B>>) -> Self {
        Self {
            kind: Kind::Answered { answer: Some(answer) },
        }
    }
}

impl<F, B, E> Future for RouteFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<RejectBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Inner { future, finish } => {
                let mut response = ready!(future.poll(cx))?;
                finish.finish(&mut response);
                Poll::Ready(Ok(response.map(RejectBody::inner)))
            }
            KindProj::Answered { answer } => match answer.take() {
                Some(answer) => Poll::Ready(Ok(answer)),
                // Polled after it was ready: there is nothing more to come.
                None => Poll::Pending,
            },
        }
    }
}
