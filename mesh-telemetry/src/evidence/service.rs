//! The service that [`EvidenceLayer`](super::EvidenceLayer) makes.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::future::{EvidenceFuture, Trying};
use super::of_service::ServiceEvidence;
use super::record::EvidenceBody;

/// Counts each request to the service within as an attempt: [`EvidenceLayer`](super::EvidenceLayer).
#[derive(Clone, Debug)]
pub struct EvidenceService<S> {
    inner: S,
    service: Arc<ServiceEvidence>,
}

impl<S> EvidenceService<S> {
    pub(super) fn new(inner: S, service: Arc<ServiceEvidence>) -> Self {
        Self { inner, service }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for EvidenceService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: 'static,
    ResBody: Body,
{
    type Response = Response<EvidenceBody<ResBody>>;
    type Error = S::Error;
    type Future = EvidenceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> EvidenceFuture<S::Future> {
        let trying = Trying::of(&request, &self.service);
        EvidenceFuture::new(self.inner.call(request), trying)
    }
}
