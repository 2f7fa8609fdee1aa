//! The future: the inner one, or a refusal that is there already.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use mesh_core::reject::RejectBody;

use super::body::{AuthorizeBody, Standing};

pin_project_lite::pin_project! {
    /// The response of an [`AuthorizeService`](super::AuthorizeService).
    pub struct AuthorizeFuture<F, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<F, B> {
        Passed { #[pin] future: F, standing: Option<Box<Standing>> },
        Refused { answer: Option<Response<RejectBody<B>>> },
    }
}

impl<F, B> AuthorizeFuture<F, B> {
    pub(super) fn passed(future: F, standing: Option<Box<Standing>>) -> Self {
        Self {
            kind: Kind::Passed { future, standing },
        }
    }

    pub(super) fn refused(answer: Response<RejectBody<B>>) -> Self {
        Self {
            kind: Kind::Refused { answer: Some(answer) },
        }
    }
}

impl<F, B, E> Future for AuthorizeFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<AuthorizeBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Passed { future, standing } => future.poll(cx).map_ok(|response| {
                let standing = standing.take();
                response.map(|body| AuthorizeBody::new(RejectBody::inner(body), standing))
            }),
            KindProj::Refused { answer } => match answer.take() {
                Some(answer) => Poll::Ready(Ok(answer.map(|body| AuthorizeBody::new(body, None)))),
                // Polled after it was ready: there is nothing more to come.
                None => Poll::Pending,
            },
        }
    }
}
