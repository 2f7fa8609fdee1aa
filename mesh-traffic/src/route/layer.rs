//! The layer, and what it reads.

use http::Extensions;
use mesh_core::Live;
use tower_layer::Layer;

use super::service::RouteService;
use crate::router::{Decision, RouteTable};

/// What a [`RouteLayer`] reads: a table, and perhaps what its user prepared for each decision of it. Both are
/// published as one value, so that they always fit each other.
///
/// ```
/// use std::sync::Arc;
/// use http::Extensions;
/// use mesh_traffic::{Decision, RouteTable, Routes};
///
/// struct Prepared {
///     table: RouteTable,
///     /// By `Decision::index`.
///     counters: Vec<Arc<std::sync::atomic::AtomicU64>>,
/// }
///
/// impl Routes for Prepared {
///     fn table(&self) -> &RouteTable {
///         &self.table
///     }
///
///     fn attach(&self, decision: &Decision, extensions: &mut Extensions) {
///         if let Some(counter) = self.counters.get(decision.index()) {
///             extensions.insert(Arc::clone(counter));
///         }
///     }
/// }
/// # let _ = |prepared: Prepared| mesh_traffic::RouteLayer::new(mesh_core::Live::fixed(prepared));
/// ```
pub trait Routes: Send + Sync + 'static {
    /// The table.
    fn table(&self) -> &RouteTable;

    /// Gives a request that is forwarded what was prepared for its decision. By default nothing.
    fn attach(&self, decision: &Decision, extensions: &mut Extensions) {
        let _ = (decision, extensions);
    }
}

impl Routes for RouteTable {
    fn table(&self) -> &RouteTable {
        self
    }
}

/// Decides where each request goes and keeps it in [`MeshContext::target`](mesh_core::MeshContext::target),
/// for the layers and the client behind; a request whose target is decided already passes. If the decision
/// has a time limit, it shortens [`MeshContext::deadline`](mesh_core::MeshContext::deadline), counted from
/// the moment the head was complete.
///
/// What a rule answers, and what nothing matches (`no_route`), is answered here: the service behind is ready
/// and not called.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use http::{Request, Response};
/// use mesh_core::body::Body;
/// use mesh_core::{Live, MeshContext, ServiceName};
/// use mesh_traffic::{RouteLayer, RouteTable, Service};
/// use tower_layer::Layer;
/// use tower_service::Service as _;
///
/// let table = RouteTable::new("dept-barc", [Service::new(ServiceName::new("orders")?)], [])?;
/// let app = tower::service_fn(async |request: Request<Body>| {
///     let context = request.extensions().get::<MeshContext>().expect("the layer leaves one");
///     let target = context.target.as_ref().expect("decided");
///     Ok::<_, mesh_core::Error>(Response::new(Body::full(target.service.to_string())))
/// });
/// let mut app = RouteLayer::new(Live::fixed(table)).layer(app);
///
/// let known = app.call(Request::get("http://orders/7").body(Body::empty())?).await?;
/// assert_eq!(known.status(), 200);
/// let unknown = app.call(Request::get("http://other/7").body(Body::empty())?).await?;
/// assert_eq!(unknown.headers()["x-mesh-error"], "no_route");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RouteLayer<T = RouteTable> {
    routes: Live<T>,
}

impl<T: Routes> RouteLayer<T> {
    /// A layer that reads these routes: each request the ones published last.
    pub fn new(routes: Live<T>) -> Self {
        Self { routes }
    }
}

impl<T> Clone for RouteLayer<T> {
    fn clone(&self) -> Self {
        Self {
            routes: self.routes.clone(),
        }
    }
}

impl<S, T: Routes> Layer<S> for RouteLayer<T> {
    type Service = RouteService<S, T>;

    fn layer(&self, inner: S) -> RouteService<S, T> {
        RouteService::new(inner, self.routes.clone())
    }
}
