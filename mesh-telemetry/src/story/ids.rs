//! The ids of a request that is told of.

use mesh_core::trace::{SpanContext, SpanId, TraceId};

use crate::trace::Sampling;

/// The ids of a request that is told of.
pub(super) enum Ids {
    /// A span is made of it.
    Made {
        span: SpanContext,
        parent: Option<SpanId>,
        /// The span of its first try.
        first: SpanId,
    },
    /// It is only logged, as a part of the span it came from.
    Same(SpanContext),
    /// It is only logged, and came from no span.
    New(SpanContext),
}

impl Ids {
    pub(super) fn new(
        sampling: Option<&Sampling>,
        parent: Option<SpanContext>,
        random: &mut fastrand::Rng,
    ) -> Self {
        let mut fresh = || {
            let trace = TraceId::random(random);
            SpanContext {
                trace,
                span: SpanId::random(random),
                sampled: false,
            }
        };
        let Some(sampling) = sampling else {
            return parent.map_or_else(|| Self::New(fresh()), Self::Same);
        };
        let trace = parent.map_or_else(|| fresh().trace, |parent| parent.trace);
        let span = SpanContext {
            trace,
            span: SpanId::random(random),
            sampled: sampling.samples(parent, trace),
        };
        Self::Made {
            span,
            parent: parent.map(|parent| parent.span),
            first: SpanId::random(random),
        }
    }

    pub(super) const fn span(&self) -> SpanContext {
        match self {
            Self::Made { span, .. } | Self::Same(span) | Self::New(span) => span.with_span(span.span),
        }
    }

    pub(super) const fn parent(&self) -> Option<SpanId> {
        match self {
            Self::Made { parent, .. } => *parent,
            _ => None,
        }
    }

    /// What it goes on from.
    pub(super) const fn goes_on_from(&self) -> Option<SpanContext> {
        match self {
            Self::Made { span, first, .. } => Some(span.with_span(*first)),
            Self::New(span) => Some(*span),
            Self::Same(_) => None,
        }
    }
}
