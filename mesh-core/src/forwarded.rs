//! The fields that say where a request comes from and how it travels: `x-forwarded-*`, trace context, and the
//! mesh's own.
//!
//! What a client sends of them is believed only where there is reason to: nobody by default. What the mesh
//! knows itself it always sets, and replaces whatever came in under that name.

mod marks;
mod trace;
mod trust;

pub use marks::{PeerMarks, RequestMarks, TargetMarks, inherit, mark_request, mark_response};
pub use trust::Trust;

/// The fields only the mesh sets. Those of a request are removed unless an authenticated peer sent them, and
/// set anew even then.
pub(crate) const OWN: [&str; 11] = [
    "x-trace-id",
    "x-span-id",
    "x-source-service",
    "x-target-service",
    "x-service-mesh-version",
    "x-mesh-mtls",
    "x-mesh-cert-fingerprint",
    "x-mesh-deadline-ms",
    "x-mesh-attempt",
    "x-mesh-error",
    "x-forwarded-client-cert",
];

/// Whether only the mesh sets this field.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with("x-mesh-") || OWN.contains(&name)
}
