//! What can be found out from the spans of a trace.

use std::collections::BTreeSet;

use super::collector::Span;

fn parent<'s>(spans: &'s [Span], span: &Span) -> Option<&'s Span> {
    spans
        .iter()
        .find(|other| Some(&other.id) == span.parent.as_ref() && other.trace == span.trace)
}

/// The edges that Jaeger draws: of each span whose parent is another service's.
pub(crate) fn edges(spans: &[Span]) -> BTreeSet<(String, String)> {
    let edge = |span: &Span| Some((parent(spans, span)?.service.clone(), span.service.clone()));
    spans
        .iter()
        .filter_map(edge)
        .filter(|(from, to)| from != to)
        .collect()
}

/// How long it took.
pub(crate) fn nanos(span: &Span) -> u64 {
    span.end - span.start
}

/// The span in which most time was spent that none of its parts account for.
pub(crate) fn slowest(spans: &[Span]) -> &Span {
    let parts = |span: &Span| -> u64 {
        let parts = spans
            .iter()
            .filter(|other| other.parent.as_ref() == Some(&span.id));
        parts.map(nanos).sum()
    };
    let own = |span: &&Span| nanos(span).saturating_sub(parts(span));
    spans.iter().max_by_key(own).expect("there are spans")
}

/// The failed span that has no failed part.
pub(crate) fn origin(spans: &[Span]) -> &Span {
    let is_origin = |span: &&Span| {
        let parts = spans
            .iter()
            .filter(|other| other.parent.as_ref() == Some(&span.id));
        span.failed && !parts.into_iter().any(|part| part.failed)
    };
    let mut origins = spans.iter().filter(is_origin);
    let origin = origins.next().expect("one failed");
    assert_eq!(origins.next(), None, "only one is the origin");
    origin
}
