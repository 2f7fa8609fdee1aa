//! Which spans are kept.

use std::time::Duration;

use mesh_core::trace::{SampleRatio, SpanContext, TraceId};

/// Which spans are kept: those of traces that are sampled, and of requests that went wrong.
///
/// Whether a trace is sampled was decided where it began, and goes on with it; of those that begin here it is this
/// ratio. Spans of a request that failed or was slow are kept in any case. Other hops do not know of that: of a trace
/// that is not sampled, only those hops have spans that saw the trouble themselves.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::trace::{SampleRatio, TraceId};
/// use mesh_telemetry::trace::{Sampling, Went};
///
/// let sampling = Sampling::new(SampleRatio::NEVER);
/// assert!(!sampling.samples(None, TraceId::new(7).expect("not zero")));
/// let fast = Duration::from_millis(20);
/// assert!(!sampling.keeps(false, Went { failed: false, took: fast }));
/// assert!(sampling.keeps(true, Went { failed: false, took: fast }));
/// assert!(sampling.keeps(false, Went { failed: true, took: fast }));
/// assert!(sampling.keeps(false, Went { failed: false, took: Duration::from_secs(1) }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    ratio: SampleRatio,
    slow: Duration,
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Went {
    /// It was answered with 5xx or a gRPC status that blames the server, or not to its end.
    pub failed: bool,
    /// How long it took.
    pub took: Duration,
}

impl Sampling {
    /// The time from which on a request is slow, by default.
    pub const SLOW: Duration = Duration::from_secs(1);

    /// This ratio of the traces that begin here.
    pub const fn new(ratio: SampleRatio) -> Self {
        Self {
            ratio,
            slow: Self::SLOW,
        }
    }

    /// The same, where a request is slow that takes so long. Default: 1 second.
    #[must_use]
    pub const fn slow(mut self, slow: Duration) -> Self {
        self.slow = slow;
        self
    }

    /// Whether a trace is sampled, as its parent says or by its id.
    pub const fn samples(&self, parent: Option<SpanContext>, trace: TraceId) -> bool {
        match parent {
            Some(parent) => parent.sampled,
            None => self.ratio.chooses(trace),
        }
    }

    /// Whether the spans of a request that went so are kept.
    pub fn keeps(&self, sampled: bool, went: Went) -> bool {
        sampled || went.failed || went.took >= self.slow
    }
}

#[cfg(test)]
mod tests {
    use mesh_core::trace::SpanId;

    use super::*;

    fn trace() -> TraceId {
        TraceId::new(u128::MAX).expect("not zero")
    }

    #[test]
    fn who_began_a_trace_decided_for_all() {
        let span = SpanId::new(1).expect("not zero");
        for (ratio, sampled) in [(SampleRatio::ALWAYS, false), (SampleRatio::NEVER, true)] {
            let parent = SpanContext {
                trace: trace(),
                span,
                sampled,
            };
            let sampling = Sampling::new(ratio);
            assert_eq!(sampling.samples(Some(parent), trace()), sampled);
            assert_eq!(sampling.samples(None, trace()), !sampled);
        }
    }
}
