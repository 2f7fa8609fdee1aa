//! A service as a function that may be called several times, also while an earlier call is under way; for layers that
//! send more than once.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::{BoxError, Error};
use tower_service::Service;

/// Takes the service that was ready for the first call, and leaves a clone of it behind. Later calls use clones of their
/// own, and wait until those are ready.
pub(crate) struct Sender<S> {
    ready: Option<S>,
    spare: S,
}

impl<S: Clone> Sender<S> {
    pub(crate) fn of(service: &mut S) -> Self {
        let spare = service.clone();
        Self {
            ready: Some(std::mem::replace(service, spare.clone())),
            spare,
        }
    }

    /// Sends a request, without holding on to this.
    pub(crate) fn send<B>(
        &mut self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + use<S, B>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        match self.ready.take() {
            Some(mut service) => Sent::At {
                answer: service.call(request),
            },
            None => {
                let mut service = self.spare.clone();
                Sent::Later {
                    answer: Box::pin(async move {
                        poll_fn(|cx| service.poll_ready(cx)).await?;
                        service.call(request).await
                    }),
                }
            }
        }
    }
}

/// The response of a layer that may send a request more than once.
pub struct SendFuture(Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>);

impl SendFuture {
    pub(crate) fn of(sent: impl Future<Output = Result<Response<Body>, Error>> + Send + 'static) -> Self {
        Self(Box::pin(sent))
    }
}

impl Future for SendFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for SendFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture").finish_non_exhaustive()
    }
}

pin_project_lite::pin_project! {
    /// The answer to a call that was made at once, or to one that waits for its service. No `async` block, which would
    /// have room for the first twice.
    #[project = SentProj]
    enum Sent<F, L> {
        At {
            #[pin]
            answer: F,
        },
        // Boxed, since most requests are sent once.
        Later { answer: Pin<Box<L>> },
    }
}

impl<F, L, B, E> Future for Sent<F, L>
where
    F: Future<Output = Result<Response<B>, E>>,
    L: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = match self.project() {
            SentProj::At { answer } => ready!(answer.poll(cx)),
            SentProj::Later { answer } => ready!(answer.as_mut().poll(cx)),
        };
        Poll::Ready(Ok(answered.map_err(Error::wrap)?.map(Body::new)))
    }
}
