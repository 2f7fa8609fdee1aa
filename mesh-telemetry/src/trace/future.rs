//! The response future of what tells of requests.

use std::any::Any;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Response, StatusCode};
use http_body::Body;
use mesh_core::body_end::{EndBody, OnEnd};
use mesh_core::reject;

use crate::metrics::mesh_error;
use crate::story::{Story, Telling};

/// What is kept until a response is over.
pub trait Tell: OnEnd {
    /// The head of the response is there.
    fn head<B>(&mut self, response: &Response<B>);

    /// There is none.
    fn error(&mut self, error: &dyn Any);
}

impl<S: Deref<Target = Story>> Tell for Telling<S> {
    fn head<B>(&mut self, response: &Response<B>) {
        if self.story().is_some() {
            Self::head(self, response.headers());
            self.answered(response.status(), reject::refusal_of(response));
        }
    }

    fn error(&mut self, error: &dyn Any) {
        match mesh_error(error) {
            Some(error) => self.answered(error.http_status(), Some(error.kind())),
            None => self.answered(StatusCode::INTERNAL_SERVER_ERROR, None),
        }
    }
}

pin_project_lite::pin_project! {
    /// The response future of a [`TraceService`](super::TraceService) or an [`AttemptService`](super::AttemptService).
    pub struct TraceFuture<F, T> {
        #[pin]
        inner: F,
        told: Option<T>,
    }
}

impl<F, T> TraceFuture<F, T> {
    pub(super) const fn new(inner: F, told: T) -> Self {
        Self {
            inner,
            told: Some(told),
        }
    }
}

impl<F, T, B, E> Future for TraceFuture<F, T>
where
    F: Future<Output = Result<Response<B>, E>>,
    T: Tell,
    B: Body,
    E: 'static,
{
    type Output = Result<Response<EndBody<B, T>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        // A future is not polled after it is ready; it is there.
        let Some(mut told) = this.told.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match result {
            Ok(response) => {
                told.head(&response);
                Ok(response.map(|body| EndBody::new(body, told)))
            }
            Err(error) => {
                told.error(&error);
                Err(error)
            }
        })
    }
}
