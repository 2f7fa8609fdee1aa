//! A service as a function that may be called several times, also while an earlier call is under way.

use std::future::{Future, poll_fn};

use bytes::Bytes;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::{BoxError, Error};
use tower_service::Service;

/// Takes the service that was ready for the first call, and leaves a clone of it behind. Later calls use clones of their
/// own, and wait until those are ready.
pub(crate) struct Sender<S> {
    ready: Option<S>,
    spare: S,
}

impl<S: Clone> Sender<S> {
    pub(crate) fn of(service: &mut S) -> Self {
        let spare = service.clone();
        Self {
            ready: Some(std::mem::replace(service, spare.clone())),
            spare,
        }
    }

    /// Sends a request, without holding on to this.
    pub(crate) fn send<B>(
        &mut self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + use<S, B>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut service, is_ready) = match self.ready.take() {
            Some(service) => (service, true),
            None => (self.spare.clone(), false),
        };
        async move {
            if !is_ready {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Error::wrap)?;
            }
            let answered = service.call(request).await.map_err(Error::wrap)?;
            Ok(answered.map(Body::new))
        }
    }
}
