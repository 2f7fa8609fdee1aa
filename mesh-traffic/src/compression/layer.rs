//! The layer.

use tower_layer::Layer;

use super::rule::CompressionRule;
use super::service::CompressionService;

/// Compresses the responses of a service for clients that take it.
///
/// The error is the inner service's, and the layer is as ready as that service is: `axum::Router::layer` takes it as it
/// is. It belongs outside of whatever looks at bodies, and inside of metrics, so that they count what is sent.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use http_body_util::BodyExt;
/// use mesh_traffic::CompressionLayer;
/// use tower::ServiceExt;
///
/// let app: Router = Router::new()
///     .route("/", get(|| async { "hello ".repeat(1000) }))
///     .layer(CompressionLayer::default());
///
/// let request = Request::get("/").header("accept-encoding", "gzip").body(Body::empty())?;
/// let answer = app.oneshot(request).await?;
/// assert_eq!(answer.headers()["content-encoding"], "gzip");
/// assert!(answer.into_body().collect().await?.to_bytes().len() < 100);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CompressionLayer {
    rule: CompressionRule,
}

impl CompressionLayer {
    /// Compresses what this rule says.
    pub fn new(rule: CompressionRule) -> Self {
        Self { rule }
    }
}

impl<S> Layer<S> for CompressionLayer {
    type Service = CompressionService<S>;

    fn layer(&self, inner: S) -> CompressionService<S> {
        CompressionService::new(inner, self.rule)
    }
}
