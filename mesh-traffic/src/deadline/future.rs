//! The future: the inner one, until the deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use mesh_core::reject::{RejectBody, reject};
use mesh_core::{Error, ErrorKind, duration};
use tokio::time::{Instant, Sleep, sleep_until};

/// Until when a request must be answered.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) deadline: Instant,
    pub(super) received: Instant,
    /// In which language a refusal is told.
    pub(super) grpc: bool,
}

impl Term {
    fn missed<B>(&self, what: &str) -> Response<RejectBody<B>> {
        let allowed = duration::display(self.deadline.saturating_duration_since(self.received));
        let message = format!("{what} {allowed} after the request came");
        reject(&Error::new(ErrorKind::Timeout, message), self.grpc)
    }
}

pin_project_lite::pin_project! {
    /// The response of a [`DeadlineService`](super::DeadlineService): the inner one, or at the deadline a refusal.
    pub struct DeadlineFuture<F, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<F, B> {
        Inner {
            #[pin]
            future: F,
            // Made only when the inner future is not ready at once.
            #[pin]
            timer: Option<Sleep>,
            term: Option<Term>,
        },
        Answered { answer: Option<Response<RejectBody<B>>> },
    }
}

impl<F, B> DeadlineFuture<F, B> {
    pub(super) fn inner(future: F, term: Option<Term>) -> Self {
        Self {
            kind: Kind::Inner {
                future,
                timer: None,
                term,
            },
        }
    }

    /// The deadline passed before the inner service was called.
    pub(super) fn passed(term: &Term) -> Self {
        let answer = term.missed("the service was not asked, since the deadline passed before:");
        Self {
            kind: Kind::Answered { answer: Some(answer) },
        }
    }
}

impl<F, B, E> Future for DeadlineFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<RejectBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.project().kind;
        let answer = match kind.as_mut().project() {
            KindProj::Inner {
                future,
                mut timer,
                term,
            } => {
                if let Poll::Ready(answered) = future.poll(cx) {
                    return Poll::Ready(answered.map(|response| response.map(RejectBody::inner)));
                }
                let Some(term) = term else {
                    return Poll::Pending;
                };
                if timer.is_none() {
                    timer.set(Some(sleep_until(term.deadline)));
                }
                if let Some(timer) = timer.as_pin_mut() {
                    ready!(timer.poll(cx));
                }
                term.missed("the service did not answer before the deadline,")
            }
            KindProj::Answered { answer } => {
                // Polled after it was ready: there is nothing more to come.
                return answer
                    .take()
                    .map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)));
            }
        };
        // Cancels the inner future now, whenever this one is dropped.
        kind.set(Kind::Answered { answer: None });
        Poll::Ready(Ok(answer))
    }
}
