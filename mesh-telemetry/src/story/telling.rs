//! A story that is told when its request is over.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use mesh_core::body_end::{End, OnEnd};
use mesh_core::{ErrorKind, GrpcCode};
use tokio::time::Instant;

use super::{Ending, Story};

/// A story that is told when this is dropped; or none.
#[derive(Default)]
pub struct Telling {
    story: Option<Arc<Story>>,
    ending: Ending,
}

impl Telling {
    /// Of this story.
    pub fn of(story: Option<Arc<Story>>) -> Self {
        Self {
            story,
            ending: Ending::default(),
        }
    }

    /// The story, if there is one.
    pub fn story(&self) -> Option<&Arc<Story>> {
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

    /// The body of the answer ended so.
    pub fn ended(&mut self, end: End) {
        self.ending.body = Some(end);
    }
}

impl OnEnd for Telling {
    fn on_data(&mut self, bytes: usize) {
        self.ending.bytes += bytes as u64;
    }

    fn on_end(mut self, end: End) {
        self.ended(end);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(story) = self.story.take() {
            self.ending.panicked = std::thread::panicking();
            story.end(&self.ending, Instant::now());
        }
    }
}

impl fmt::Debug for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Telling").field(&self.story).finish()
    }
}
