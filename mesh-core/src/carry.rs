//! What a request carries goes on to the calls that are made while it is answered, with no code in the application.
//!
//! A [`CarryLayer`] around the application takes it from the request, and an [`InheritLayer`] around a client puts it
//! into what the client sends: the request's id, its trace, the time that is left for it, which attempt it is, and the
//! choice between a canary and the stable version. In between it is in the task: whatever the application awaits while it
//! answers knows it, and nothing else does. It is never in a global place, so that requests do not mix.
//!
//! Who a request is from is not carried, and nothing that gives somebody a right: a call is made in the name of the
//! service that makes it.
//!
//! # Tasks
//! Another task knows nothing of it: what is given to `tokio::spawn`, a `JoinSet` or a thread carries nothing on. Begin a
//! task with [`spawn`], or wrap what it does: `set.spawn(scope(current(), work))`. What is to go on when the request is
//! over, as a job in the background, begins with `tokio::spawn`, or without the request's
//! [deadline](Carried::without_deadline).
//!
//! ```
//! use http::{Request, Response};
//! use mesh_core::carry::{self, CarryLayer, InheritLayer};
//! use mesh_core::BoxError;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//! let (tell, told) = std::sync::mpsc::channel();
//! let stock = InheritLayer::new().layer(service_fn(move |request: Request<()>| {
//!     let told = tell.send(request);
//!     async move { told.map(|()| Response::new("3 left")) }
//! }));
//!
//! // The application touches no field.
//! let orders = CarryLayer::new().layer(service_fn(move |_: Request<()>| {
//!     let (here, there) = (stock.clone(), stock.clone());
//!     async move {
//!         let other = carry::spawn(there.oneshot(Request::new(())));
//!         let here = here.oneshot(Request::new(())).await?;
//!         other.await??;
//!         Ok::<_, BoxError>(here)
//!     }
//! }));
//! let request = Request::get("/orders/7").header("x-request-id", "r-7").header("x-canary-user", "true");
//! orders.oneshot(request.body(())?).await?;
//!
//! let sent: Vec<_> = told.try_iter().collect();
//! assert_eq!(sent.len(), 2);
//! for sent in sent {
//!     assert_eq!(sent.headers()["x-request-id"], "r-7");
//!     assert_eq!(sent.headers()["x-canary-user"], "true");
//! }
//! assert!(carry::current().is_none(), "the request is over");
//! # Ok(()) }
//! ```

mod body;
mod canary;
mod carried;
mod inherit;
mod layer;
mod outgoing;
#[cfg(test)]
mod tests;

use std::future::Future;

use tokio::task::JoinHandle;

pub use body::CarryBody;
pub use canary::CanaryNameError;
pub use carried::Carried;
pub use inherit::{InheritFuture, InheritLayer, InheritService};
pub use layer::{CarryFuture, CarryLayer, CarryService};

tokio::task_local! {
    static CURRENT: Option<Carried>;
}

/// What is carried here: inside of a request's handling, or of a [`scope`]. Nothing anywhere else.
pub fn current() -> Option<Carried> {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Does this with that carried: what another task goes on with, or what did not come as a request. With `None`, nothing
/// is carried in it.
///
/// ```
/// use mesh_core::carry::{Carried, current, scope};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let message = http::Request::get("/").header("x-request-id", "r-7").body(())?;
/// let id = scope(Carried::of(&message), async { current()?.request_id().map(str::to_owned) }).await;
/// assert_eq!(id.as_deref(), Some("r-7"));
/// # Ok(()) }
/// ```
pub fn scope<F: Future>(carried: impl Into<Option<Carried>>, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(carried.into(), future)
}

/// Begins a task that carries what is carried here, as `tokio::spawn` does not. Outside of a request it is
/// `tokio::spawn`.
///
/// The task's calls still end with the request's deadline. For what is to go on beyond it, `tokio::spawn` this
/// [`scope`] with [`Carried::without_deadline`].
///
/// # Panics
/// Outside of a tokio runtime, as `tokio::spawn`.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(CURRENT.scope(current(), future))
}
