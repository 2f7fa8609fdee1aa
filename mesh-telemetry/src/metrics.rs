//! What is counted of requests, attempts and endpoints, and the tower layer that counts.
//!
//! | metric | labels |
//! |---|---|
//! | `service_mesh_requests_total` | `source_service, target_service, version, route, method, status, protocol, direction, reason` |
//! | `service_mesh_request_duration_seconds` | the same, with the class of the status (`2xx`) |
//! | `service_mesh_requests_in_flight` | `target_service, version, route, direction` |
//! | `http_requests_total` | `service, version, code, job` |
//! | `service_mesh_attempts_total` | `target_service, outcome` |
//! | `service_mesh_endpoints` | `target_service, state` |
//! | `service_mesh_circuit_breaker_open` | `target_service` |
//! | `service_mesh_retries_total` | `outcome` |
//! | `service_mesh_rate_limited_total` | |
//! | `service_mesh_rate_limits_alone_total` | |
//! | `service_mesh_authorization_audited_total` | |
//! | `service_mesh_faults_injected_total` | `kind` |
//! | `service_mesh_mirrored_total` | `outcome` |
//! | `service_mesh_spans_total` | `outcome` |
//! | `service_mesh_access_log_lines_total` | `outcome` |
//! | `service_mesh_unreadable_requests_total` | `reason` |
//! | `service_mesh_config_reloads_total` | `result` |
//! | `service_mesh_certificate_expiry_days`, `service_mesh_certificate_lifetime_days` | `service, kind` |
//! | `service_mesh_certificate_renewal_overdue_seconds`, `service_mesh_crl_age_seconds` | `service` |
//! | `service_mesh_trust_bundle_sequence`, `service_mesh_trust_bundles_refused_total` | `service` |
//! | `service_mesh_connections_ended_total` | `service, cause` |
//! | `canary_deployment_status` | `service, version, status` |
//! | `canary_deployment_error_rate`, `canary_deployment_response_time_p95`, `canary_deployment_duration_seconds`, `canary_deployment_weight`, `canary_deployment_samples`, `canary_deployment_stable_error_rate`, `canary_deployment_stable_response_time_p95`, `canary_deployment_stable_samples`, `canary_deployment_evidence`, `canary_deployment_evidence_limit` | `service, version` |
//! | `canary_deployment_decisions_total` | `service, decision, cause` |
//! | `service_mesh_events_total` | `kind` |
//! | `service_mesh_anomaly` | `target_service, route, figure` |
//! | `service_mesh_build_info` | `version` |
//!
//! A request is counted once, when its response is over: at the end of the body, at its error, or when the
//! client goes away. Its duration runs from [`MeshContext::received`](mesh_core::MeshContext) to there. The
//! status is that of the head, whatever becomes of the body; without a head it is `499`.
//!
//! Series whose labels are known beforehand start at 0: those of a service, and of a target the requests of
//! an unknown source that ended with 200 or 500 (`http_requests_total`: 200, 500, 502, 503, 504), so that a
//! ratio of errors has a value before the first of them.
//!
//! The `job` of `http_requests_total` is `<service>-<version>`, which analysis templates ask for.
//! Prometheus puts its own `job` over it and renames this one to `exported_job`, unless the scrape has
//! `honor_labels: true` (in a ServiceMonitor: `honorLabels: true`).
//!
//! Which values the labels can have: [`labels`](crate::labels).

mod canary;
mod conventions;
mod future;
mod histogram;
mod identity;
mod layer;
mod process;
mod record;
mod route;
mod service;
mod upstream;
mod version;

pub use canary::{CanaryFigures, CanaryMetrics, CanaryStatus};
pub use future::MetricsFuture;
pub use histogram::EDGES;
pub use identity::{IdentityMetrics, Remaining, Untrusted};
pub use layer::MetricsLayer;
pub use process::{Fault, LineOutcome, Mirrored, ProcessMetrics, Reload, Retry, SpanOutcome};
pub use record::{MetricsBody, RequestRecord};
pub use route::RouteMetrics;
pub use service::MetricsService;
pub use upstream::{EndpointCounts, ServiceMetrics};

pub(crate) use conventions::write as write_conventions;
pub(crate) use future::mesh_error;
pub(crate) use histogram::edges;
pub(crate) use histogram::write_head as write_duration_head;
pub(crate) use route::{RouteKey, Total};
pub(crate) use version::{VersionKey, VersionMetrics};
