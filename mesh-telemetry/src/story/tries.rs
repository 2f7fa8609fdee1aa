//! Each time a request is sent.

use std::sync::Arc;

use http::{Request, Response};
use mesh_core::forwarded::set_parent_span;
use mesh_core::trace::SpanId;
use mesh_core::tried::TriedEndpoints;
use mesh_core::{AttemptInfo, EndpointId, Error, ErrorKind, GrpcCode, MeshContext, PeerInfo};
use tokio::time::Instant;

use super::Story;

/// A try that is over, or answered and the last.
pub(crate) struct Tried {
    pub(crate) span: SpanId,
    pub(crate) begun: Instant,
    /// When it failed, or the head of its answer came.
    pub(crate) ended: Instant,
    pub(crate) came: Came,
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) peer: Option<Arc<PeerInfo>>,
    /// How often it was sent elsewhere before, since it had not reached the application.
    pub(crate) resends: u32,
}

impl Tried {
    /// One that began then, and of which nothing has come yet.
    pub(crate) const fn begun(span: SpanId, begun: Instant) -> Self {
        Self {
            span,
            begun,
            ended: begun,
            came: Came::Nothing,
            endpoint: None,
            peer: None,
            resends: 0,
        }
    }

    pub(crate) fn answered_by(&mut self, info: &AttemptInfo) {
        self.endpoint = Some(info.endpoint.clone());
        self.peer.clone_from(&info.peer);
        self.resends = info.attempts.saturating_sub(1);
    }
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// An answer: its status, and that of gRPC if it is in its head.
    Answer(u16, Option<GrpcCode>),
    /// None, and that is why.
    Failure(ErrorKind),
    /// Nobody waits for it any more.
    Nothing,
}

/// A request that is sent, once. Dropped before its end, nobody waits for it any more: after its deadline it was late.
#[must_use = "dropped, it is a try that was given up"]
pub struct Try<'s> {
    story: &'s Story,
    span: SpanId,
    begun: Instant,
    deadline: Option<Instant>,
    endpoints: TriedEndpoints,
    /// How many endpoints were tried before.
    before: usize,
    over: bool,
}

impl Story {
    /// The request is sent now. Its fields are made to name the span of this try.
    pub fn begin_try<B>(&self, request: &mut Request<B>, now: Instant) -> Try<'_> {
        let first = match self.tries.iter().next() {
            None => self.ids.goes_on_from(),
            Some(_) => None,
        };
        let span = match first {
            // Its fields do already.
            Some(first) => first.span,
            None => {
                let span = SpanId::random(&mut fastrand::Rng::new());
                if self.is_traced() {
                    set_parent_span(request.headers_mut(), self.span().with_span(span));
                }
                span
            }
        };
        let context = request.extensions().get::<MeshContext>();
        let deadline = context.and_then(|context| context.deadline);
        let endpoints = request
            .extensions_mut()
            .get_or_insert_with(TriedEndpoints::default)
            .clone();
        Try {
            story: self,
            span,
            begun: now,
            deadline,
            before: endpoints.iter().count(),
            endpoints,
            over: false,
        }
    }
}

impl Try<'_> {
    /// It was answered.
    pub fn answered<B>(mut self, response: &Response<B>, info: &AttemptInfo) {
        let came = Came::Answer(
            response.status().as_u16(),
            GrpcCode::in_fields(response.headers()),
        );
        self.end(came, Instant::now(), Some(info));
    }

    /// It was not.
    pub fn failed(mut self, error: &Error) {
        self.end(Came::Failure(error.kind()), Instant::now(), None);
    }

    fn end(&mut self, came: Came, now: Instant, info: Option<&AttemptInfo>) {
        self.over = true;
        let mut tried = Tried::begun(self.span, self.begun);
        (tried.ended, tried.came) = (now, came);
        match info {
            Some(info) => tried.answered_by(info),
            None => tried.endpoint = self.latest(),
        }
        // Without an endpoint nothing was tried.
        if tried.endpoint.is_some() {
            self.story.tries.push(tried);
        }
    }

    /// The endpoint it was sent to, as far as that can be told: one that was tried before is not listed again.
    fn latest(&self) -> Option<EndpointId> {
        let count = self.endpoints.iter().count();
        let told = count > self.before || count == 1;
        self.endpoints.iter().last().filter(|_| told).cloned()
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let now = Instant::now();
        let came = match self.deadline.is_some_and(|deadline| deadline <= now) {
            true => Came::Failure(ErrorKind::Timeout),
            false => Came::Nothing,
        };
        self.end(came, now, None);
    }
}
