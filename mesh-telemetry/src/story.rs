//! What becomes of a request, kept to be told when it is over: as spans, and as a line of the access log.
//!
//! A [`Teller`] says who is told. A [`Place`] begins a [`Story`] for each request that may be told of; others cost nothing. Most
//! stories are told to nobody, so one copies nothing: it shares parts of the request's head with it, and is made into bounded texts
//! when it is told. Who sends the request says so by a [`Try`] for
//! each time. The story ends with the body of the response
//! ([`RequestRecord::tell`](crate::RequestRecord::tell)).

mod chain;
mod facts;
mod fields;
mod ids;
mod place;
mod spans;
mod telling;
mod texts;
mod tries;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use http::HeaderValue;
use mesh_core::body_end::End;
use mesh_core::context::Target;
use mesh_core::trace::SpanContext;
use mesh_core::{ErrorKind, GrpcCode, MeshContext, Outcome, RequestHead};
use tokio::time::Instant;

use crate::access_log::AccessLog;
use crate::trace::{Tracer, Went};

use chain::Chain;
use ids::Ids;

pub use place::Place;
pub use telling::Telling;
pub use tries::Try;

pub(crate) use facts::Facts;
pub(crate) use fields::Fields;
pub(crate) use spans::{Clock, Subject, client_span};
pub(crate) use tries::{Came, Tried};

/// The status of a request whose client went away before there was a response.
pub(crate) const CLIENT_GONE: u16 = 499;

/// Who is told of requests. Clones are one.
///
/// ```
/// use mesh_telemetry::story::Teller;
///
/// assert!(Teller::new().is_silent());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Teller {
    tracer: Option<Tracer>,
    log: Option<AccessLog>,
}

/// What is known of a request when it comes.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'a> {
    /// Its head.
    pub head: RequestHead<'a>,
    /// The version of HTTP it came in.
    pub version: http::Version,
    /// What was found out about it.
    pub context: &'a MeshContext,
    /// The span it came from.
    pub parent: Option<SpanContext>,
    /// The name of the listener it came to.
    pub listener: Option<&'a Arc<str>>,
}

impl Teller {
    /// Nobody is told.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spans are made.
    #[must_use]
    pub fn tracer(self, tracer: Option<Tracer>) -> Self {
        Self { tracer, ..self }
    }

    /// Lines are written.
    #[must_use]
    pub fn access_log(self, log: Option<AccessLog>) -> Self {
        Self { log, ..self }
    }

    /// Whether nobody is told.
    pub const fn is_silent(&self) -> bool {
        self.tracer.is_none() && self.log.is_none()
    }
}

/// What is kept of one request.
pub struct Story {
    ids: Ids,
    facts: Facts,
    place: Place,
    request_id: OnceLock<HeaderValue>,
    tries: Chain<Tried>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ending {
    /// The status it was answered with.
    pub(crate) status: Option<u16>,
    /// Why the mesh itself answered.
    pub(crate) reason: Option<ErrorKind>,
    /// The gRPC status in the head of the answer.
    pub(crate) grpc: Option<GrpcCode>,
    /// How the body of the answer ended.
    pub(crate) body: Option<End>,
    /// How much of it there was.
    pub(crate) bytes: u64,
    /// It ended by a panic.
    pub(crate) panicked: bool,
}

impl Ending {
    pub(crate) fn status(&self) -> u16 {
        let none = if self.panicked { 500 } else { CLIENT_GONE };
        self.status.unwrap_or(none)
    }

    pub(crate) fn grpc(&self) -> Option<GrpcCode> {
        match self.body {
            Some(End::Complete(Some(code))) => Some(code),
            _ => self.grpc,
        }
    }

    /// Whether the server is to blame.
    pub(crate) fn is_failure(&self) -> bool {
        let grpc = self.grpc().map(Outcome::of_grpc);
        self.status() >= 500 || grpc == Some(Outcome::Failure) || self.body == Some(End::Failed)
    }
}

impl Story {
    /// The span that is made of the request; or, without one, the span it came from.
    pub fn span(&self) -> SpanContext {
        self.ids.span()
    }

    /// The span it goes on from, for [`MeshContext::span`]: that of its first [`Try`]. Nothing if no span is made here and
    /// it came from one: it goes on from that.
    pub fn goes_on_from(&self) -> Option<SpanContext> {
        self.ids.goes_on_from()
    }

    /// Whether spans may be made of it.
    pub fn is_traced(&self) -> bool {
        self.place.makes_spans()
    }

    /// The request has this id.
    pub fn set_request_id(&self, id: &HeaderValue) {
        // The first one counts.
        let _ = self.request_id.set(id.clone());
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn target(&self) -> Option<&Target> {
        self.place.target()
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        match self.request_id.get() {
            Some(id) => id.to_str().ok(),
            None => self.facts.request_id(),
        }
    }

    pub(crate) fn tries(&self) -> impl Iterator<Item = &Tried> {
        self.tries.iter()
    }

    /// It is over.
    pub(crate) fn end(&self, ending: &Ending, now: Instant) {
        let took = now.saturating_duration_since(self.facts.received);
        let went = Went {
            failed: ending.is_failure(),
            took,
        };
        let sampled = self.span().sampled;
        let Teller { tracer, log } = self.place.teller();
        let tracer = tracer
            .as_ref()
            .filter(|tracer| tracer.sampling().keeps(sampled, went));
        let log = log.as_ref().filter(|_| self.facts.is_logged());
        if tracer.is_none() && log.is_none() {
            return;
        }
        let wall = SystemTime::now();
        if let Some(tracer) = tracer {
            spans::of(self, ending, now, wall, |span| tracer.give(span));
        }
        if let Some(log) = log {
            log.tell(self, ending, took, wall);
        }
    }
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Story")
            .field("span", &self.span())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
