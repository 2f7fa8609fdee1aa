//! The future: the wait, the inner one, and the trouble of its response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use mesh_core::BoxError;
use mesh_core::reject::{RejectBody, is_grpc, reject};
use tower_service::Service;

use super::body::FaultBody;
use super::injection::Injection;

pin_project_lite::pin_project! {
    /// The response of a [`FaultService`](super::FaultService).
    pub struct FaultFuture<S, ReqBody, F, ResBody> {
        #[pin]
        kind: Kind<S, ReqBody, F, ResBody>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<S, ReqBody, F, ResBody> {
        Waiting { waiting: Option<Box<Waiting<S, ReqBody>>> },
        Calling { #[pin] future: F, injection: Option<Injection> },
        Answered { answer: Option<Response<RejectBody<ResBody>>> },
    }
}

/// A request that waits. Boxed, since few do.
struct Waiting<S, ReqBody> {
    wait: Pin<Box<dyn Future<Output = Injection> + Send>>,
    service: S,
    request: Request<ReqBody>,
}

impl<S, ReqBody, F, ResBody> FaultFuture<S, ReqBody, F, ResBody> {
    pub(super) fn waiting(injection: Injection, service: S, request: Request<ReqBody>) -> Self {
        let wait = Box::pin(async move {
            injection.wait().await;
            injection
        });
        Self {
            kind: Kind::Waiting {
                waiting: Some(Box::new(Waiting {
                    wait,
                    service,
                    request,
                })),
            },
        }
    }

    pub(super) fn calling(future: F, injection: Option<Injection>) -> Self {
        Self {
            kind: Kind::Calling { future, injection },
        }
    }

    pub(super) fn answered(answer: Response<RejectBody<ResBody>>) -> Self {
        Self {
            kind: Kind::Answered { answer: Some(answer) },
        }
    }
}

impl<S, ReqBody, ResBody> Future for FaultFuture<S, ReqBody, S::Future, ResBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    type Output = Result<Response<FaultBody<RejectBody<ResBody>>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().kind.project() {
                KindProj::Waiting { waiting } => {
                    let Some(mut waited) = waiting.take() else {
                        // Polled after it was ready: there is nothing more to come.
                        return Poll::Pending;
                    };
                    let Poll::Ready(injection) = waited.wait.as_mut().poll(cx) else {
                        *waiting = Some(waited);
                        return Poll::Pending;
                    };
                    let Waiting {
                        mut service, request, ..
                    } = *waited;
                    match injection.abort() {
                        Some(error) => Self::answered(reject(&error, is_grpc(request.headers()))),
                        None => Self::calling(service.call(request), Some(injection)),
                    }
                }
                KindProj::Calling { future, injection } => {
                    let response = ready!(future.poll(cx))?;
                    let injection = injection.take();
                    return Poll::Ready(Ok(response.map(|body| {
                        let body = RejectBody::inner(body);
                        match injection {
                            Some(injection) => injection.body(body),
                            None => FaultBody::whole(body),
                        }
                    })));
                }
                KindProj::Answered { answer } => {
                    return match answer.take() {
                        Some(answer) => Poll::Ready(Ok(answer.map(FaultBody::whole))),
                        None => Poll::Pending,
                    };
                }
            };
            self.set(next);
        }
    }
}
