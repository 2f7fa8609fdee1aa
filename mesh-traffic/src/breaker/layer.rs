//! The layer.

use tower_layer::Layer;

use super::service::BreakerService;
use super::service_breaker::ServiceBreaker;

/// Refuses requests to a service that keeps failing: `circuit_open`, at once, so that neither its callers nor itself
/// wait for what will fail.
///
/// It belongs in front of a client of one service, inside of whatever tries again, so that each try asks anew and each
/// result counts. Clones, and all services they stand in front of, share one [`ServiceBreaker`].
///
/// A failure is a 5xx, a gRPC status that blames the server, a response that breaks off, or an error that
/// [counts against the endpoint](mesh_core::ErrorKind::counts_against_endpoint). A request that is given up after its
/// [deadline](mesh_core::MeshContext::deadline) counts as well; given up before, it says nothing.
///
/// As with all layers of the calling side the error is [`mesh_core::Error`]; the inner service's is
/// [wrapped](mesh_core::Error::wrap).
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), mesh_core::BoxError> {
/// use http::{Request, Response, StatusCode};
/// use mesh_core::ErrorKind;
/// use mesh_core::body::Body;
/// use mesh_traffic::{BreakerLayer, ServiceBreaker};
/// use tokio::time::{Duration, Instant, advance};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// let breaker = ServiceBreaker::new("orders".parse()?, Default::default(), Instant::now());
/// let broken = service_fn(async |_: Request<Body>| {
///     let mut response = Response::new(Body::empty());
///     *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
///     Ok::<_, std::convert::Infallible>(response)
/// });
/// let orders = BreakerLayer::new(breaker.clone()).layer(broken);
/// for _ in 0..5 {
///     assert_eq!(orders.clone().oneshot(Request::default()).await?.status(), 500);
/// }
/// let refused = orders.clone().oneshot(Request::default()).await.err().expect("five failures");
/// assert_eq!(refused.kind(), ErrorKind::CircuitOpen);
///
/// advance(Duration::from_secs(30)).await;
/// assert_eq!(orders.oneshot(Request::default()).await?.status(), 500, "a trial");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct BreakerLayer {
    breaker: ServiceBreaker,
}

impl BreakerLayer {
    /// A layer with this breaker.
    pub fn new(breaker: ServiceBreaker) -> Self {
        Self { breaker }
    }

    /// Its breaker.
    pub fn breaker(&self) -> &ServiceBreaker {
        &self.breaker
    }
}

impl<S> Layer<S> for BreakerLayer {
    type Service = BreakerService<S>;

    fn layer(&self, inner: S) -> BreakerService<S> {
        BreakerService::new(inner, self.breaker.clone())
    }
}
