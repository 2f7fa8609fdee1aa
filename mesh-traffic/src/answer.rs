//! The future of a layer that may answer by itself: the inner one, or an answer that is there already.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use mesh_core::reject::RejectBody;

pin_project_lite::pin_project! {
    /// The response of a service that a layer stands in front of, or the layer's own.
    pub struct AnswerFuture<F, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<F, B> {
        Inner { #[pin] future: F },
        Answered { answer: Option<Response<RejectBody<B>>> },
    }
}

impl<F, B> AnswerFuture<F, B> {
    pub(crate) fn inner(future: F) -> Self {
        Self {
            kind: Kind::Inner { future },
        }
    }

    pub(crate) fn answered(answer: Response<RejectBody<B>>) -> Self {
        Self {
            kind: Kind::Answered { answer: Some(answer) },
        }
    }
}

impl<F, B, E> Future for AnswerFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<RejectBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Inner { future } => future.poll(cx).map_ok(|response| response.map(RejectBody::inner)),
            KindProj::Answered { answer } => match answer.take() {
                Some(answer) => Poll::Ready(Ok(answer)),
                // Polled after it was ready: there is nothing more to come.
                None => Poll::Pending,
            },
        }
    }
}
