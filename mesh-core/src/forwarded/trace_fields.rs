//! The fields of a trace, as they go on to what is called.

use bytes::{BufMut, BytesMut};
use http::HeaderMap;
use http::header::HeaderValue;

use super::believed::one;
use super::trace;
use super::{TRACEPARENT, TRACESTATE, X_SPAN_ID, X_TRACE_ID};

/// A request that has one of them has a trace of its own.
const OWN: [&str; 3] = ["traceparent", "b3", "x-b3-traceid"];

/// A well-formed `traceparent`, and the fields beside it that agree with it.
#[derive(Clone, Debug)]
pub(crate) struct TraceFields {
    parent: HeaderValue,
    state: Option<HeaderValue>,
    trace: Option<HeaderValue>,
    span: Option<HeaderValue>,
}

impl TraceFields {
    /// Of a request as the edge leaves it.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let context = trace::of(headers).filter(|context| context.exact)?;
        let agrees = |name, id: &[u8]| one(headers, name).filter(|value| value.as_bytes() == id).cloned();
        Some(Self {
            parent: one(headers, &TRACEPARENT)?.clone(),
            state: if trace::is_state(headers) {
                state(headers)
            } else {
                None
            },
            trace: agrees(&X_TRACE_ID, &context.trace),
            span: agrees(&X_SPAN_ID, &context.span),
        })
    }

    /// Puts them into a request that has no trace of its own. Nothing here makes a span, so the parent stays who it was:
    /// one that nobody records would tear the trace.
    pub(crate) fn fill(&self, headers: &mut HeaderMap) {
        let other = |id: &HeaderValue| Some(id.as_bytes()) != self.trace_id().map(str::as_bytes);
        if OWN.into_iter().any(|name| headers.contains_key(name))
            || headers.get(X_TRACE_ID).is_some_and(other)
        {
            return;
        }
        // Without a parent they say nothing.
        headers.remove(TRACESTATE);
        headers.remove(X_SPAN_ID);
        headers.insert(TRACEPARENT, self.parent.clone());
        let beside = [
            (TRACESTATE, &self.state),
            (X_TRACE_ID, &self.trace),
            (X_SPAN_ID, &self.span),
        ];
        for (name, value) in beside {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }

    pub(crate) fn trace_id(&self) -> Option<&str> {
        self.parent.to_str().ok()?.get(3..35)
    }
}

/// In one field. It hardly ever comes in more.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(TRACESTATE).iter();
    let first = lines.next()?;
    let mut rest = lines.peekable();
    if rest.peek().is_none() {
        return Some(first.clone());
    }
    let mut whole = BytesMut::from(first.as_bytes());
    for line in rest {
        whole.put_u8(b',');
        whole.put_slice(line.as_bytes());
    }
    HeaderValue::from_maybe_shared(whole.freeze()).ok()
}
