//! The service that [`MetricsLayer`](crate::MetricsLayer) makes.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use mesh_core::MeshContext;
use tower_service::Service;

use crate::metrics::future::MetricsFuture;
use crate::metrics::layer::Routes;
use crate::metrics::record::MetricsBody;

/// Counts every request of the service within: [`MetricsLayer`](crate::MetricsLayer).
#[derive(Clone)]
pub struct MetricsService<S> {
    inner: S,
    routes: Arc<Routes>,
}

impl<S> MetricsService<S> {
    pub(crate) fn new(inner: S, routes: Arc<Routes>) -> Self {
        Self { inner, routes }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for MetricsService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: 'static,
    ResBody: Body,
{
    type Response = Response<MetricsBody<ResBody>>;
    type Error = S::Error;
    type Future = MetricsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> MetricsFuture<S::Future> {
        let direction = request
            .extensions()
            .get::<MeshContext>()
            .map(|context| context.direction);
        let record = self.routes.of(direction.unwrap_or_default()).begin(&request);
        MetricsFuture::new(self.inner.call(request), record)
    }
}
