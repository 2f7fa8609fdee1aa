//! Puts what is carried into a request that goes out.

use std::time::Duration;

use http::header::HeaderValue;
use http::{HeaderMap, Request};
use tokio::time::Instant;

use super::Carried;
use crate::context::MeshContext;
use crate::duration;
use crate::error::{Error, ErrorKind};
use crate::forwarded::{
    GRPC_TIMEOUT, X_MESH_ATTEMPT, X_MESH_DEADLINE_MS, X_REQUEST_ID, allowed, grpc_timeout,
};
use crate::reject::is_grpc;

impl Carried {
    /// Puts it into a request that is made for this one, where that does not say so itself: what an
    /// [`InheritLayer`](super::InheritLayer) does with each.
    ///
    /// - `x-request-id`, and the canary's header and cookie, unless it has one of its own.
    /// - `traceparent`, `tracestate`, `x-trace-id` and `x-span-id`, as they came, unless it has a trace of its own.
    /// - The deadline becomes the earlier of both, in [`MeshContext::deadline`] and, as the time left at `now`, in
    ///   `x-mesh-deadline-ms`, for gRPC also in `grpc-timeout`. A deadline of its own may be in any of them.
    /// - [`MeshContext::attempt`] and `x-mesh-attempt`, if this request is a retry: what is called for it is sent once.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if the deadline is over. The request is not to be sent.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), mesh_core::BoxError> {
    /// use std::time::Duration;
    /// use http::Request;
    /// use mesh_core::{ErrorKind, MeshContext};
    /// use mesh_core::carry::Carried;
    /// use tokio::time::Instant;
    ///
    /// let now = Instant::now();
    /// let mut context = MeshContext::new(now);
    /// context.deadline = Some(now + Duration::from_secs(2));
    /// let mut request = Request::new(());
    /// request.extensions_mut().insert(context);
    /// let carried = Carried::of(&request);
    ///
    /// let mut call = Request::new(());
    /// carried.put_into(&mut call, now + Duration::from_millis(500))?;
    /// assert_eq!(call.headers()["x-mesh-deadline-ms"], "1500");
    /// let late = carried.put_into(&mut call, now + Duration::from_secs(2)).expect_err("over");
    /// assert_eq!(late.kind(), ErrorKind::Timeout);
    /// # Ok(()) }
    /// ```
    pub fn put_into<B>(&self, request: &mut Request<B>, now: Instant) -> Result<(), Error> {
        if let Some(inherited) = self.deadline {
            shorten(request, inherited, now)?;
        }
        if self.attempt > 0 {
            let context = context(request, now);
            if context.attempt == 0 {
                context.attempt = self.attempt;
            }
            let attempt = HeaderValue::from(context.attempt);
            request.headers_mut().entry(X_MESH_ATTEMPT).or_insert(attempt);
        }
        let headers = request.headers_mut();
        if let Some(id) = &self.fields.request_id {
            headers.entry(X_REQUEST_ID).or_insert_with(|| id.clone());
        }
        if let Some(trace) = &self.fields.trace {
            trace.fill(headers);
        }
        if let Some(choice) = &self.fields.choice {
            choice.fill(headers);
        }
        Ok(())
    }
}

fn context<B>(request: &mut Request<B>, now: Instant) -> &mut MeshContext {
    request
        .extensions_mut()
        .get_or_insert_with(|| MeshContext::new(now))
}

/// Sets the earliest of the deadlines that are known, and tells what is left of it.
fn shorten<B>(request: &mut Request<B>, inherited: Instant, now: Instant) -> Result<(), Error> {
    let own = allowed(request.headers()).and_then(|own| now.checked_add(own));
    let context = context(request, now);
    let known = [context.deadline, own];
    let deadline = known.into_iter().flatten().fold(inherited, Instant::min);
    let left = deadline.saturating_duration_since(now);
    if left.is_zero() {
        let late = duration::display(now.saturating_duration_since(deadline));
        let message = format!("it was not sent, since the deadline it inherits passed {late} before");
        return Err(Error::new(ErrorKind::Timeout, message));
    }
    context.deadline = Some(deadline);
    tell(request.headers_mut(), left);
    Ok(())
}

fn tell(headers: &mut HeaderMap, left: Duration) {
    let millis = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
    headers.insert(X_MESH_DEADLINE_MS, HeaderValue::from(millis));
    if is_grpc(headers) {
        headers.insert(GRPC_TIMEOUT, grpc_timeout(left));
    }
}
