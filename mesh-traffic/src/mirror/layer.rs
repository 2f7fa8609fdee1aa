//! The layer.

use std::fmt;
use std::sync::Arc;

use http::{Request, Response};
use mesh_core::BoxError;
use mesh_core::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::handle::Mirror;
use super::mirrored::MirroredRequest;
use super::service::MirrorService;

pub(super) type Send = Arc<dyn Fn(MirroredRequest) + std::marker::Send + Sync>;

/// Sends copies of a share of the requests to another service.
///
/// It belongs outside of whatever tries again, so that a request is copied once. Requests for an upgrade, and `CONNECT`,
/// are not copied. Each copy is sent by a task of its own, on the runtime that calls; it ends by itself at the latest
/// after its [timeout](super::MirrorBuilder::timeout).
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), mesh_core::BoxError> {
/// use http::{Request, Response};
/// use mesh_core::body::Body;
/// use mesh_traffic::fault::Chance;
/// use mesh_traffic::mirror::{Ending, Mirror, MirrorLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// // Nobody waits for the new version: it hangs.
/// let next = service_fn(async |_: Request<Body>| {
///     std::future::pending::<Result<Response<Body>, std::convert::Infallible>>().await
/// });
/// let mirror = Mirror::builder(Chance::ALWAYS).build();
/// let orders = service_fn(async |_| Ok::<_, std::convert::Infallible>(Response::new(Body::full("done"))));
/// let orders = MirrorLayer::new(mirror.clone(), next).layer(orders);
///
/// assert_eq!(orders.oneshot(Request::new(Body::empty())).await?.status(), 200);
/// assert_eq!(mirror.counts().in_flight(), 1);
/// tokio::time::sleep(std::time::Duration::from_secs(16)).await;
/// assert_eq!(mirror.counts().of(Ending::TimedOut), 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MirrorLayer {
    mirror: Mirror,
    send: Send,
}

impl MirrorLayer {
    /// Sends what this mirror copies through this client.
    pub fn new<S, B>(mirror: Mirror, client: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + std::marker::Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: std::marker::Send,
        B: http_body::Body + std::marker::Send + 'static,
        B::Data: std::marker::Send,
        B::Error: Into<BoxError>,
    {
        let send = move |copy: MirroredRequest| {
            tokio::spawn(copy.send(client.clone()));
        };
        Self {
            mirror,
            send: Arc::new(send),
        }
    }

    /// Its mirror.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }
}

impl<S> Layer<S> for MirrorLayer {
    type Service = MirrorService<S>;

    fn layer(&self, inner: S) -> MirrorService<S> {
        MirrorService::new(inner, self.mirror.clone(), Arc::clone(&self.send))
    }
}

impl fmt::Debug for MirrorLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorLayer")
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}
