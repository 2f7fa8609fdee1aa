//! The layer on the side that calls.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Request;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::CURRENT;
use crate::error::{BoxError, Error};

/// Puts what is carried where a call is made into the request that goes out ([`Carried::put_into`](super::Carried::put_into)),
/// and does not send what is too late. Outside of a request it changes nothing.
///
/// It stands outside of all that reads a request's fields, deadline or attempt: rules, which send the one who chose the
/// canary there again, and what tries again, which leaves a request alone that is a retry already.
///
/// A call that is under way at the deadline is ended by whoever ends the request, which drops its future. In a task of its
/// own it goes on; what it calls ends it.
///
/// # Errors
/// Those of the inner service, as [`Error`]; and [`Timeout`](crate::ErrorKind::Timeout) for a request whose deadline is
/// over. The inner service is not called then.
#[derive(Clone, Copy, Debug, Default)]
pub struct InheritLayer {
    _private: (),
}

impl InheritLayer {
    /// A layer for a client, to whatever it calls.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for InheritLayer {
    type Service = InheritService<S>;

    fn layer(&self, inner: S) -> InheritService<S> {
        InheritService { inner }
    }
}

/// A client behind an [`InheritLayer`].
#[derive(Clone, Debug)]
pub struct InheritService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for InheritService<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = InheritFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Error::wrap)
    }

    fn call(&mut self, mut request: Request<B>) -> InheritFuture<S::Future> {
        // Fails only where nothing is carried.
        let put = CURRENT.try_with(|carried| match carried {
            Some(carried) => carried.put_into(&mut request, Instant::now()),
            None => Ok(()),
        });
        let step = match put {
            Ok(Err(error)) => Step::Refused { error: Some(error) },
            Ok(Ok(())) | Err(_) => Step::Called {
                future: self.inner.call(request),
            },
        };
        InheritFuture { step }
    }
}

pin_project_lite::pin_project! {
    /// The response of an [`InheritService`].
    pub struct InheritFuture<F> {
        #[pin]
        step: Step<F>,
    }
}

pin_project_lite::pin_project! {
    #[project = StepProj]
    enum Step<F> {
        Refused { error: Option<Error> },
        Called { #[pin] future: F },
    }
}

impl<F, T, E> Future for InheritFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().step.project() {
            // Asked again after its answer, a future may do anything but panic.
            StepProj::Refused { error } => error
                .take()
                .map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            StepProj::Called { future } => future.poll(cx).map_err(Error::wrap),
        }
    }
}
