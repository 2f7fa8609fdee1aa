//! Spans on their way to who exports them: as many as there is room for.

use std::fmt;

use tokio::sync::mpsc;

use super::span::Span;
use crate::metrics::SpanOutcome;
use crate::registry::Telemetry;

/// A queue with room for so many spans. Those that find none are counted as dropped.
///
/// # Panics
/// Without any room.
pub fn span_queue(room: usize, telemetry: &Telemetry) -> (SpanQueue, Spans) {
    let (give, take) = mpsc::channel(room);
    let queue = SpanQueue {
        give,
        telemetry: telemetry.clone(),
    };
    (queue, Spans { take })
}

/// Where spans are put. Clones are one.
#[derive(Clone)]
pub struct SpanQueue {
    give: mpsc::Sender<Span>,
    telemetry: Telemetry,
}

impl SpanQueue {
    /// Puts a span there if there is room.
    pub fn give(&self, span: Span) {
        if self.give.try_send(span).is_err() {
            self.telemetry.process().spans(SpanOutcome::Dropped, 1);
        }
    }
}

/// Where they are taken.
pub struct Spans {
    take: mpsc::Receiver<Span>,
}

impl Spans {
    /// The next one, if it is there.
    pub fn try_next(&mut self) -> Option<Span> {
        self.take.try_recv().ok()
    }

    /// Adds spans to these, as soon as there is one, up to so many. None, when there will never be one again.
    pub async fn next_into(&mut self, spans: &mut Vec<Span>, most: usize) -> usize {
        self.take.recv_many(spans, most).await
    }

    /// Takes no more: what is there can still be taken.
    pub fn close(&mut self) {
        self.take.close();
    }
}

impl fmt::Debug for SpanQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanQueue")
            .field("room", &self.give.capacity())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").finish_non_exhaustive()
    }
}
