//! Between hyper and the tower service: the context goes in, refusals and the watch come out.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tower_service::Service;

use super::idle::RequestBody;
use super::io::Watch;
use super::streams;
use crate::body::Body;
use crate::context::MeshContext;
use crate::error::{BoxError, Error, ErrorKind};
use crate::peer::PeerInfo;
use crate::reject::{RejectBody, is_grpc_call, reject};
use crate::stall::Stall;

/// The service of one connection, as hyper wants it.
pub(super) struct Connected<S> {
    pub(super) service: S,
    pub(super) peer: Arc<PeerInfo>,
    pub(super) watch: Arc<Watch>,
    pub(super) idle: Duration,
}

impl<S> Connected<S> {
    /// With its futures in boxes.
    pub(super) fn in_box(self) -> Connected<InBox<S>> {
        Connected {
            service: InBox(self.service),
            peer: self.peer,
            watch: self.watch,
            idle: self.idle,
        }
    }
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
        let mut response_moves = None;
        let mut request = request.map(|incoming| {
            if incoming.is_end_stream() {
                return Body::empty();
            }
            let moves = response_moves.insert(Arc::default());
            Body::boxed(Box::pin(RequestBody::new(incoming, self.idle, Arc::clone(moves))))
        });
        request.extensions_mut().insert(context);
        let connect = request.method() == Method::CONNECT;
        let grpc = is_grpc_call(request.method(), request.headers());
        let service = self.service.clone();
        let step = Step::Ready {
            service,
            request: Some(request),
        };
        Serving {
            step,
            active: Some(active),
            response_moves,
            grpc,
            connect,
            idle: self.idle,
        }
    }
}

/// The same service, each of its futures in a box. hyper moves the future of an HTTP/2 stream five times, into a task and
/// within it, and one of a proxy is many kilobytes long. Over HTTP/1.1 it lies where it is.
#[derive(Clone)]
pub(super) struct InBox<S>(pub(super) S);

impl<S> Service<Request<Body>> for InBox<S>
where
    S: Service<Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.call(request))
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
        response_moves: Option<Arc<AtomicBool>>,
        grpc: bool,
        connect: bool,
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
                    let Some(request) = request.take() else {
                        return Poll::Pending;
                    };
                    let future = service.call(request);
                    this.step.set(Step::Called { future });
                }
                StepProj::Called { future } => break ready!(future.poll(cx)),
            }
        };
        let mut response = match answered {
            Ok(response) => response.map(RejectBody::inner),
            Err(error) => reject(&Error::wrap(error), *this.grpc),
        };
        let active = this.active.take();
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS
            || (*this.connect && response.status().is_success());
        if let Some(Active(watch)) = &active
            && !watch.is_http2()
        {
            if upgraded {
                watch.tunnel.open();
            } else if watch.is_last() {
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        let (response_moves, stall) = (this.response_moves.take(), Stall::new(*this.idle));
        Poll::Ready(Ok(response.map(|body| ServeBody {
            body,
            active,
            response_moves,
            stall,
        })))
    }
}

pin_project_lite::pin_project! {
    /// A response's body on its way out: watched, and cut when it stands still.
    pub struct ServeBody<B> {
        #[pin]
        body: RejectBody<B>,
        active: Option<Active>,
        response_moves: Option<Arc<AtomicBool>>,
        stall: Stall,
    }
}

impl<B> http_body::Body for ServeBody<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        match this.body.poll_frame(cx) {
            Poll::Ready(frame) => {
                this.stall.moved();
                if matches!(frame, Some(Ok(_))) {
                    streams::body_moves();
                    if let Some(moves) = this.response_moves {
                        moves.store(true, Ordering::Relaxed);
                    }
                } else {
                    *this.active = None;
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(this.stall.poll_stalled(cx));
                *this.active = None;
                Poll::Ready(Some(Err(Error::new(
                    ErrorKind::Timeout,
                    "the response's body stood still for too long",
                )
                .into())))
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
