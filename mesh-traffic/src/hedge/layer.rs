//! The layer.

use tokio::time::Instant;
use tower_layer::Layer;

use super::hedges::{HedgeOutcome, Hedges};
use super::policy::HedgePolicy;
use super::service::HedgeService;
use crate::retry::RetryBudget;

/// Sends an idempotent request a second time, to another endpoint, when the first takes longer than most do, and hands on
/// whichever answer is good and comes first. The other request is given up.
///
/// What "longer than most" is, is measured: a percentile of the latencies of the last while, to the head of the response.
/// Until enough are known, and for requests whose body is not read to its end, nothing is sent twice. How much it adds in
/// all is bounded by the percentile, and by a [`RetryBudget`] in which retries and hedges draw on the same: with a service
/// that is slow because it is overloaded, the budget is what keeps the second requests from making it worse.
///
/// It belongs inside of a [`RetryLayer`](crate::RetryLayer), so that each first try may have company, and outside of what
/// picks an endpoint, so that the two go to different ones. The second request says that it is not the first
/// ([`MeshContext::attempt`](mesh_core::MeshContext::attempt)), so that no layer behind it multiplies it; a request that is
/// a retry itself is sent once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), mesh_core::BoxError> {
/// use std::time::Duration;
/// use http::{Request, Response};
/// use mesh_core::Error;
/// use mesh_core::body::Body;
/// use mesh_core::testkit::{Scripted, Step};
/// use mesh_traffic::hedge::{HedgeLayer, HedgePolicy};
/// use mesh_traffic::retry::RetryBudget;
/// use tokio::time::Instant;
/// use tower::{Layer, ServiceExt};
///
/// let quick = || Step::<_, Error>::AnswerAfter(Duration::from_millis(10), Response::new(Body::empty()));
/// let steps = (0..100).map(|_| quick()).chain([Step::Hang, quick()]);
/// let (orders, calls) = Scripted::new(steps);
///
/// let now = Instant::now();
/// let budget = RetryBudget::new(Default::default(), now);
/// let orders = HedgeLayer::new(HedgePolicy::default(), budget, now).layer(orders);
/// for _ in 0..100 {
///     orders.clone().oneshot(Request::default()).await?;
/// }
/// // One that would never be answered takes twice as long as the others, and little more.
/// let began = Instant::now();
/// orders.oneshot(Request::default()).await?;
/// assert!(began.elapsed() < Duration::from_millis(25));
/// assert_eq!((calls.count(), calls.cancelled()), (102, 1));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct HedgeLayer {
    hedges: Hedges,
}

impl HedgeLayer {
    /// A layer with this policy and budget, that begins to measure at `now`. Clones measure together.
    pub fn new(policy: HedgePolicy, budget: RetryBudget, now: Instant) -> Self {
        Self {
            hedges: Hedges::new(policy, budget, now),
        }
    }

    /// Tells this of every second request that was sent or wanted. It must not wait. What was measured before is
    /// forgotten.
    #[must_use]
    pub fn observe(self, tell: impl Fn(HedgeOutcome) + Send + Sync + 'static) -> Self {
        Self {
            hedges: self.hedges.observe(tell),
        }
    }

    /// What it does, without a service around it.
    pub fn hedges(&self) -> &Hedges {
        &self.hedges
    }
}

impl<S> Layer<S> for HedgeLayer {
    type Service = HedgeService<S>;

    fn layer(&self, inner: S) -> HedgeService<S> {
        HedgeService::new(inner, self.hedges.clone())
    }
}
