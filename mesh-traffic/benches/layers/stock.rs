//! What others are given to do: requests that can be copied, and when tower tries again.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use mesh_core::body::Body;
use tower::retry::Policy;
use tower::retry::budget::{Budget, TpsBudget};

/// A request without a body, copied as far as it is sent: without what is known about it.
pub(crate) struct Copied(pub(crate) Request<Body>);

impl Clone for Copied {
    fn clone(&self) -> Self {
        Self(copy(&self.0))
    }
}

fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Tries again what answers 5xx or not at all, within a budget of a fifth, as ours by default.
#[derive(Clone)]
pub(crate) struct Fifth(Arc<TpsBudget>);

impl Default for Fifth {
    fn default() -> Self {
        Self(Arc::new(TpsBudget::new(Duration::from_secs(10), 10, 0.2)))
    }
}

impl<B, E> Policy<Request<Body>, Response<B>, E> for Fifth {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<Body>, answer: &mut Result<Response<B>, E>) -> Option<Ready<()>> {
        match answer {
            Ok(response) if !response.status().is_server_error() => {
                self.0.deposit();
                None
            }
            _ => self.0.withdraw().then(|| ready(())),
        }
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(copy(request))
    }
}
