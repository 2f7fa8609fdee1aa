//! What is taken over of what a request says about itself. The rest is removed.

use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::marks::PeerMarks;
use super::trace::{self, TraceContext};
use super::{
    TRACEPARENT, TRACESTATE, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_MESH_ATTEMPT, X_REQUEST_ID, timeout,
};
use crate::context::MeshContext;
use crate::edge::Facts;
use crate::reject::is_grpc;
use crate::trace::SpanContext;

/// The longest request id taken over, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// What a request told that is believed. [`mark_request`](super::mark_request) goes by it.
#[derive(Clone, Debug, Default)]
pub struct Believed {
    pub(super) request_id: Option<HeaderValue>,
    pub(super) trace: Option<TraceContext>,
    /// There is an `x-forwarded-for`, of a trusted peer.
    pub(super) chain: bool,
    /// There is an `x-forwarded-proto` that says `http` or `https`, of a trusted peer.
    pub(super) proto: bool,
}

impl Believed {
    /// The span it came from.
    pub fn parent_span(&self) -> Option<SpanContext> {
        self.trace.as_ref()?.span_context()
    }

    /// Whether it came from a span.
    pub const fn has_parent(&self) -> bool {
        self.trace.is_some()
    }
}

/// Takes over what this peer may say of a request, and removes what it may not: call it before the rules, which
/// then see nothing that is only claimed.
///
/// An authenticated peer tells the request's attempt and its deadline. A trusted one tells the client's address.
/// Either tells the request's id. Anybody tells a trace, and a `grpc-timeout`. No deadline extends one that is
/// set.
///
/// ```
/// use std::sync::Arc;
/// use mesh_core::context::{Direction, MeshContext};
/// use mesh_core::edge::Facts;
/// use mesh_core::forwarded::{PeerMarks, Trust, inherit};
/// use mesh_core::PeerInfo;
///
/// let peer = Arc::new(PeerInfo::plaintext("10.1.2.3:4000".parse()?));
/// let peer = PeerMarks::new(&peer, &Trust::nobody(), Direction::Inbound, None);
/// let mut context = MeshContext::new(tokio::time::Instant::now());
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x-forwarded-for", "6.6.6.6".parse()?);
/// headers.insert("x-source-service", "admin".parse()?);
/// headers.insert("accept", "*/*".parse()?);
/// let facts = Facts::of(&headers);
/// inherit(&mut headers, facts, &peer, &mut context);
/// assert_eq!(headers.keys().collect::<Vec<_>>(), ["accept"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn inherit(
    headers: &mut HeaderMap,
    facts: Facts,
    peer: &PeerMarks,
    context: &mut MeshContext,
) -> Believed {
    const FORWARDED: u32 = Facts::FORWARDED_FOR | Facts::FORWARDED_PROTO | Facts::FORWARDED_OTHER;
    const ANY: u32 =
        FORWARDED | Facts::OWN | Facts::REQUEST_ID | Facts::TRACE | Facts::B3 | Facts::GRPC_TIMEOUT;
    let mut believed = Believed::default();
    if !facts.has(ANY) {
        return believed;
    }
    // In another request it is a field like any other.
    if facts.has(Facts::GRPC_TIMEOUT) && is_grpc(headers) {
        shorten(context, timeout::of_grpc(headers));
    }
    if facts.has(Facts::OWN) {
        if peer.is_authenticated() {
            context.attempt = number(headers, &X_MESH_ATTEMPT).unwrap_or(context.attempt);
            shorten(context, timeout::of_mesh(headers));
        }
        remove(headers, super::is_own);
    }
    if facts.has(Facts::REQUEST_ID) {
        if peer.is_authenticated() || peer.is_trusted() {
            believed.request_id = request_id(headers);
        }
        if believed.request_id.is_none() {
            headers.remove(X_REQUEST_ID);
        }
    }
    if facts.has(FORWARDED) {
        if peer.is_trusted() {
            context.client = Some(peer.client(headers));
            believed.chain = facts.has(Facts::FORWARDED_FOR);
            believed.proto = matches!(
                one(headers, &X_FORWARDED_PROTO).map(HeaderValue::as_bytes),
                Some(b"http" | b"https")
            );
        } else {
            remove(headers, super::tells_origin);
        }
    }
    if facts.has(Facts::TRACE | Facts::B3) {
        believed.trace = trace::of(headers);
        if facts.has(Facts::TRACE) {
            malformed_trace(headers, believed.trace.as_ref());
        }
    }
    believed
}

/// Removes a `traceparent` that is not passed on as it is, and a `tracestate` without it or that is malformed.
fn malformed_trace(headers: &mut HeaderMap, trace: Option<&TraceContext>) {
    if !trace.is_some_and(|trace| trace.exact) {
        headers.remove(TRACEPARENT);
    }
    if !trace.is_some_and(|trace| trace.w3c) || !trace::is_state(headers) {
        headers.remove(TRACESTATE);
    }
}

fn remove(headers: &mut HeaderMap, unbelieved: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| unbelieved(name.as_str()))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

fn shorten(context: &mut MeshContext, timeout: Option<Duration>) {
    let Some(told) = timeout.and_then(|timeout| context.received.checked_add(timeout)) else {
        return;
    };
    context.deadline = Some(context.deadline.map_or(told, |deadline| deadline.min(told)));
}

/// The value of a field that is there once.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    let text = one(headers, name)?.to_str().ok()?;
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

/// The one well-formed request id in these fields.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = one(headers, &X_REQUEST_ID)?;
    let fine =
        (1..=MAX_REQUEST_ID).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    fine.then(|| value.clone())
}

/// The chain in `x-forwarded-for`, from the client on. What is no text ends it towards the client.
pub(super) fn chain(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = Option<&str>> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter();
    lines.flat_map(|line| {
        let text = line.to_str().ok();
        // A line that is no text is one member that is no address.
        let members = text.map(|text| text.split(',').map(str::trim).map(Some));
        members
            .into_iter()
            .flatten()
            .chain(text.is_none().then_some(None))
    })
}
