//! Deadlines: when a request must be answered, and what happens when it is not.
//!
//! [`MeshContext::deadline`] says until when. It only ever becomes earlier, so that every limit on the way holds.
//! A [`DeadlineLayer`] may set it, and ends the request at it.

mod future;
mod layer;
mod service;

use std::time::Duration;

use mesh_core::MeshContext;

pub use future::DeadlineFuture;
pub use layer::DeadlineLayer;
pub use service::DeadlineService;

/// Requires an answer within `limit` of the moment the head was complete, unless one is due earlier already.
/// A limit that no clock can hold is none.
pub(crate) fn require_within(context: &mut MeshContext, limit: Duration) {
    if let Some(own) = context.received.checked_add(limit) {
        context.deadline = Some(context.deadline.map_or(own, |given| given.min(own)));
    }
}
