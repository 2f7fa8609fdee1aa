//! Proves that a layer calls the service that it polled, not a clone of it.

use std::task::{Context, Poll};

use tower_service::Service;

/// Panics when it is called without having been polled ready, and its clones are never ready.
///
/// A service may hold what `poll_ready` reserved (a permit, a connection); a clone does not. A layer that moves
/// its inner service into a future must therefore take the one that was ready and leave the clone behind.
///
/// ```should_panic
/// # use std::future::poll_fn;
/// use mesh_core::testkit::{NotReadyClone, Scripted, Step};
/// use tower_service::Service;
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(async {
/// let (service, _calls) = Scripted::<(), (), ()>::new([Step::Answer(())]);
/// let mut service = NotReadyClone::new(service);
/// poll_fn(|cx| service.poll_ready(cx)).await.expect("ready");
/// let mut clone = service.clone();
/// let _future = clone.call(()); // the trap
/// # });
/// ```
#[derive(Debug)]
pub struct NotReadyClone<S> {
    inner: S,
    ready: bool,
}

impl<S> NotReadyClone<S> {
    /// Watches over `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, ready: false }
    }
}

impl<S: Clone> Clone for NotReadyClone<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S: Service<Request>, Request> Service<Request> for NotReadyClone<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let ready = std::task::ready!(self.inner.poll_ready(cx));
        self.ready = ready.is_ok();
        Poll::Ready(ready)
    }

    fn call(&mut self, request: Request) -> S::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without having been polled ready: call the service that was polled, and leave its clone behind"
        );
        self.inner.call(request)
    }
}
