//! The layer that counts every request of a tower service.

use std::sync::{Arc, OnceLock};

use mesh_core::Version;
use mesh_core::context::{Direction, Target};
use tower_layer::Layer;

use crate::metrics::route::RouteMetrics;
use crate::metrics::service::MetricsService;
use crate::registry::Telemetry;

/// Counts the requests of the service it wraps: [`Telemetry::layer`](crate::Telemetry::layer).
///
/// The target is fixed. Source, direction and the time of receipt come from the request's
/// [`MeshContext`](mesh_core::MeshContext); without one: `unknown`, `inbound`, now. The error is the inner
/// service's, so `axum::Router::layer` takes it as it is. Put it outside of what may refuse a request.
///
/// An error of the inner service is counted with its status and kind if it is a
/// [`mesh_core::Error`], boxed or not, else as 500.
///
/// ```
/// use axum::{Router, routing::get};
/// use mesh_telemetry::Telemetry;
///
/// let telemetry = Telemetry::new();
/// let layer = telemetry.layer("orders".parse()?).with_version(Some("v2".parse()?));
/// let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(layer);
/// # let _ = app;
/// assert!(telemetry.render().contains(r#"http_requests_total{service="orders",version="v2",code="200""#));
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone)]
pub struct MetricsLayer {
    telemetry: Telemetry,
    target: Target,
}

impl MetricsLayer {
    pub(crate) fn new(telemetry: Telemetry, target: Target) -> Self {
        Self { telemetry, target }
    }

    /// The version of the service; without one, `stable`.
    #[must_use]
    pub fn with_version(self, version: Option<Version>) -> Self {
        Self {
            target: self.target.with_version(version),
            ..self
        }
    }

    /// The label `route`; without one, it is empty. A fixed name or template, not a request's path.
    #[must_use]
    pub fn with_route(self, route: Option<Arc<str>>) -> Self {
        Self {
            target: self.target.with_route(route),
            ..self
        }
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> MetricsService<S> {
        let routes = Routes {
            inbound: self.telemetry.route(&self.target, Direction::Inbound),
            outbound: OnceLock::new(),
            telemetry: self.telemetry.clone(),
            target: self.target.clone(),
        };
        MetricsService::new(inner, Arc::new(routes))
    }
}

/// The metrics of one target in both directions. The rarer one gets its series when it is first met.
pub(crate) struct Routes {
    inbound: Arc<RouteMetrics>,
    outbound: OnceLock<Arc<RouteMetrics>>,
    telemetry: Telemetry,
    target: Target,
}

impl Routes {
    pub(crate) fn of(&self, direction: Direction) -> &Arc<RouteMetrics> {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => self
                .outbound
                .get_or_init(|| self.telemetry.route(&self.target, Direction::Outbound)),
        }
    }
}
