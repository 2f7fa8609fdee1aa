//! Responses that are compressed on their way back.

use http::request::Parts;
use mesh_core::body::Body;
use mesh_traffic::compression::{Accepted, CompressionRule};

use super::sent::Sent;

/// What a request accepts, where its service has responses compressed.
pub(super) struct Compression {
    rule: CompressionRule,
    accepted: Accepted,
}

impl Compression {
    /// Of a request as the client sent it. Boxed, since few services have it.
    pub(super) fn of(rule: CompressionRule, parts: &Parts) -> Option<Box<Self>> {
        let accepted = Accepted::of(&parts.method, &parts.headers)?;
        Some(Box::new(Self { rule, accepted }))
    }

    /// Compresses a response if it is one to be compressed.
    pub(super) fn apply(&self, sent: Sent) -> Sent {
        // Asked before, so that those that go on as they are need no box.
        if !self.rule.applies_to(&sent.response) {
            return sent;
        }
        let compressed = self.rule.compress(&self.accepted, sent.whole());
        Sent::unwatched(compressed.map(Body::new))
    }
}
