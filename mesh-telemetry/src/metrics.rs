//! What is counted of requests, attempts and endpoints, and the tower layer that counts.
//!
//! A request is counted when its response is over: at the end of the body, at its error, or when the
//! client goes away. Its duration runs from [`MeshContext::received`](mesh_core::MeshContext) to there.

mod future;
mod histogram;
mod layer;
mod process;
mod record;
mod route;
mod service;
mod upstream;
mod version;

pub use future::MetricsFuture;
pub use histogram::EDGES;
pub use layer::MetricsLayer;
pub use process::{Fault, ProcessMetrics, Reload, Retry};
pub use record::{MetricsBody, RequestRecord};
pub use route::RouteMetrics;
pub use service::MetricsService;
pub use upstream::{EndpointCounts, ServiceMetrics};

pub(crate) use histogram::write_head as write_duration_head;
pub(crate) use route::RouteKey;
pub(crate) use version::{VersionKey, VersionMetrics};
