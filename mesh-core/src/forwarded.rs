//! The fields that say where a request comes from and how it travels: `x-forwarded-*`, trace context, and the
//! mesh's own.
//!
//! What a client sends of them is believed only where there is reason to: nobody by default. [`inherit`] takes
//! over what is believed and removes the rest, before any rule looks at it; [`mark_request`] sets what the mesh
//! knows itself, in place of whatever came in under that name.

mod believed;
mod ids;
mod marks;
#[cfg(test)]
mod tests;
mod timeout;
mod trace;
mod trace_fields;
mod trust;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::trace::SpanContext;

pub use believed::{Believed, inherit};
pub use marks::{PeerMarks, RequestMarks, TargetMarks, mark_request, mark_response, set_parent_span};
pub use trust::Trust;

pub(crate) use believed::request_id;
pub(crate) use timeout::{GRPC_TIMEOUT, allowed, grpc_timeout};
pub(crate) use trace_fields::TraceFields;

/// How often a request had been tried before, on its way down; absent at the first attempt. On a response it says that
/// a layer beneath tried so often and gave up: it is of no use to try again.
pub const X_MESH_ATTEMPT: HeaderName = HeaderName::from_static("x-mesh-attempt");
/// How many milliseconds there were for a request when it was sent on.
pub const X_MESH_DEADLINE_MS: HeaderName = HeaderName::from_static("x-mesh-deadline-ms");

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const X_SPAN_ID: HeaderName = HeaderName::from_static("x-span-id");
const X_SOURCE_SERVICE: HeaderName = HeaderName::from_static("x-source-service");
const X_TARGET_SERVICE: HeaderName = HeaderName::from_static("x-target-service");
const X_SERVICE_MESH_VERSION: HeaderName = HeaderName::from_static("x-service-mesh-version");
const X_MESH_MTLS: HeaderName = HeaderName::from_static("x-mesh-mtls");
const X_MESH_CERT_FINGERPRINT: HeaderName = HeaderName::from_static("x-mesh-cert-fingerprint");

/// The span these fields say a request came from: W3C Trace Context, or B3 where there is none. Anybody may say so.
pub fn parent_span(headers: &HeaderMap) -> Option<SpanContext> {
    trace::of(headers)?.span_context()
}

/// The span that a `traceparent` names: what [`parent_span`] finds where this is the only field that names one.
#[inline]
pub fn parent_in(traceparent: &HeaderValue) -> Option<SpanContext> {
    trace::in_field(traceparent)?.span_context()
}

/// Whether only the mesh sets this field.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with("x-mesh-")
        || matches!(
            name,
            "x-trace-id"
                | "x-span-id"
                | "x-source-service"
                | "x-target-service"
                | "x-service-mesh-version"
                | "x-forwarded-client-cert"
        )
}

/// Whether the mesh sets this field itself, in a request or a response: whatever else it said would be overwritten,
/// or believed. The name is in lower case.
///
/// ```
/// use mesh_core::forwarded::is_set_by_mesh;
///
/// assert!(is_set_by_mesh("x-source-service") && is_set_by_mesh("x-request-id"));
/// assert!(!is_set_by_mesh("x-forwarded-host") && !is_set_by_mesh("x-tenant"));
/// ```
pub fn is_set_by_mesh(name: &str) -> bool {
    is_own(name)
        || matches!(
            name,
            "x-request-id" | "x-forwarded-for" | "x-forwarded-proto" | "traceparent" | "tracestate"
        )
}

/// Whether this field says where a request came from.
pub(crate) fn tells_origin(name: &str) -> bool {
    name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip")
}
