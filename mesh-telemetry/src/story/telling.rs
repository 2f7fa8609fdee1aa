//! A story that is told when its request is over.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use mesh_core::body_end::{End, OnEnd};
use mesh_core::{ErrorKind, GrpcCode};
use tokio::time::Instant;

use super::{Ending, Story};

/// A story that is told when this is dropped; or none.
pub struct Telling<S: Deref<Target = Story> = Arc<Story>> {
    story: Option<S>,
    ending: Ending,
    /// When the body was over; nothing if there was none.
    over: Option<Instant>,
}

impl<S: Deref<Target = Story>> Default for Telling<S> {
    fn default() -> Self {
        Self::of(None)
    }
}

impl<S: Deref<Target = Story>> Telling<S> {
    /// Of this story.
    pub fn of(story: Option<S>) -> Self {
        Self {
            story,
            ending: Ending::default(),
            over: None,
        }
    }

    /// The story, if there is one.
    pub fn story(&self) -> Option<&S> {
        self.story.as_ref()
    }

    /// The head of the answer has these fields.
    pub fn head(&mut self, headers: &HeaderMap) {
        if self.story.is_some() {
            self.ending.grpc = GrpcCode::in_fields(headers);
        }
    }

    /// The answer has this status, and if the mesh made it this reason.
    pub fn answered(&mut self, status: StatusCode, reason: Option<ErrorKind>) {
        self.ending.status = Some(status.as_u16());
        self.ending.reason = reason;
    }

    /// The body of the answer ended so, at this time.
    pub fn ended(&mut self, end: End, at: Instant) {
        self.ending.body = Some(end);
        self.over = Some(at);
    }
}

impl<S: Deref<Target = Story>> OnEnd for Telling<S> {
    fn on_data(&mut self, bytes: usize) {
        self.ending.bytes += bytes as u64;
    }

    fn on_end(mut self, end: End, at: Instant) {
        self.ended(end, at);
    }
}

impl<S: Deref<Target = Story>> Drop for Telling<S> {
    fn drop(&mut self) {
        if let Some(story) = self.story.take() {
            self.ending.panicked = std::thread::panicking();
            story.end(&self.ending, self.over.unwrap_or_else(Instant::now));
        }
    }
}

impl<S: Deref<Target = Story>> fmt::Debug for Telling<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Telling").field(&self.story.as_deref()).finish()
    }
}
