//! Between hyper and the tower service: the context goes in, refusals and the watch come out.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tower_service::Service;

use super::idle::{RequestBody, Stall};
use super::io::Watch;
use crate::body::Body;
use crate::context::MeshContext;
use crate::error::{BoxError, Error, ErrorKind};
use crate::peer::PeerInfo;
use crate::reject::{RejectBody, is_grpc, reject};

/// The service of one connection, as hyper wants it.
pub(super) struct Connected<S> {
    pub(super) service: S,
    pub(super) peer: Arc<PeerInfo>,
    pub(super) watch: Arc<Watch>,
    pub(super) idle: Duration,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Connected<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<ServeBody<B>>;
    type Error = Infallible;
    type Future = Serving<S, S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut context = MeshContext::new(self.watch.request_begins());
        context.peer = Some(Arc::clone(&self.peer));
        let active = Active(Arc::clone(&self.watch));
        let mut request = request.map(|incoming| {
            if incoming.is_end_stream() { Body::empty() } else { Body::boxed(Box::pin(RequestBody::new(incoming, self.idle))) }
        });
        request.extensions_mut().insert(context);
        let grpc = is_grpc(request.headers());
        let service = self.service.clone();
        Serving { step: Step::Ready { service, request: Some(request) }, active: Some(active), grpc, idle: self.idle }
    }
}

/// A request, counted until its response's body is over.
struct Active(Arc<Watch>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.request_ends();
    }
}

pin_project_lite::pin_project! {
    /// A request on its way through the service.
    pub(super) struct Serving<S, F> {
        #[pin]
        step: Step<S, F>,
        active: Option<Active>,
        grpc: bool,
        idle: Duration,
    }
}

pin_project_lite::pin_project! {
    #[project = StepProj]
    enum Step<S, F> {
        Ready { service: S, request: Option<Request<Body>> },
        Called { #[pin] future: F },
    }
}

impl<S, B> Future for Serving<S, S::Future>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ServeBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answered = loop {
            match this.step.as_mut().project() {
                StepProj::Ready { service, request } => {
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        break Err(error);
                    }
                    // It is there until the step is over, which is now.
                    let Some(request) = request.take() else { return Poll::Pending };
                    let future = service.call(request);
                    this.step.set(Step::Called { future });
                }
                StepProj::Called { future } => break ready!(future.poll(cx)),
            }
        };
        let response = match answered {
            Ok(response) => response.map(RejectBody::inner),
            Err(error) => reject(&Error::wrap(error), *this.grpc),
        };
        let active = this.active.take();
        let idle = *this.idle;
        Poll::Ready(Ok(response.map(|body| ServeBody::new(body, active, idle))))
    }
}

pin_project_lite::pin_project! {
    /// A response's body on its way out: watched, and cut when it stands still.
    pub struct ServeBody<B> {
        #[pin]
        body: RejectBody<B>,
        sending: Option<Sending>,
        active: Option<Active>,
        stall: Stall,
    }
}

/// A body that has begun and is not over.
struct Sending(Arc<Watch>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.body_ends();
    }
}

impl<B: http_body::Body<Data = Bytes>> ServeBody<B> {
    fn new(body: RejectBody<B>, active: Option<Active>, idle: Duration) -> Self {
        // A body that is known whole needs no watch: hyper takes it in one go.
        let whole = body.is_end_stream();
        let watch = active.as_ref().filter(|_| !whole).map(|active| Arc::clone(&active.0));
        let sending = watch.map(|watch| {
            watch.body_begins();
            Sending(watch)
        });
        Self { body, sending, active, stall: Stall::new(idle) }
    }
}

impl<B> http_body::Body for ServeBody<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        match this.body.poll_frame(cx) {
            Poll::Ready(frame) => {
                this.stall.moved();
                match (&frame, &this.sending) {
                    (Some(Ok(_)), Some(sending)) => sending.0.body_moves(),
                    _ => {
                        *this.sending = None;
                        *this.active = None;
                    }
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(this.stall.poll_stalled(cx));
                *this.sending = None;
                *this.active = None;
                Poll::Ready(Some(Err(Error::new(ErrorKind::Timeout, "the response's body stood still for too long").into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
