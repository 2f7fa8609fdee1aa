//! The layer that counts attempts, for a client stack of one's own.

use std::sync::Arc;

use tower_layer::Layer;

use super::of_service::ServiceEvidence;
use super::service::EvidenceService;

/// Counts the attempts of the client it wraps: [`Evidence::layer`](super::Evidence::layer).
///
/// It belongs directly around what picks an endpoint, beneath whatever tries again, so that each try counts. The version is
/// that of the endpoint which answered ([`AttemptInfo`](mesh_core::AttemptInfo)), or, without an answer, the
/// one of the request's [`MeshContext`](mesh_core::MeshContext), which says as well how the request came to it. A try
/// that is given up counts as a timeout if its answer was [`Due`](mesh_core::due::Due), or without that its deadline
/// over.
///
/// ```
/// use http::{Request, Response};
/// use mesh_core::body::Body;
/// use mesh_core::metric::TrafficQuery;
/// use mesh_core::{Error, ErrorKind};
/// use mesh_telemetry::Telemetry;
/// use tower::{Service, ServiceBuilder, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let evidence = Telemetry::new().evidence();
/// let mut orders = ServiceBuilder::new().layer(evidence.layer(&"orders".parse()?)).service(service_fn(
///     |_: Request<Body>| async { Err::<Response<Body>, _>(Error::new(ErrorKind::UpstreamConnect, "nobody listens")) },
/// ));
/// assert!(orders.call(Request::get("/").body(Body::empty())?).await.is_err());
///
/// let stable = TrafficQuery::new("orders".parse()?, "stable".parse()?);
/// assert_eq!(evidence.traffic(&stable).errors, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct EvidenceLayer {
    service: Arc<ServiceEvidence>,
}

impl EvidenceLayer {
    pub(super) fn new(service: Arc<ServiceEvidence>) -> Self {
        Self { service }
    }
}

impl<S> Layer<S> for EvidenceLayer {
    type Service = EvidenceService<S>;

    fn layer(&self, inner: S) -> EvidenceService<S> {
        EvidenceService::new(inner, Arc::clone(&self.service))
    }
}
