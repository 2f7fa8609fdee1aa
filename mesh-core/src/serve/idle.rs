//! A request's body on its way in.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::{BoxError, Error, ErrorKind};
use crate::hop::strip_trailers;
use crate::stall::Stall;

/// A request's body as it comes in: cut when the client stops sending, and without trailers that do not belong
/// there.
pub(super) struct RequestBody {
    incoming: Incoming,
    stall: Stall,
    response_moves: Arc<AtomicBool>,
}

impl RequestBody {
    /// While the response moves the request may stand still: a subscriber says something once and listens.
    pub(super) fn new(incoming: Incoming, limit: Duration, response_moves: Arc<AtomicBool>) -> Self {
        Self {
            incoming,
            stall: Stall::new(limit),
            response_moves,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                let message = format!("the request's body could not be read whole: {error}");
                Poll::Ready(Some(Err(Error::new(ErrorKind::BadRequest, message)
                    .with_source(error)
                    .into())))
            }
            Poll::Ready(frame) => {
                this.stall.moved();
                Poll::Ready(frame.map(|frame| {
                    frame.map_err(Into::into).map(|mut frame| {
                        if let Some(trailers) = frame.trailers_mut() {
                            strip_trailers(trailers);
                        }
                        frame
                    })
                }))
            }
            Poll::Pending => {
                loop {
                    std::task::ready!(this.stall.poll_stalled(cx));
                    if !this.response_moves.swap(false, Ordering::Relaxed) {
                        break;
                    }
                    this.stall.moved();
                }
                let message = format!("the request's body stood still for {:?}", this.stall.limit());
                let error =
                    Error::new(ErrorKind::BadRequest, message).with_status(StatusCode::REQUEST_TIMEOUT);
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
