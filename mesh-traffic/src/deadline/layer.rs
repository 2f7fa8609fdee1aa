//! The layer.

use std::time::Duration;

use tower_layer::Layer;

use super::service::DeadlineService;

/// Ends requests that are not answered in time: 504 `timeout`, for gRPC `DEADLINE_EXCEEDED`. The inner service's
/// future is dropped at that moment, and with it all that was waiting below.
///
/// The time counts from when the request's head was complete
/// ([`MeshContext::received`](mesh_core::MeshContext::received)); without a context, from now. The deadline is
/// kept in [`MeshContext::deadline`](mesh_core::MeshContext::deadline), for those behind to pass it on. One that
/// was given already, by a peer or a rule, is kept if it is earlier. A request whose deadline has passed while it
/// waited in front of this layer is answered without calling the inner service: nobody waits for it any more.
///
/// What has to be there in time is the head of the response. A body may go on for as long as it likes, as
/// downloads, event streams, streaming calls and upgraded connections do; what bounds a body that stands still is
/// the idle timer of the connection ([`mesh_core::serve`]).
///
/// The error is the inner service's, and the layer is as ready as that service is: `axum::Router::layer` takes
/// it as it is. It belongs inside of what may hold a request back, and outside of what must not take longer.
/// Where the inner service has to be waited for, a timer of tokio is needed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use mesh_traffic::DeadlineLayer;
/// use tower::ServiceExt;
///
/// async fn slow() -> &'static str {
///     tokio::time::sleep(Duration::from_secs(60)).await;
///     "too late"
/// }
///
/// let app: Router = Router::new()
///     .route("/", get(|| async { "hello" }))
///     .route("/slow", get(slow))
///     .layer(DeadlineLayer::at_most(Duration::from_secs(2)));
///
/// let answer = app.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
/// assert_eq!(answer.status(), 200);
///
/// let began = tokio::time::Instant::now();
/// let late = app.oneshot(Request::get("/slow").body(Body::empty())?).await?;
/// assert_eq!(late.status(), 504);
/// assert_eq!(late.headers()["x-mesh-error"], "timeout");
/// assert_eq!(began.elapsed().as_secs(), 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadlineLayer {
    at_most: Option<Duration>,
}

impl DeadlineLayer {
    /// Holds requests to the deadline they have, and to none if they have none: for behind a
    /// [`RouteLayer`](crate::RouteLayer), whose rules set deadlines.
    pub fn inherited() -> Self {
        Self::default()
    }

    /// Holds requests to the deadline they have, and to this time at most. With zero, none is ever in time.
    pub fn at_most(limit: Duration) -> Self {
        Self { at_most: Some(limit) }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> DeadlineService<S> {
        DeadlineService::new(inner, self.at_most)
    }
}
