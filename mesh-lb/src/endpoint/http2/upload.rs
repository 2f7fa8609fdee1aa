//! A request's body on its way out, as the stream's windows allow.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;
use mesh_core::Error;
use mesh_core::body::Body;

/// Sends a body. It is over when all of it is with the connection, or when the endpoint wants no more of it; it fails
/// with the body. Dropped before, the stream is reset.
pub(super) struct Upload {
    body: Body,
    stream: SendStream<Bytes>,
    /// What was taken from the body and waits for the windows; and whether it is the last.
    held: Option<(Bytes, bool)>,
}

impl Upload {
    pub(super) fn new(body: Body, stream: SendStream<Bytes>) -> Self {
        Self {
            body,
            stream,
            held: None,
        }
    }

    /// Takes the next piece of the body. Nothing more is to be sent if there is none.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<()>, Step>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.stream.send_reset(Reason::INTERNAL_ERROR);
                return Poll::Ready(Err(Step::Failed(Error::wrap(error))));
            }
            None => {
                self.stream.send_data(Bytes::new(), true)?;
                return Poll::Ready(Ok(None));
            }
        };
        match frame.into_data() {
            Ok(data) => self.held = Some((data, self.body.is_end_stream())),
            Err(other) => {
                if let Ok(trailers) = other.into_trailers() {
                    self.stream.reserve_capacity(0);
                    self.stream.send_trailers(trailers)?;
                    return Poll::Ready(Ok(None));
                }
            }
        }
        Poll::Ready(Ok(Some(())))
    }

    /// Sends the piece that is held, once there is room for any of it: h2 keeps the rest. Tells whether it was the last.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Step>> {
        let Some((data, last)) = self.held.take() else {
            return Poll::Ready(Ok(false));
        };
        if !data.is_empty() {
            // No more than is needed to be told: what is reserved and not used is taken from other streams.
            self.stream.reserve_capacity(1);
            while self.stream.capacity() == 0 {
                match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Step::Unwanted)),
                    Poll::Pending => {
                        self.held = Some((data, last));
                        return Poll::Pending;
                    }
                }
            }
        }
        self.stream.send_data(data, last)?;
        Poll::Ready(Ok(last))
    }
}

/// Why no more is sent.
enum Step {
    /// The stream is reset, or its connection gone: whoever waits for the answer learns why.
    Unwanted,
    Failed(Error),
}

impl From<h2::Error> for Step {
    fn from(_: h2::Error) -> Self {
        Self::Unwanted
    }
}

impl Future for Upload {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            // Asked so that this is woken when the endpoint resets the stream.
            if this.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let step = match ready!(this.poll_send(cx)) {
                Ok(true) => Ok(None),
                Ok(false) => ready!(this.poll_body(cx)),
                Err(step) => Err(step),
            };
            match step {
                Ok(Some(())) => {}
                Ok(None) | Err(Step::Unwanted) => return Poll::Ready(Ok(())),
                Err(Step::Failed(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}
