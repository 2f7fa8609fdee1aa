//! The layer on the side that serves.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::HeaderName;
use http::{Request, Response};
use tokio::task::futures::TaskLocalFuture;
use tower_layer::Layer;
use tower_service::Service;

use super::canary::{CanaryNameError, CanaryNames};
use super::{CURRENT, Carried, CarryBody};

/// Keeps what a request [carries](Carried) while it is answered, for the clients behind an
/// [`InheritLayer`](super::InheritLayer).
///
/// It belongs next to the application, inside of whatever finds out when the request must be answered and which attempt it
/// is: [`EdgeLayer`](crate::edge::EdgeLayer), rules, a limit of time. It changes neither request nor response, and refuses
/// nothing.
///
/// What a body of a response does while it is read is done for the request, too, but no longer within its deadline: that
/// is about the head. A client that waits no longer breaks off the body.
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use mesh_core::carry::{self, CarryLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let app = CarryLayer::new().layer(service_fn(async |_: Request<()>| {
///     let carried = carry::current().expect("in a request");
///     assert_eq!(carried.request_id(), Some("r-7"));
///     Ok::<_, Infallible>(Response::new(mesh_core::body::Body::empty()))
/// }));
/// app.oneshot(Request::get("/").header("x-request-id", "r-7").body(())?).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct CarryLayer {
    names: CanaryNames,
}

impl CarryLayer {
    /// A layer that takes the choice of a canary from the header `x-canary-user` and the cookie `canary`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes it from these instead, as the rules of the services that are called do.
    ///
    /// # Errors
    /// The header says who asks or is set by the mesh, or the cookie's name is not one.
    ///
    /// ```
    /// use http::HeaderName;
    /// use mesh_core::carry::CarryLayer;
    ///
    /// assert!(CarryLayer::new().canary(HeaderName::from_static("x-beta"), "beta").is_ok());
    /// assert!(CarryLayer::new().canary(http::header::AUTHORIZATION, "beta").is_err());
    /// ```
    pub fn canary(self, header: HeaderName, cookie: &str) -> Result<Self, CanaryNameError> {
        let names = CanaryNames::new(header, cookie)?;
        Ok(Self { names })
    }
}

impl<S> Layer<S> for CarryLayer {
    type Service = CarryService<S>;

    fn layer(&self, inner: S) -> CarryService<S> {
        CarryService {
            inner,
            names: self.names.clone(),
        }
    }
}

/// A service behind a [`CarryLayer`].
#[derive(Clone, Debug)]
pub struct CarryService<S> {
    inner: S,
    names: CanaryNames,
}

impl<S, B, R> Service<Request<B>> for CarryService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<CarryBody<R>>;
    type Error = S::Error;
    type Future = CarryFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> CarryFuture<S::Future> {
        let carried = Carried::by_names(&request, &self.names);
        // A service may make a call before its future is first asked.
        let future = CURRENT.sync_scope(Some(carried.clone()), || self.inner.call(request));
        CarryFuture {
            future: CURRENT.scope(Some(carried.clone()), future),
            body: Some(carried.without_deadline()),
        }
    }
}

pin_project_lite::pin_project! {
    /// The response of a [`CarryService`].
    pub struct CarryFuture<F> {
        #[pin]
        future: TaskLocalFuture<Option<Carried>, F>,
        // For the response's body; none once it was answered.
        body: Option<Carried>,
    }
}

impl<F, R, E> Future for CarryFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<CarryBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.body.is_none() {
            // Polled after it was ready: there is nothing more to come.
            return Poll::Pending;
        }
        let answered = ready!(this.future.poll(cx));
        let Some(carried) = this.body.take() else {
            return Poll::Pending;
        };
        Poll::Ready(answered.map(|response| response.map(|body| CarryBody::new(body, carried))))
    }
}
