//! The body of a response, with the connection it comes from.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use mesh_core::BoxError;
use mesh_core::body::Body;
use mesh_core::control::{Order, Seen};
use mesh_core::stall::Stall;
use tokio::time::Instant;

use super::super::ahead;
use super::super::failure::{failure, stood_still};
use super::super::pool::{EndpointPool, Guards};
use super::{Http1, Line};

/// A response's body with the connection it comes from. At its end the connection goes back to the pool;
/// dropped before, the connection is closed, which tells the endpoint that nobody listens.
pub(super) struct Download {
    incoming: Incoming,
    first: Option<Result<Frame<Bytes>, hyper::Error>>,
    connection: Option<Box<Http1>>,
    pool: Arc<EndpointPool>,
    guards: Option<Guards>,
    stall: Stall,
}

impl Download {
    pub(super) fn new(
        incoming: Incoming,
        connection: Option<Box<Http1>>,
        pool: &Arc<EndpointPool>,
        guards: Guards,
    ) -> Self {
        Self {
            incoming,
            first: None,
            connection,
            pool: Arc::clone(pool),
            guards: Some(guards),
            stall: Stall::new(pool.settings().body_idle_timeout),
        }
    }

    /// The response has begun before the request's body was sent whole. A slow reader of the response must
    /// not hold the upload up, so the connection gets a task of its own, and is not used again.
    pub(super) fn let_upload_go_on(&mut self) {
        if let Some(connection) = self.connection.take() {
            let Http1 {
                send, line, _permit, ..
            } = *connection;
            let Line {
                mut connection,
                control,
                ..
            } = line;
            // Without its sender it takes no further request, so it ends when both bodies do.
            drop(send);
            tokio::spawn(async move {
                let _permit = _permit;
                let mut seen = Seen::default();
                let ended = poll_fn(|cx| {
                    let told = control.as_ref().and_then(|c| c.poll_told(&mut seen, cx));
                    match told {
                        Some(Order::Close) => Poll::Ready(Ok(())),
                        _ => Pin::new(&mut connection).poll(cx),
                    }
                });
                if let Err(error) = ended.await {
                    tracing::debug!(%error, "a connection to an endpoint ended while a body was on its way");
                }
            });
        }
    }

    /// The whole body, if it has arrived with the head, which was just now: the common case of a small answer needs no box.
    pub(super) fn take_at_once(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<Body> {
        if self.incoming.is_end_stream() {
            self.finish(now);
            return Some(Body::empty());
        }
        let frame = match self.poll_incoming(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(None) => {
                self.finish(now);
                return Some(Body::empty());
            }
            Poll::Ready(Some(Err(error))) => {
                self.first = Some(Err(error));
                return None;
            }
            Poll::Pending => return None,
        };
        if self.incoming.is_end_stream()
            && let Some(bytes) = frame.data_ref()
        {
            let whole = Body::full(bytes.clone());
            self.finish(now);
            return Some(whole);
        }
        self.first = Some(Ok(frame));
        None
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut incoming = Pin::new(&mut self.incoming);
        if let Some(Http1 { line, wakes, .. }) = self.connection.as_deref_mut() {
            let mut open = true;
            let polled = wakes.poll(cx, |cx| {
                if let Poll::Ready(frame) = incoming.as_mut().poll_frame(cx) {
                    return Poll::Ready(Some(frame));
                }
                open = line.poll_while_waiting(cx);
                match incoming.as_mut().poll_frame(cx) {
                    Poll::Ready(frame) => Poll::Ready(Some(frame)),
                    Poll::Pending if open => Poll::Pending,
                    Poll::Pending => Poll::Ready(None),
                }
            });
            if !open {
                // Nothing more can come: what has arrived is read, and then the end.
                self.connection = None;
            }
            if let Some(frame) = ready!(polled) {
                return Poll::Ready(frame);
            }
        }
        incoming.poll_frame(cx)
    }

    fn finish(&mut self, now: Instant) {
        if let Some(mut connection) = self.connection.take()
            && connection.settle()
        {
            self.pool.give_back(connection, now);
        }
        self.guards = None;
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let polled = match this.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => this.poll_incoming(cx),
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.stall.moved();
                if this.incoming.is_end_stream() {
                    this.finish(Instant::now());
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.connection = None;
                this.guards = None;
                Poll::Ready(Some(Err(failure(error).into())))
            }
            Poll::Ready(None) => {
                this.finish(Instant::now());
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(this.stall.poll_stalled(cx));
                this.connection = None;
                this.guards = None;
                Poll::Ready(Some(Err(stood_still(this.stall.limit()).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        ahead::size_hint(self.first.as_ref(), self.incoming.size_hint())
    }
}
