//! Sets the fields: prepared once for a target and once for a connection, put in for each request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::trace::{self, TraceContext};
use super::{OWN, Trust};
use crate::VERSION;
use crate::context::{Direction, MeshContext};
use crate::edge::Facts;
use crate::name::ServiceName;
use crate::peer::PeerInfo;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const X_SPAN_ID: HeaderName = HeaderName::from_static("x-span-id");
const X_SOURCE_SERVICE: HeaderName = HeaderName::from_static("x-source-service");
const X_TARGET_SERVICE: HeaderName = HeaderName::from_static("x-target-service");
const X_SERVICE_MESH_VERSION: HeaderName = HeaderName::from_static("x-service-mesh-version");
const X_MESH_MTLS: HeaderName = HeaderName::from_static("x-mesh-mtls");
const X_MESH_CERT_FINGERPRINT: HeaderName = HeaderName::from_static("x-mesh-cert-fingerprint");
const X_MESH_DEADLINE_MS: HeaderName = HeaderName::from_static("x-mesh-deadline-ms");
const X_MESH_ATTEMPT: HeaderName = HeaderName::from_static("x-mesh-attempt");
const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// The longest request id taken over, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// What is told of a request's sender; made once a connection.
#[derive(Clone, Debug)]
pub struct PeerMarks {
    peer: Arc<PeerInfo>,
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
        let source = outbound.map(ServiceName::as_str).or_else(|| peer.service()).unwrap_or("unknown");
        let text = |text: &str| HeaderValue::from_str(text).ok();
        let unknown = || HeaderValue::from_static("unknown");
        Self {
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
}

/// Envoy's format: the hash of the certificate and the identity it holds.
fn client_cert(peer: &PeerInfo) -> Option<HeaderValue> {
    let (hash, identity) = (peer.fingerprint.as_ref()?, peer.identity.as_ref()?);
    HeaderValue::from_str(&format!("Hash={hash};URI={identity}")).ok()
}

/// What is told of a request's destination; made once a target.
#[derive(Clone, Debug)]
pub struct TargetMarks {
    service: HeaderValue,
}

impl TargetMarks {
    /// The marks of a service.
    pub fn new(service: &ServiceName) -> Self {
        // A service name is letters, digits and dashes.
        let service = HeaderValue::from_str(service.as_str()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self { service }
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
        let kept = if peer.trusted || peer.authenticated { request_id(headers) } else { None };
        Self { request_id: kept.unwrap_or_else(|| Ids::new(None).request_id()) }
    }
}

/// Takes over what an authenticated peer says about the request's past: its attempt, and a deadline, which
/// never extends one that is set.
pub fn inherit(headers: &HeaderMap, facts: Facts, peer: &PeerMarks, context: &mut MeshContext) {
    if !peer.authenticated || !facts.has(Facts::OWN) {
        return;
    }
    let number = |name: &HeaderName| headers.get(name)?.to_str().ok()?.parse::<u32>().ok();
    if let Some(attempt) = number(&X_MESH_ATTEMPT) {
        context.attempt = attempt;
    }
    if let Some(ms) = number(&X_MESH_DEADLINE_MS) {
        let told = context.received + Duration::from_millis(u64::from(ms));
        context.deadline = Some(context.deadline.map_or(told, |deadline| deadline.min(told)));
    }
}

/// Sets every field a forwarded request carries, and removes what was sent under those names without being
/// believed. Call it after the hop-by-hop fields are gone.
pub fn mark_request(
    headers: &mut HeaderMap,
    facts: Facts,
    context: &MeshContext,
    peer: &PeerMarks,
    target: &TargetMarks,
) -> RequestMarks {
    let kept_id = match facts.has(Facts::REQUEST_ID) && (peer.trusted || peer.authenticated) {
        true => request_id(headers),
        false => None,
    };
    let trace = if facts.has(Facts::TRACE | Facts::B3) { trace::of(headers) } else { None };
    if facts.has(Facts::OWN) {
        strip_own(headers);
    }
    headers.reserve(14);
    forwarded(headers, facts, peer);
    let ids = Ids::new(trace.as_ref());
    if !trace.is_some_and(|trace| trace.w3c) {
        if facts.has(Facts::TRACE) {
            headers.remove(TRACESTATE);
        }
        headers.insert(TRACEPARENT, ids.traceparent());
    }
    headers.insert(X_TRACE_ID, ids.trace_id());
    headers.insert(X_SPAN_ID, ids.span_id());
    let request_id = kept_id.unwrap_or_else(|| ids.request_id());
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
        headers.insert(X_MESH_DEADLINE_MS, HeaderValue::from(u64::try_from(left).unwrap_or(u64::MAX)));
    }
    // Without the field it is the first attempt, as most are.
    if context.attempt > 0 {
        headers.insert(X_MESH_ATTEMPT, HeaderValue::from(context.attempt));
    }
    RequestMarks { request_id }
}

/// Sets the fields a response carries back: the request's id, the mesh's version, whether mutual TLS was used.
pub fn mark_response(headers: &mut HeaderMap, request: RequestMarks, peer: &PeerMarks) {
    headers.reserve(3);
    headers.insert(X_REQUEST_ID, request.request_id);
    headers.insert(X_SERVICE_MESH_VERSION, HeaderValue::from_static(VERSION));
    headers.insert(X_MESH_MTLS, peer.mtls.clone());
}

fn strip_own(headers: &mut HeaderMap) {
    for name in OWN {
        headers.remove(name);
    }
    let unknown: Vec<HeaderName> = headers.keys().filter(|name| super::is_own(name.as_str())).cloned().collect();
    for name in unknown {
        headers.remove(name);
    }
}

fn forwarded(headers: &mut HeaderMap, facts: Facts, peer: &PeerMarks) {
    let chain = if facts.has(Facts::FORWARDED_FOR) && peer.trusted { appended(headers, &peer.address) } else { None };
    headers.insert(X_FORWARDED_FOR, chain.unwrap_or_else(|| peer.address.clone()));
    let proto = if facts.has(Facts::FORWARDED_PROTO) && peer.trusted { headers.get(X_FORWARDED_PROTO) } else { None };
    let proto = match proto.map(HeaderValue::as_bytes) {
        Some(b"http") => HeaderValue::from_static("http"),
        Some(b"https") => HeaderValue::from_static("https"),
        _ => peer.proto.clone(),
    };
    headers.insert(X_FORWARDED_PROTO, proto);
    if facts.has(Facts::FORWARDED_OTHER) && !peer.trusted {
        let other = |name: &&HeaderName| {
            let name = name.as_str();
            matches!(name, "forwarded" | "x-real-ip")
                || (name.starts_with("x-forwarded-") && !matches!(name, "x-forwarded-for" | "x-forwarded-proto"))
        };
        let names: Vec<HeaderName> = headers.keys().filter(other).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// The chain that was sent, with the sender's address at its end.
fn appended(headers: &HeaderMap, address: &HeaderValue) -> Option<HeaderValue> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let chain: Vec<&[u8]> = lines.chain([address.as_bytes()]).collect();
    HeaderValue::from_bytes(&chain.join(&b", "[..])).ok()
}

/// The one well-formed request id in these fields.
fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(X_REQUEST_ID).iter();
    let value = values.next()?;
    let fine = (1..=MAX_REQUEST_ID).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    (fine && values.next().is_none()).then(|| value.clone())
}

/// The ids of a request, in one buffer: `<request id><traceparent>`.
struct Ids(Bytes);

const REQUEST_ID_LEN: usize = 36;

impl Ids {
    /// The trace it belongs to, or a new one that nobody has decided to record.
    fn new(trace: Option<&TraceContext>) -> Self {
        let mut text = [b'-'; REQUEST_ID_LEN + 55];
        let (id, parent) = text.split_at_mut(REQUEST_ID_LEN);
        // Version 4, variant 1 (RFC 9562 §5.4).
        let random = (fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
        let mut digits = [0; 32];
        write_hex(&mut digits, random);
        let mut at = 0;
        for (i, group) in [8, 4, 4, 4, 12].into_iter().enumerate() {
            let to = at + i;
            id[to..to + group].copy_from_slice(&digits[at..at + group]);
            at += group;
        }
        parent[..2].copy_from_slice(b"00");
        match trace {
            Some(trace) => {
                parent[3..35].copy_from_slice(&trace.trace);
                parent[36..52].copy_from_slice(&trace.span);
                parent[53..].copy_from_slice(if trace.sampled { b"01" } else { b"00" });
            }
            None => {
                // An id of zeros only is none; one bit prevents it.
                write_hex(&mut parent[3..35], fastrand::u128(..) | 1);
                write_hex(&mut parent[36..52], u128::from(fastrand::u64(..) | 1));
                parent[53..].copy_from_slice(b"00");
            }
        }
        Self(Bytes::copy_from_slice(&text))
    }

    fn request_id(&self) -> HeaderValue {
        self.slice(0, REQUEST_ID_LEN)
    }

    fn traceparent(&self) -> HeaderValue {
        self.slice(REQUEST_ID_LEN, REQUEST_ID_LEN + 55)
    }

    fn trace_id(&self) -> HeaderValue {
        self.slice(REQUEST_ID_LEN + 3, REQUEST_ID_LEN + 35)
    }

    fn span_id(&self) -> HeaderValue {
        self.slice(REQUEST_ID_LEN + 36, REQUEST_ID_LEN + 52)
    }

    fn slice(&self, from: usize, to: usize) -> HeaderValue {
        // Digits and dashes are a value.
        HeaderValue::from_maybe_shared(self.0.slice(from..to)).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// The low digits of a number, as many as there is room for.
fn write_hex(out: &mut [u8], number: u128) {
    let bytes = number.to_be_bytes();
    let (_, low) = bytes.split_at(bytes.len() - out.len() / 2);
    for (pair, byte) in out.chunks_exact_mut(2).zip(low) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 0xf)];
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
