//! The response future of [`EvidenceService`](super::EvidenceService).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use mesh_core::due::Due;
use mesh_core::{Assignment, AttemptInfo, ErrorKind, MeshContext, Outcome, Version};
use tokio::time::Instant;

use super::of_service::ServiceEvidence;
use super::record::EvidenceBody;
use crate::metrics::mesh_error;

pin_project_lite::pin_project! {
    /// The response future of [`EvidenceService`](super::EvidenceService).
    pub struct EvidenceFuture<F> {
        #[pin]
        inner: F,
        trying: Option<Trying>,
    }
}

impl<F> EvidenceFuture<F> {
    pub(super) fn new(inner: F, trying: Trying) -> Self {
        Self {
            inner,
            trying: Some(trying),
        }
    }
}

impl<F, B, E> Future for EvidenceFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: 'static,
{
    type Output = Result<Response<EvidenceBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        // A future is not polled after it is ready; the attempt is there.
        let Some(trying) = this.trying.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match result {
            Ok(response) => Ok(trying.answered(response)),
            Err(error) => {
                let kind = mesh_error(&error).map_or(ErrorKind::UpstreamReset, |error| error.kind());
                trying.failed(kind);
                Err(error)
            }
        })
    }
}

/// An attempt that is under way. Dropped after its answer was due, it is one that its version has missed.
pub(super) struct Trying {
    service: Option<Arc<ServiceEvidence>>,
    meant: Option<Version>,
    assignment: Assignment,
    begun: Instant,
    /// How long the client had been waited for by then.
    waited_before: Duration,
    due: Option<Due>,
    deadline: Option<Instant>,
}

impl Trying {
    pub(super) fn of<B>(request: &Request<B>, service: &Arc<ServiceEvidence>) -> Self {
        let context = request.extensions().get::<MeshContext>();
        let target = context.and_then(|context| context.target.as_ref());
        let (now, due) = (Instant::now(), request.extensions().get::<Due>().cloned());
        Self {
            service: Some(Arc::clone(service)),
            meant: target.and_then(|target| target.version.clone()),
            assignment: context.map(|context| context.assignment).unwrap_or_default(),
            begun: now,
            waited_before: due.as_ref().map_or(Duration::ZERO, |due| due.waited(now)),
            due,
            deadline: context.and_then(|context| context.deadline),
        }
    }

    fn answered<B: Body>(mut self, response: Response<B>) -> Response<EvidenceBody<B>> {
        let Some(service) = self.service.take() else {
            return response.map(|body| EvidenceBody::new(body, super::EvidenceRecord::default()));
        };
        let served = response.extensions().get::<AttemptInfo>();
        let served = served.and_then(|info| info.version.clone());
        let version = served.or_else(|| self.meant.take());
        service.answered(
            version.as_ref(),
            self.assignment,
            self.took(Instant::now()),
            response,
        )
    }

    /// How long the version has had for it.
    fn took(&self, now: Instant) -> Duration {
        let waited = self.due.as_ref().map_or(Duration::ZERO, |due| due.waited(now));
        now.saturating_duration_since(self.begun)
            .saturating_sub(waited.saturating_sub(self.waited_before))
    }

    fn failed(mut self, kind: ErrorKind) {
        self.refused(kind);
    }

    fn refused(&mut self, kind: ErrorKind) {
        if let Some(service) = self.service.take() {
            let (outcome, took) = (Outcome::Refused(kind), self.took(Instant::now()));
            service.ended(self.meant.as_ref(), self.assignment, outcome, took);
        }
    }
}

impl Drop for Trying {
    fn drop(&mut self) {
        let now = Instant::now();
        let is_over = match &self.due {
            Some(due) => due.is_over(now),
            None => self.deadline.is_some_and(|deadline| deadline <= now),
        };
        if is_over {
            self.refused(ErrorKind::Timeout);
        }
    }
}
