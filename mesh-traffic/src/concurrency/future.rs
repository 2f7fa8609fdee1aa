//! The future: a turn to wait for, then the inner one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use mesh_core::body_end::{End, EndBody, OnEnd};
use mesh_core::reject::{RejectBody, is_grpc, refusal_of, reject};
use mesh_core::{Error, Outcome};
use tokio::time::Instant;
use tower_service::Service;

use super::limiter::InLine;
use super::ticket::Ticket;

/// The body of a response, under way until it is over.
pub type ConcurrencyBody<B> = EndBody<RejectBody<B>, UnderWay>;

/// Holds the [`Ticket`] of a request until the body of its response is over.
#[derive(Debug)]
pub struct UnderWay(Option<Ticket>);

impl OnEnd for UnderWay {
    fn on_end(self, _end: End, _at: Instant) {
        drop(self.0);
    }
}

pin_project_lite::pin_project! {
    /// The response of a [`ConcurrencyService`](super::ConcurrencyService).
    pub struct ConcurrencyFuture<S, ReqBody, ResBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        kind: Kind<S, ReqBody, S::Future, ResBody>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<S, ReqBody, F, ResBody> {
        // Boxed, since nobody waits as long as there is room.
        Waiting { waiting: Option<Box<Waiting<S, ReqBody>>> },
        Passed {
            #[pin]
            future: F,
            ticket: Option<Ticket>,
        },
        Refused { answer: Option<Response<RejectBody<ResBody>>> },
    }
}

struct Waiting<S, ReqBody> {
    turn: Pin<Box<dyn Future<Output = Result<Ticket, Error>> + Send>>,
    service: S,
    request: Request<ReqBody>,
}

impl<S, ReqBody, ResBody> ConcurrencyFuture<S, ReqBody, ResBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(super) fn passed(future: S::Future, ticket: Ticket) -> Self {
        let ticket = Some(ticket);
        Self {
            kind: Kind::Passed { future, ticket },
        }
    }

    pub(super) fn waits(service: S, request: Request<ReqBody>, in_line: InLine) -> Self {
        let waiting = Box::new(Waiting {
            turn: Box::pin(in_line.turn()),
            service,
            request,
        });
        Self {
            kind: Kind::Waiting {
                waiting: Some(waiting),
            },
        }
    }

    pub(super) fn refused(answer: Response<RejectBody<ResBody>>) -> Self {
        Self {
            kind: Kind::Refused { answer: Some(answer) },
        }
    }
}

impl<S, ReqBody, ResBody> Future for ConcurrencyFuture<S, ReqBody, ResBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
{
    type Output = Result<Response<ConcurrencyBody<ResBody>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().kind.project() {
                KindProj::Waiting { waiting } => {
                    let Some(mut waited) = waiting.take() else {
                        // Polled after it was ready: there is nothing more to come.
                        return Poll::Pending;
                    };
                    let Poll::Ready(turn) = waited.turn.as_mut().poll(cx) else {
                        *waiting = Some(waited);
                        return Poll::Pending;
                    };
                    let Waiting {
                        mut service, request, ..
                    } = *waited;
                    match turn {
                        Ok(ticket) => Self::passed(service.call(request), ticket),
                        Err(refused) => Self::refused(reject(&refused, is_grpc(request.headers()))),
                    }
                }
                KindProj::Passed { future, ticket } => {
                    let response = match ready!(future.poll(cx)) {
                        Ok(response) => response,
                        Err(error) => {
                            *ticket = None;
                            return Poll::Ready(Err(error));
                        }
                    };
                    let mut ticket = ticket.take();
                    let is_good = refusal_of(&response).is_none()
                        && Outcome::of_status(response.status()) == Outcome::Success;
                    if is_good && let Some(ticket) = &mut ticket {
                        ticket.answered();
                    }
                    let under_way = UnderWay(ticket);
                    return Poll::Ready(Ok(
                        response.map(|body| EndBody::new(RejectBody::inner(body), under_way))
                    ));
                }
                KindProj::Refused { answer } => {
                    return match answer.take() {
                        Some(answer) => {
                            Poll::Ready(Ok(answer.map(|body| EndBody::new(body, UnderWay(None)))))
                        }
                        None => Poll::Pending,
                    };
                }
            };
            self.set(next);
        }
    }
}
