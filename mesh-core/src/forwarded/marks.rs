//! Sets the fields: prepared once for a target and once for a connection, put in for each request.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::believed::{self, Believed};
use super::ids::{self, Ids, Parent, ParentIds};
use super::{
    TRACEPARENT, Trust, X_FORWARDED_CLIENT_CERT, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_MESH_ATTEMPT,
    X_MESH_CERT_FINGERPRINT, X_MESH_DEADLINE_MS, X_MESH_MTLS, X_REQUEST_ID, X_SERVICE_MESH_VERSION,
    X_SOURCE_SERVICE, X_SPAN_ID, X_TARGET_SERVICE, X_TRACE_ID,
};
use crate::VERSION;
use crate::context::{Direction, MeshContext};
use crate::name::ServiceName;
use crate::peer::PeerInfo;
use crate::trace::{SampleRatio, SpanContext};

/// What is told of a request's sender; made once a connection.
#[derive(Clone, Debug)]
pub struct PeerMarks {
    peer: Arc<PeerInfo>,
    trust: Trust,
    /// Its `x-forwarded-*` fields are believed.
    trusted: bool,
    /// Its request id, deadline and attempt are believed.
    authenticated: bool,
    address: HeaderValue,
    proto: HeaderValue,
    source: HeaderValue,
    mtls: HeaderValue,
    fingerprint: Option<HeaderValue>,
    client_cert: Option<HeaderValue>,
}

impl PeerMarks {
    /// The marks of a peer. On an outbound listener the sender is the application beside this process, whose
    /// service is `own`.
    pub fn new(peer: &Arc<PeerInfo>, trust: &Trust, direction: Direction, own: Option<&ServiceName>) -> Self {
        let outbound = own.filter(|_| direction == Direction::Outbound);
        let source = outbound
            .map(ServiceName::as_str)
            .or_else(|| peer.service())
            .unwrap_or("unknown");
        let text = |text: &str| HeaderValue::from_str(text).ok();
        let unknown = || HeaderValue::from_static("unknown");
        Self {
            trust: trust.clone(),
            trusted: trust.covers(peer),
            authenticated: peer.identity.is_some() || outbound.is_some(),
            address: text(&peer.address.ip().to_canonical().to_string()).unwrap_or_else(unknown),
            proto: HeaderValue::from_static(if peer.tls { "https" } else { "http" }),
            source: text(source).unwrap_or_else(unknown),
            mtls: HeaderValue::from_static(if peer.is_mtls() { "true" } else { "false" }),
            fingerprint: peer.fingerprint.as_deref().and_then(text),
            client_cert: client_cert(peer),
            peer: Arc::clone(peer),
        }
    }

    /// The peer.
    pub fn peer(&self) -> &Arc<PeerInfo> {
        &self.peer
    }

    /// Whether what this peer says of a request's id, deadline and attempt is believed.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Whether what this peer says of where a request came from is believed.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The address of the client a request with these fields came from ([`Trust::client`]).
    pub fn client(&self, headers: &HeaderMap) -> IpAddr {
        self.trust.client(&self.peer, headers)
    }
}

/// Envoy's format: the hash of the certificate and the identity it holds. Neither needs quotes: an identity has none of
/// what separates, and what is no hash is not told, since it could go on with another identity.
fn client_cert(peer: &PeerInfo) -> Option<HeaderValue> {
    let is_hash = |text: &&Arc<str>| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hash = peer.fingerprint.as_ref().filter(is_hash)?;
    let text = match &peer.identity {
        Some(identity) => format!("Hash={hash};URI={identity}"),
        None => format!("Hash={hash}"),
    };
    HeaderValue::try_from(text).ok()
}

/// What is told of a request's destination; made once a target.
#[derive(Clone, Debug)]
pub struct TargetMarks {
    service: HeaderValue,
    /// How many of the new traces are sampled.
    ratio: SampleRatio,
}

impl TargetMarks {
    /// The marks of a service, none of whose new traces is sampled.
    pub fn new(service: &ServiceName) -> Self {
        // A service name is letters, digits and dashes.
        let service =
            HeaderValue::from_str(service.as_str()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self {
            service,
            ratio: SampleRatio::NEVER,
        }
    }

    /// The same, with this ratio (0 to 1) of the traces that begin here marked as sampled. A trace that began
    /// elsewhere stays as it was decided there.
    #[must_use]
    pub fn with_sampling(mut self, ratio: f64) -> Self {
        self.ratio = SampleRatio::new(ratio);
        self
    }
}

/// What a response tells again of its request.
#[derive(Clone, Debug)]
pub struct RequestMarks {
    /// The request's id.
    pub request_id: HeaderValue,
}

impl RequestMarks {
    /// The id of a request that is not forwarded: the one it brought, if that is believed, or a new one.
    pub fn of_refused(headers: &HeaderMap, peer: &PeerMarks) -> Self {
        let kept = if peer.trusted || peer.authenticated {
            believed::request_id(headers)
        } else {
            None
        };
        Self {
            request_id: kept.unwrap_or_else(ids::request_id),
        }
    }
}

/// Sets every field a forwarded request carries. Call it after the hop-by-hop fields are gone, with what
/// [`inherit`](super::inherit) left.
///
/// It goes on as a part of the span in [`MeshContext::span`], and without one as a part of the span it came from.
///
/// `x-mesh-deadline-ms` is what was left of the time when the request's head was complete, absent without a
/// deadline; `x-mesh-attempt` is absent at the first attempt.
pub fn mark_request(
    headers: &mut HeaderMap,
    believed: Believed,
    context: &MeshContext,
    peer: &PeerMarks,
    target: &TargetMarks,
) -> RequestMarks {
    let Believed {
        request_id,
        trace,
        chain,
        proto,
    } = believed;
    // All that is set below, at once: growing in between would place every field again.
    headers.reserve(13);
    let chain = if chain {
        appended(headers, &peer.address)
    } else {
        None
    };
    headers.insert(X_FORWARDED_FOR, chain.unwrap_or_else(|| peer.address.clone()));
    if !proto {
        headers.insert(X_FORWARDED_PROTO, peer.proto.clone());
    }
    let parent = match (context.span, &trace) {
        (Some(span), _) => Parent::Span(span),
        (None, Some(trace)) => Parent::Same(trace),
        (None, None) => Parent::New(target.ratio),
    };
    let ids = Ids::new(&parent);
    if context.span.is_some() || !trace.is_some_and(|trace| trace.exact) {
        headers.insert(TRACEPARENT, ids.traceparent());
    }
    headers.insert(X_TRACE_ID, ids.trace_id());
    headers.insert(X_SPAN_ID, ids.span_id());
    let request_id = request_id.unwrap_or_else(|| ids.request_id());
    headers.insert(X_REQUEST_ID, request_id.clone());
    headers.insert(X_SOURCE_SERVICE, peer.source.clone());
    headers.insert(X_TARGET_SERVICE, target.service.clone());
    headers.insert(X_SERVICE_MESH_VERSION, HeaderValue::from_static(VERSION));
    headers.insert(X_MESH_MTLS, peer.mtls.clone());
    if let Some(fingerprint) = &peer.fingerprint {
        headers.insert(X_MESH_CERT_FINGERPRINT, fingerprint.clone());
    }
    if let Some(client_cert) = &peer.client_cert {
        headers.insert(X_FORWARDED_CLIENT_CERT, client_cert.clone());
    }
    if let Some(deadline) = context.deadline {
        let left = deadline.saturating_duration_since(context.received).as_millis();
        // What the next hop reads as a number of 32 bits.
        headers.insert(
            X_MESH_DEADLINE_MS,
            HeaderValue::from(u32::try_from(left).unwrap_or(u32::MAX)),
        );
    }
    // Without the field it is the first attempt, as most are.
    if context.attempt > 0 {
        headers.insert(X_MESH_ATTEMPT, HeaderValue::from(context.attempt));
    }
    RequestMarks { request_id }
}

/// Has a request go on as a part of this span: for who sends it again, as another try with a span of its own.
///
/// ```
/// use mesh_core::forwarded::{parent_span, set_parent_span};
/// use mesh_core::trace::{SpanContext, SpanId, TraceId};
///
/// let span = SpanContext { trace: TraceId::new(7).expect("not zero"), span: SpanId::new(9).expect("not zero"), sampled: true };
/// let mut headers = http::HeaderMap::new();
/// set_parent_span(&mut headers, span);
/// assert_eq!(headers["traceparent"], "00-00000000000000000000000000000007-0000000000000009-01");
/// assert_eq!(parent_span(&headers), Some(span));
/// ```
pub fn set_parent_span(headers: &mut HeaderMap, span: SpanContext) {
    let ids = ParentIds::new(span);
    if let Some(fields) = ParentFields::of(headers) {
        fields.set(ids);
        return;
    }
    match only(headers, &X_TRACE_ID) {
        // It is of another span of the same trace.
        Some(there) if ids.are_of(there) => there.set_sensitive(true),
        _ => replace(headers, X_TRACE_ID, ids.trace_id()),
    }
    replace(headers, X_SPAN_ID, ids.span_id());
    replace(headers, TRACEPARENT, ids.into_traceparent());
}

/// The fields of a request that name the span it goes on from: all of them, each of them once.
struct ParentFields<'h> {
    trace: &'h mut HeaderValue,
    span: &'h mut HeaderValue,
    parent: &'h mut HeaderValue,
}

impl<'h> ParentFields<'h> {
    /// In one pass over all fields, which is shorter than to look for three by their names.
    fn of(headers: &'h mut HeaderMap) -> Option<Self> {
        let (mut trace, mut span, mut parent) = (None, None, None);
        for (name, value) in headers.iter_mut() {
            let place = match name.as_str() {
                "x-trace-id" => &mut trace,
                "x-span-id" => &mut span,
                "traceparent" => &mut parent,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        Some(Self {
            trace: trace?,
            span: span?,
            parent: parent?,
        })
    }

    fn set(self, ids: ParentIds) {
        match ids.are_of(self.trace) {
            // It is of another span of the same trace.
            true => self.trace.set_sensitive(true),
            false => *self.trace = ids.trace_id(),
        }
        *self.span = ids.span_id();
        *self.parent = ids.into_traceparent();
    }
}

/// As `insert`, which makes room even for a field that is there.
fn replace(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    match only(headers, &name) {
        Some(there) => *there = value,
        None => {
            headers.insert(name, value);
        }
    }
}

/// The value of a field that is there once.
fn only<'h>(headers: &'h mut HeaderMap, name: &HeaderName) -> Option<&'h mut HeaderValue> {
    // Where no field is there twice, this one need not be looked for twice.
    let once = headers.len() == headers.keys_len() || believed::one(headers, name).is_some();
    headers.get_mut(name).filter(|_| once)
}

/// Sets the fields a response carries back: the request's id, the mesh's version, whether mutual TLS was used.
pub fn mark_response(headers: &mut HeaderMap, request: RequestMarks, peer: &PeerMarks) {
    headers.reserve(3);
    headers.insert(X_REQUEST_ID, request.request_id);
    headers.insert(X_SERVICE_MESH_VERSION, HeaderValue::from_static(VERSION));
    headers.insert(X_MESH_MTLS, peer.mtls.clone());
}

/// The chain that was sent, with the sender's address at its end.
fn appended(headers: &HeaderMap, address: &HeaderValue) -> Option<HeaderValue> {
    let lines = || {
        headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .filter(|line| !line.is_empty())
    };
    let mut chain =
        BytesMut::with_capacity(lines().map(|line| line.len() + 2).sum::<usize>() + address.len());
    for line in lines() {
        chain.put_slice(line.as_bytes());
        chain.put_slice(b", ");
    }
    chain.put_slice(address.as_bytes());
    HeaderValue::from_maybe_shared(Bytes::from(chain)).ok()
}
