//! One request under way: counted once, however it ends.

use std::sync::Arc;

use http::{Response, StatusCode};
use http_body::Body;
use mesh_core::body_end::{End, EndBody, OnEnd};
use mesh_core::{Error, ErrorKind, reject};
use tokio::time::Instant;

use crate::labels::{MethodLabel, Protocol, RequestLabels, SourceId, StatusLabel};
use crate::metrics::route::RouteMetrics;
use crate::story::{Story, Telling};

/// A response body that counts its request when it is over.
pub type MetricsBody<B> = EndBody<B, RequestRecord>;

/// One request under way: [`RouteMetrics::begin`].
///
/// It is counted when this is dropped, so exactly once, whatever happens: with the status it was
/// [answered](Self::on_response) with, or, when it was dropped before, with `499`, since its client went
/// away; `500` if it was dropped by a panic.
#[must_use = "the request is over when this is dropped"]
pub struct RequestRecord {
    route: Arc<RouteMetrics>,
    received: Instant,
    source: SourceId,
    method: MethodLabel,
    protocol: Protocol,
    answer: Option<Answer>,
    /// When its body was over; nothing if there was none.
    over: Option<Instant>,
    telling: Telling,
    /// What is shown of it, if anybody looks.
    path: Option<Box<str>>,
}

#[derive(Clone, Copy)]
struct Answer {
    status: StatusLabel,
    reason: Option<ErrorKind>,
}

impl RequestRecord {
    pub(crate) fn new(
        route: Arc<RouteMetrics>,
        received: Instant,
        source: SourceId,
        method: MethodLabel,
        protocol: Protocol,
    ) -> Self {
        Self {
            route,
            received,
            source,
            method,
            protocol,
            answer: None,
            over: None,
            telling: Telling::default(),
            path: None,
        }
    }

    /// Has this story told when the request is over.
    pub fn tell(mut self, story: Option<Arc<Story>>) -> Self {
        self.telling = Telling::of(story);
        self
    }

    /// Shows the request with this path to whoever [looks](crate::tap); while nobody does it costs nothing.
    pub fn tapped(mut self, path: &str) -> Self {
        self.path = self.route.taps().path(path);
        self
    }

    /// The story that is told, if there is one.
    pub fn story(&self) -> Option<&Arc<Story>> {
        self.telling.story()
    }

    /// The head of the response is there: its status, and the reason if the mesh
    /// [made it](mesh_core::reject). The request is over when the body of what this returns is.
    ///
    /// For a gRPC call the status is that of HTTP. After an upgrade (101) the request is over at once.
    pub fn on_response<B: Body>(mut self, response: Response<B>) -> Response<MetricsBody<B>> {
        self.on_head(&response);
        response.map(|body| EndBody::new(body, self))
    }

    /// The head of the response is there, and the caller has this told of its body's end.
    pub fn on_head<B>(&mut self, response: &Response<B>) {
        self.answered(response.status(), reject::refusal_of(response));
        self.telling.head(response.headers());
    }

    /// The head of the response was this; the caller drops the record when the response is over.
    pub fn answered(&mut self, status: StatusCode, reason: Option<ErrorKind>) {
        self.answer = Some(Answer {
            status: StatusLabel::of(status),
            reason,
        });
        self.telling.answered(status, reason);
    }

    /// There is no response but an error: its status and kind count.
    pub fn failed(mut self, error: &Error) {
        self.answered(error.http_status(), Some(error.kind()));
    }
}

impl OnEnd for RequestRecord {
    fn on_data(&mut self, bytes: usize) {
        self.telling.on_data(bytes);
    }

    /// However the body ended, the client has seen the status: it counts.
    fn on_end(mut self, end: End, at: Instant) {
        self.over = Some(at);
        self.telling.ended(end, at);
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let answer = self.answer.unwrap_or_else(|| {
            let panicked = std::thread::panicking();
            let status = if panicked {
                StatusLabel::of(StatusCode::INTERNAL_SERVER_ERROR)
            } else {
                StatusLabel::CLIENT_GONE
            };
            Answer { status, reason: None }
        });
        let labels = RequestLabels {
            source: self.source,
            method: self.method,
            protocol: self.protocol,
            status: answer.status,
            reason: answer.reason,
        };
        let over = self.over.unwrap_or_else(Instant::now);
        let took = over.saturating_duration_since(self.received);
        self.route.ended(labels, took);
        if let Some(path) = self.path.take() {
            self.route.show(labels, path, took);
        }
    }
}
