//! The future: the inner one, and what it says about the service.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use mesh_core::{BoxError, Error};

use super::admitted::{Admitted, BreakerBody};

pin_project_lite::pin_project! {
    /// The response of a [`BreakerService`](super::BreakerService).
    pub struct BreakerFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<F> {
        Admitted {
            #[pin]
            future: F,
            admitted: Option<Admitted>,
        },
        Refused { error: Option<Error> },
    }
}

impl<F> BreakerFuture<F> {
    pub(super) fn admitted(future: F, admitted: Admitted) -> Self {
        let admitted = Some(admitted);
        Self {
            kind: Kind::Admitted { future, admitted },
        }
    }

    pub(super) fn refused(error: Error) -> Self {
        Self {
            kind: Kind::Refused { error: Some(error) },
        }
    }
}

impl<F, B, E> Future for BreakerFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body,
{
    type Output = Result<Response<BreakerBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Admitted { future, admitted } => {
                let result = ready!(future.poll(cx)).map_err(Error::wrap);
                let Some(admitted) = admitted.take() else {
                    // Polled after it was ready: there is nothing more to come.
                    return Poll::Pending;
                };
                Poll::Ready(match result {
                    Ok(response) => Ok(admitted.response(response)),
                    Err(error) => {
                        admitted.failed(&error);
                        Err(error)
                    }
                })
            }
            KindProj::Refused { error } => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
        }
    }
}
