//! The service: an endpoint for each request, and another one when the request never reached the first.

mod attempt;
mod builder;
mod copy;
mod driver;
mod pools;
mod under_way;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::upgrade::asks_for_tunnel;
use mesh_core::{Error, MeshContext, ServiceName};

use attempt::Observer;
use pools::Pools;

pub use attempt::Attempt;
pub use builder::BalanceBuilder;

use crate::endpoint::Sweeper;
use crate::fleet::Fleet;

/// Sends each request to one of a service's endpoints.
///
/// It is `Clone` over shared state, always ready, and fails fast in `call`: no `Buffer` is needed and none
/// should be put in front. Where a request goes is in its [`MeshContext`]: the target's version picks the
/// subset; without one the stable endpoints serve. Behind the mesh's edge a request has the origin form and
/// one `Host` field; a client of its own may send the absolute form as well.
///
/// A request that certainly did not reach the application is sent again, to another endpoint if the
/// connection could not be made, three times at most: a connection that could not be made, one that was
/// closed before anything was written, a stream the endpoint refused. A request without a body and with a
/// safe method is also sent again when a connection that had rested breaks before any answer, since that is
/// how a server's idle timeout shows, and when any connection is reset before any answer, since that is how a
/// listener that ends drops what the application has not taken.
///
/// As a tower service it sends a request that asks for an upgrade, as to WebSocket, on a connection of its own; the
/// response to one that was agreed to (101) carries hyper's upgrade ([`send_upgrade`](Self::send_upgrade)).
///
/// ```
/// use http::Request;
/// use mesh_core::body::Body;
/// use mesh_core::{Endpoint, EndpointSet, ErrorKind};
/// use mesh_lb::{Balance, RoundRobin};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let orders = Balance::builder("orders".parse()?)
///     .endpoints(EndpointSet::new([Endpoint::new("127.0.0.1:1".parse()?)]))
///     .balancer(RoundRobin::new())
///     .start();
/// // Nothing listens there, and the error says so.
/// let request = Request::get("/").header("host", "orders").body(Body::empty())?;
/// let error = orders.send(request, None).await.err().expect("no connection");
/// assert_eq!(error.kind(), ErrorKind::UpstreamConnect);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Balance {
    shared: Arc<Shared>,
}

struct Shared {
    fleet: Fleet,
    pools: Arc<ArcSwap<Pools>>,
    observe: Option<Observer>,
    _driver: driver::Driver,
    _sweeper: Sweeper,
}

impl Balance {
    /// A balancer over the endpoints of this service.
    pub fn builder(service: ServiceName) -> BalanceBuilder {
        BalanceBuilder::new(service)
    }

    /// The service.
    pub fn service(&self) -> &ServiceName {
        self.shared.fleet.service()
    }

    /// Its endpoints and what is known of them.
    pub fn fleet(&self) -> &Fleet {
        &self.shared.fleet
    }
}

impl std::fmt::Debug for Balance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Balance")
            .field("service", self.service())
            .finish_non_exhaustive()
    }
}

impl tower_service::Service<Request<Body>> for Balance {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let balance = self.clone();
        Box::pin(async move {
            let target = request
                .extensions()
                .get::<MeshContext>()
                .and_then(|context| context.target.as_ref());
            let version = target.and_then(|target| target.version.clone());
            let (mut response, info) = match asks_for_tunnel(request.method(), request.headers()) {
                // Boxed, since few are, and every request's future would have room for it.
                true => {
                    let sent = Box::pin(balance.send_upgrade(request, version.as_ref()));
                    let (response, info) = sent.await?;
                    (response.map(Body::from), info)
                }
                false => balance.send(request, version.as_ref()).await?,
            };
            response.extensions_mut().insert(info);
            Ok(response)
        })
    }
}
