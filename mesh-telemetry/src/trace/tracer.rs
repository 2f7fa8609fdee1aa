//! Where spans come from and go.

use std::fmt;
use std::sync::Arc;

use super::queue::SpanQueue;
use super::sampling::Sampling;
use super::span::Span;

/// What is kept, and who gets it. Clones are one.
///
/// ```
/// use mesh_core::trace::SampleRatio;
/// use mesh_telemetry::Telemetry;
/// use mesh_telemetry::trace::{Sampling, Tracer, span_queue};
///
/// let (spans, mut kept) = span_queue(100, &Telemetry::new());
/// let tracer = Tracer::new(Sampling::new(SampleRatio::ALWAYS), [spans]);
/// # drop(tracer);
/// # assert!(kept.try_next().is_none());
/// ```
#[derive(Clone)]
pub struct Tracer(Arc<Inner>);

struct Inner {
    sampling: Sampling,
    queues: Box<[SpanQueue]>,
}

impl Tracer {
    /// Keeps spans by these rules and gives each to all of these queues.
    pub fn new(sampling: Sampling, queues: impl IntoIterator<Item = SpanQueue>) -> Self {
        Self(Arc::new(Inner {
            sampling,
            queues: queues.into_iter().collect(),
        }))
    }

    /// Its rules.
    pub fn sampling(&self) -> &Sampling {
        &self.0.sampling
    }

    /// Gives a span away. It never waits: what finds no room is dropped and counted.
    pub fn give(&self, span: Span) {
        let Some((last, others)) = self.0.queues.split_last() else {
            return;
        };
        for queue in others {
            queue.give(span.clone());
        }
        last.give(span);
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer")
            .field("sampling", &self.0.sampling)
            .field("queues", &self.0.queues.len())
            .finish()
    }
}
