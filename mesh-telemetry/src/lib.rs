//! What the mesh tells of itself: request metrics with bounded labels, and the page Prometheus scrapes.
//!
//! - [`Telemetry`] owns the series. Labels are resolved to handles when a target is published
//!   ([`Telemetry::route`]); a request then costs three counters and no allocation.
//! - [`MetricsLayer`] counts what passes a tower service; [`RequestRecord`] is the same for a proxy, which
//!   knows the target only after it has routed.
//! - [`Evidence`] tells how attempts at each version of a service went: what a canary is judged by.
//! - A [`Teller`](story::Teller) tells of single requests: as spans for a collector ([`trace`]), and in an [`access_log`].
//! - [`serve_metrics`] serves `/metrics`, `/healthz` and `/readyz`, read-only, on a port of its own.
//!
//! Nothing a client sends becomes a label as it is: see [`labels`].
//!
//! ```
//! use http::{Request, Response};
//! use mesh_core::context::{Direction, Target};
//! use mesh_telemetry::Telemetry;
//!
//! let telemetry = Telemetry::new();
//! let target = Target::service("sample-service".parse()?);
//! let orders = telemetry.route(&target, Direction::Inbound); // once, when the target is published
//!
//! let record = orders.begin(&Request::get("/orders/7").body(())?);
//! let response = record.on_response(Response::new(mesh_core::body::Body::full("order 7")));
//! drop(response); // the request is over when its body is
//!
//! let page = telemetry.render();
//! assert!(page.contains(r#"http_requests_total{service="sample-service",version="stable",code="200""#));
//! # Ok::<(), mesh_core::BoxError>(())
//! ```

pub mod access_log;
pub mod anomaly;
pub mod events;
pub mod evidence;
pub mod exporter;
pub mod labels;
pub mod metrics;
pub mod recent;
pub mod registry;
pub mod story;
pub mod tap;
pub mod trace;

pub use events::EventLog;
pub use evidence::{Evidence, ServiceEvidence};
pub use exporter::{Readiness, serve_metrics};
pub use metrics::{
    MetricsBody, MetricsFuture, MetricsLayer, MetricsService, ProcessMetrics, RequestRecord, RouteMetrics,
    ServiceMetrics,
};
pub use registry::{AppRecorder, Telemetry, TelemetryBuilder, Upkeep};
