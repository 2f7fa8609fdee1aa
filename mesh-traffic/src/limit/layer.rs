//! The layer.

use std::fmt;
use std::sync::Arc;

use mesh_core::{KeyBy, KeyExtractor};
use tower_layer::Layer;

use super::limiter::RateLimiter;
use super::quota::Quota;
use super::service::RateLimitService;

/// Refuses requests that are too many, before the service behind sees them: 429 with `retry-after` and the
/// [RateLimit fields](super::Limited::refusal), for gRPC `RESOURCE_EXHAUSTED`.
///
/// What comes from one service shares a [`Quota`], and so does everything without an identity together;
/// [`by`](Self::by) counts by something else. Clones of a layer, and all services they stand in front of,
/// share one [`RateLimiter`]. The time is the one at which the head was complete
/// ([`MeshContext::received`](mesh_core::MeshContext::received)); without a context, now.
///
/// The error is the inner service's, and the layer is as ready as that service is: `axum::Router::layer` takes
/// it as it is. It belongs outside of what costs something, and inside of what finds out who asks.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use mesh_traffic::{KeyBy, Quota, RateLimitLayer};
/// use tower::ServiceExt;
///
/// let limit = RateLimitLayer::new(Quota::per_second(200)?.burst(1)?).by("header:x-tenant".parse::<KeyBy>()?);
/// let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(limit.clone());
///
/// let ask = |tenant: &str| Request::get("/").header("x-tenant", tenant).body(Body::empty());
/// assert_eq!(app.clone().oneshot(ask("acme")?).await?.status(), 200);
///
/// let refused = app.clone().oneshot(ask("acme")?).await?;
/// assert_eq!(refused.status(), 429);
/// assert_eq!(refused.headers()["x-mesh-error"], "rate_limited");
/// assert_eq!(refused.headers()["retry-after"], "1");
///
/// assert_eq!(app.clone().oneshot(ask("other")?).await?.status(), 200);
/// assert_eq!(limit.limiter().limited(), 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RateLimitLayer {
    limiter: RateLimiter,
    by: Arc<dyn KeyExtractor>,
    dry_run: bool,
}

impl RateLimitLayer {
    /// A layer with a limiter of its own, counted by the source service ([`KeyBy::SourceService`]).
    pub fn new(quota: Quota) -> Self {
        Self::sharing(RateLimiter::new(quota))
    }

    /// A layer with this limiter: what other layers or functions let pass with it counts here too.
    pub fn sharing(limiter: RateLimiter) -> Self {
        Self {
            limiter,
            by: Arc::new(KeyBy::SourceService),
            dry_run: false,
        }
    }

    /// Counts requests by this.
    #[must_use]
    pub fn by(self, key: impl KeyExtractor) -> Self {
        Self {
            by: Arc::new(key),
            ..self
        }
    }

    /// Whether requests that are too many are only counted, in [`RateLimiter::limited`], and pass. This is how
    /// to find out what a limit would do. Default false.
    #[must_use]
    pub fn dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    /// The limiter, for its counters and for other layers.
    pub fn limiter(&self) -> &RateLimiter {
        &self.limiter
    }

    pub(super) fn extractor(&self) -> &dyn KeyExtractor {
        &*self.by
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("quota", &self.limiter.quota())
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimitService<S>;

    fn layer(&self, inner: S) -> RateLimitService<S> {
        RateLimitService::new(inner, self.clone())
    }
}
