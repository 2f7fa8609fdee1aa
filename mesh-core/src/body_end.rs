//! Knows when a body is over: the moment in-flight counts, durations and outcomes are taken.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::outcome::GrpcCode;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Whole. For gRPC with the status its trailers told.
    Complete(Option<GrpcCode>),
    /// With an error.
    Failed,
    /// Nobody read on: the other side went away, or the rest was not wanted.
    Dropped,
}

/// What is to happen when a body is over.
pub trait OnEnd {
    /// So many bytes of it went by.
    fn on_data(&mut self, bytes: usize) {
        let _ = bytes;
    }

    /// Called once, at this time.
    fn on_end(self, end: End, at: Instant);
}

impl<F: FnOnce(End)> OnEnd for F {
    fn on_end(self, end: End, _at: Instant) {
        self(end);
    }
}

/// Two that are told of the same body, one after the other: one body around it for both, and one look at the clock.
#[derive(Debug, Default)]
pub struct Both<A, B>(pub A, pub B);

impl<A: OnEnd, B: OnEnd> OnEnd for Both<A, B> {
    fn on_data(&mut self, bytes: usize) {
        self.0.on_data(bytes);
        self.1.on_data(bytes);
    }

    fn on_end(self, end: End, at: Instant) {
        self.0.on_end(end, at);
        self.1.on_end(end, at);
    }
}

pin_project_lite::pin_project! {
    /// A body that tells when it is over: at its end, at its error, or when it is dropped; once.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use mesh_core::body::Body;
    /// use mesh_core::body_end::{End, EndBody};
    ///
    /// let (tell, told) = mpsc::channel();
    /// let body = EndBody::new(Body::full("never read"), move |end| tell.send(end).expect("open"));
    /// drop(body);
    /// assert_eq!(told.recv(), Ok(End::Dropped));
    /// ```
    pub struct EndBody<B, F: OnEnd> {
        #[pin]
        body: B,
        on_end: Option<F>,
        grpc: Option<GrpcCode>,
    }

    impl<B, F: OnEnd> PinnedDrop for EndBody<B, F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(on_end) = this.project().on_end.take() {
                on_end.on_end(End::Dropped, Instant::now());
            }
        }
    }
}

impl<B: Body, F: OnEnd> EndBody<B, F> {
    /// Wraps a body. One that is at its end already tells so at once.
    pub fn new(body: B, on_end: F) -> Self {
        let on_end = match body.is_end_stream() {
            true => {
                on_end.on_end(End::Complete(None), Instant::now());
                None
            }
            false => Some(on_end),
        };
        Self {
            body,
            on_end,
            grpc: None,
        }
    }
}

impl<B: Body, F: OnEnd> Body for EndBody<B, F> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = std::task::ready!(this.body.as_mut().poll_frame(cx));
        let end = match &frame {
            None => Some(End::Complete(*this.grpc)),
            Some(Err(_)) => Some(End::Failed),
            Some(Ok(frame)) => {
                if let (Some(data), Some(on_end)) = (frame.data_ref(), this.on_end.as_mut()) {
                    on_end.on_data(data.remaining());
                }
                if let Some(trailers) = frame.trailers_ref() {
                    *this.grpc = GrpcCode::in_fields(trailers);
                }
                this.body.is_end_stream().then_some(End::Complete(*this.grpc))
            }
        };
        if let (Some(end), Some(on_end)) = (end, if end.is_some() { this.on_end.take() } else { None }) {
            on_end.on_end(end, Instant::now());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
