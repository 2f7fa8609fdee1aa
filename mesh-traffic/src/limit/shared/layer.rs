//! The shared limit in front of a service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use mesh_core::reject::{RejectBody, is_grpc};
use mesh_core::{KeyBy, KeyExtractor, MeshContext, RequestHead};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::{SharedKey, SharedLimiter};

/// Refuses requests that are too many for all replicas together: as [`RateLimitLayer`](crate::RateLimitLayer) does,
/// with the answer of a store in between.
#[derive(Clone)]
pub struct SharedLimitLayer {
    limiter: SharedLimiter,
    by: Arc<dyn KeyExtractor>,
    dry_run: bool,
}

/// What a [`SharedLimitLayer`] puts in front of a service.
#[derive(Clone, Debug)]
pub struct SharedLimitService<S> {
    inner: S,
    limit: SharedLimitLayer,
}

impl SharedLimitLayer {
    /// A layer with this limiter, counted by the source service ([`KeyBy::SourceService`]).
    pub fn new(limiter: SharedLimiter) -> Self {
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

    /// Whether requests that are too many are only counted, and pass. Default false.
    #[must_use]
    pub fn dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    /// The limiter, for its counters and for other layers.
    pub fn limiter(&self) -> &SharedLimiter {
        &self.limiter
    }
}

impl fmt::Debug for SharedLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimitLayer")
            .field("limiter", &self.limiter)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for SharedLimitLayer {
    type Service = SharedLimitService<S>;

    fn layer(&self, inner: S) -> SharedLimitService<S> {
        SharedLimitService {
            inner,
            limit: self.clone(),
        }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SharedLimitService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    ReqBody: Send + 'static,
    ResBody: Body<Data = Bytes>,
{
    type Response = Response<RejectBody<ResBody>>;
    type Error = S::Error;
    /// Boxed: beside the way to the store that is nothing.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // The one that was ready is the one that is called, though later.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let head = RequestHead::of(&request);
        let context = head.extensions.get::<MeshContext>();
        let now = context.map_or_else(Instant::now, |context| context.received);
        let key = SharedKey::of(self.limit.by.key(&head));
        let (limiter, dry_run) = (self.limit.limiter.clone(), self.limit.dry_run);
        Box::pin(async move {
            match limiter.check(&key, now).await {
                Err(limited) if !dry_run => Ok(limited.refusal(is_grpc(request.headers()))),
                _ => ready
                    .call(request)
                    .await
                    .map(|answer| answer.map(RejectBody::inner)),
            }
        })
    }
}
