//! The layer.

use tower_layer::Layer;

use super::budget::RetryBudget;
use super::outcome::RetryOutcome;
use super::policy::RetryPolicy;
use super::retries::Retries;
use super::service::RetryService;

/// Sends a request again that failed: an idempotent one, or one of which the application certainly saw nothing.
///
/// It stands outside of what picks an endpoint, so that each try picks again, and avoids those that were tried
/// ([`TriedEndpoints`](mesh_core::tried::TriedEndpoints)). Before each retry it waits: by the policy's back-off, or as long
/// as the answer says (`Retry-After`, gRPC's `grpc-retry-pushback-ms`), which may also say not to. No retry begins after
/// the [deadline](mesh_core::MeshContext::deadline): the failure is handed on at once instead. Once the head of a response
/// was handed on, nothing is sent again.
///
/// Which failures, how often and how long a try may take is in the [`RetryPolicy`]; what other parts of the mesh refused
/// is judged by the [table](mesh_core::ErrorKind::retry_safe). How much in all is in the [`RetryBudget`], which is always
/// there: when everything fails, a service gets hardly more requests than without retries.
///
/// **A call tree tries again at one layer only**: the one next to the failure. A request that is itself a retry
/// ([`MeshContext::attempt`](mesh_core::MeshContext::attempt) above 0) is sent once. A failure that is handed on although
/// it was to be tried again says so, by the field `x-mesh-attempt` or by
/// [`Error::attempts`](mesh_core::Error::attempts), and a layer further out then leaves it at that.
///
/// The body of a request is kept up to the policy's cap while it is sent. The body of a response that is not handed on is
/// read, up to 64 KiB, while there is time, so that its connection can be used again. The head of a gRPC response without
/// a status is held back for up to 50 ms: trailers that follow it tell whether the call failed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), mesh_core::BoxError> {
/// use http::{Request, Response};
/// use mesh_core::Error;
/// use mesh_core::body::Body;
/// use mesh_core::testkit::{Scripted, Step};
/// use mesh_traffic::retry::{RetryBudget, RetryLayer, RetryPolicy};
/// use tokio::time::Instant;
/// use tower::{Layer, ServiceExt};
///
/// let status = |status: u16| Response::builder().status(status).body(Body::empty());
/// let steps = [Step::<_, Error>::Answer(status(503)?), Step::Answer(status(200)?), Step::Answer(status(503)?)];
/// let (orders, calls) = Scripted::new(steps);
///
/// let budget = RetryBudget::new(Default::default(), Instant::now());
/// let orders = RetryLayer::new(RetryPolicy::default(), budget).layer(orders);
/// let response = orders.clone().oneshot(Request::get("/7").body(Body::empty())?).await?;
/// assert_eq!((response.status().as_u16(), calls.count()), (200, 2));
///
/// // What is not idempotent is sent once.
/// let response = orders.oneshot(Request::post("/").body(Body::empty())?).await?;
/// assert_eq!((response.status().as_u16(), calls.count()), (503, 3));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RetryLayer {
    retries: Retries,
}

impl RetryLayer {
    /// A layer with this policy and budget. The budget belongs to what is called: all that call it share one.
    pub fn new(policy: RetryPolicy, budget: RetryBudget) -> Self {
        Self {
            retries: Retries::new(policy, budget),
        }
    }

    /// Tells this of every retry that was made or wanted. It must not wait.
    #[must_use]
    pub fn observe(self, tell: impl Fn(RetryOutcome) + Send + Sync + 'static) -> Self {
        Self {
            retries: self.retries.observe(tell),
        }
    }

    /// What it does, without a service around it.
    pub fn retries(&self) -> &Retries {
        &self.retries
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = RetryService<S>;

    fn layer(&self, inner: S) -> RetryService<S> {
        RetryService::new(inner, self.retries.clone())
    }
}
