//! The response future of [`MetricsService`](crate::MetricsService).

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Response, StatusCode};
use http_body::Body;
use mesh_core::{BoxError, Error};

use crate::metrics::record::{MetricsBody, RequestRecord};

pin_project_lite::pin_project! {
    /// The response future of [`MetricsService`](crate::MetricsService). Dropped before its end, it counts
    /// the request as one whose client went away.
    pub struct MetricsFuture<F> {
        #[pin]
        inner: F,
        record: Option<RequestRecord>,
    }
}

impl<F> MetricsFuture<F> {
    pub(crate) fn new(inner: F, record: RequestRecord) -> Self {
        Self {
            inner,
            record: Some(record),
        }
    }
}

impl<F, B, E> Future for MetricsFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: 'static,
{
    type Output = Result<Response<MetricsBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        // A future is not polled after it is ready; the record is there.
        let Some(record) = this.record.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match result {
            Ok(response) => Ok(record.on_response(response)),
            Err(error) => {
                count_error(record, &error);
                Err(error)
            }
        })
    }
}

fn count_error(mut record: RequestRecord, error: &dyn Any) {
    match mesh_error(error) {
        Some(error) => record.failed(error),
        None => record.answered(StatusCode::INTERNAL_SERVER_ERROR, None),
    }
}

/// The mesh's error that this is, boxed or not.
pub(crate) fn mesh_error(error: &dyn Any) -> Option<&Error> {
    let boxed = error
        .downcast_ref::<BoxError>()
        .and_then(|error| error.downcast_ref::<Error>());
    error.downcast_ref::<Error>().or(boxed)
}
