//! The copy of a request.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use http::header::EXPECT;
use http::{HeaderName, HeaderValue, Request, Response};
use mesh_core::body::Body;
use mesh_core::{BoxError, MeshContext};
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use super::begun::Ticket;
use super::client::ask;
use super::counts::Ending;
use super::pipe::Watch;

/// The field of a copy, `true`, by which its service can tell it from a request that somebody waits for.
pub const X_MESH_MIRROR: HeaderName = HeaderName::from_static("x-mesh-mirror");

/// The copy of a request, to be sent. Dropped instead, it counts as one that failed.
#[must_use = "nothing is sent before `send`"]
pub struct MirroredRequest {
    request: Request<Body>,
    /// If there is a body.
    watch: Option<Watch>,
    ticket: Ticket,
    deadline: Instant,
}

impl MirroredRequest {
    pub(super) fn new(
        request: Request<Body>,
        watch: Option<Watch>,
        ticket: Ticket,
        deadline: Instant,
    ) -> Self {
        Self {
            request,
            watch,
            ticket,
            deadline,
        }
    }

    /// What is sent, to be changed where the copy is to differ.
    pub fn request_mut(&mut self) -> &mut Request<Body> {
        &mut self.request
    }

    /// Sends it, and throws the answer away. Give it to a task of its own: it ends when the copy is answered, has failed,
    /// is broken off, or is out of time.
    pub async fn send<S, B>(self, client: S)
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: http_body::Body,
        B::Error: Into<BoxError>,
    {
        let Self {
            request,
            watch,
            ticket,
            deadline,
        } = self;
        let ending = {
            let mut answered = pin!(ask(client, request, ticket.mirror().drain()));
            let mut timer = pin!(sleep_until(deadline));
            poll_fn(|cx| {
                let answered = answered.as_mut().poll(cx);
                // An answer to a body that was broken off is none, and an error is what had to come.
                if let Some(Poll::Ready(broken)) = watch.as_ref().map(|watch| watch.poll_broken(cx)) {
                    return Poll::Ready(broken);
                }
                if let Poll::Ready(answered) = answered {
                    return Poll::Ready(answered.map_or(Ending::Failed, |()| Ending::Answered));
                }
                timer.as_mut().poll(cx).map(|()| Ending::TimedOut)
            })
            .await
        };
        ticket.end(ending);
    }
}

impl fmt::Debug for MirroredRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirroredRequest")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// The head of a request once more, without a body. Of its extensions only the [`MeshContext`] goes along, without the
/// target, which is the request's own.
pub(super) fn copied<B>(request: &Request<B>, deadline: Instant) -> Request<Body> {
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    // What there is of the body comes unasked.
    copy.headers_mut().remove(EXPECT);
    copy.headers_mut()
        .insert(X_MESH_MIRROR, HeaderValue::from_static("true"));
    if let Some(context) = request.extensions().get::<MeshContext>() {
        let mut context = context.clone();
        context.target = None;
        context.deadline = Some(deadline);
        copy.extensions_mut().insert(context);
    }
    copy
}
