//! The layer.

use tower_layer::Layer;

use super::config::{ConcurrencyLimit, Waiting};
use super::limiter::ConcurrencyLimiter;
use super::priority::PriorityBy;
use super::service::ConcurrencyService;

/// Lets so many requests be under way at once. Others wait a while, the important ones in front, and what is too much
/// even for that is refused: 503 `overloaded`, for gRPC `UNAVAILABLE`, with limit, line and time in its message.
///
/// A request is under way until the body of its response is over, so that long downloads count for as long as they take;
/// its latency, which an [adaptive](ConcurrencyLimit::adaptive) limit goes by, ends with the head. Nobody waits beyond
/// [`MeshContext::deadline`](mesh_core::MeshContext::deadline).
///
/// Clones, and all services they stand in front of, share one [`ConcurrencyLimiter`]. The error is the inner service's,
/// and the layer is as ready as that service is: `axum::Router::layer` takes it as it is. It belongs inside of what
/// refuses for other reasons, so that those refusals take no place, and outside of the deadline.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use mesh_traffic::ConcurrencyLayer;
/// use mesh_traffic::concurrency::{ConcurrencyLimit, Waiting};
/// use tower::ServiceExt;
///
/// async fn slow() -> &'static str {
///     tokio::time::sleep(Duration::from_secs(2)).await;
///     "done"
/// }
///
/// let limit = ConcurrencyLayer::new(ConcurrencyLimit::fixed(1)?, Waiting::new(1)?);
/// let app: Router = Router::new().route("/", get(slow)).layer(limit);
/// let ask = async || {
///     let request = Request::get("/").body(Body::empty()).expect("valid");
///     let answer = app.clone().oneshot(request).await.expect("infallible");
///     (answer.status(), answer.headers().get("x-mesh-error").cloned())
/// };
///
/// let (first, second, third) = tokio::join!(ask(), ask(), ask());
/// assert_eq!(first.0, 200);
/// assert_eq!(second.0, 200, "it waited for the first");
/// assert_eq!(third.0, 503);
/// assert_eq!(third.1.expect("a refusal"), "overloaded");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ConcurrencyLayer {
    limiter: ConcurrencyLimiter,
    by: PriorityBy,
}

impl ConcurrencyLayer {
    /// A layer with a limiter of its own.
    pub fn new(limit: ConcurrencyLimit, waiting: Waiting) -> Self {
        Self::sharing(ConcurrencyLimiter::new(limit, waiting))
    }

    /// A layer with this limiter: what is under way by others counts here too.
    pub fn sharing(limiter: ConcurrencyLimiter) -> Self {
        Self {
            limiter,
            by: PriorityBy::extension(),
        }
    }

    /// Who is important. Default: what a layer outside left among the extensions, a
    /// [`Priority`](super::Priority).
    #[must_use]
    pub fn by(self, by: PriorityBy) -> Self {
        Self { by, ..self }
    }

    /// The limiter, for its numbers and for other layers.
    pub fn limiter(&self) -> &ConcurrencyLimiter {
        &self.limiter
    }

    pub(super) fn priority(&self) -> &PriorityBy {
        &self.by
    }
}

impl<S> Layer<S> for ConcurrencyLayer {
    type Service = ConcurrencyService<S>;

    fn layer(&self, inner: S) -> ConcurrencyService<S> {
        ConcurrencyService::new(inner, self.clone())
    }
}
