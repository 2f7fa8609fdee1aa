//! A response's body on its way in.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};

use super::session::Open;

/// The body of a response. Dropped before its end, the stream is reset.
pub(super) struct Answer {
    stream: RecvStream,
    trailers: bool,
    /// How much is to come, if the head told.
    left: Option<u64>,
    _open: Open,
}

impl Answer {
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap, open: Open) -> Self {
        // h2 has checked that it is a number, and checks that it is true.
        let told = headers.get(CONTENT_LENGTH).and_then(|told| told.to_str().ok());
        Self {
            stream,
            trailers: false,
            left: told.and_then(|told| told.parse().ok()),
            _open: open,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = &mut *self;
        let is_whole = this.left.is_none_or(|left| left == 0);
        // An endpoint that has answered without having read all of the request may reset it so (RFC 9113 §8.1). A whole
        // connection that ends is no such answer, and neither is less than the head has told.
        let ended = |error: h2::Error| match error.reason() {
            Some(Reason::NO_ERROR) if error.is_reset() && is_whole => None,
            _ => Some(Err(error)),
        };
        if !this.trailers {
            match ready!(this.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // It fails for more than was received.
                    let _ = this.stream.flow_control().release_capacity(data.len());
                    this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(ended(error)),
                None => this.trailers = true,
            }
        }
        Poll::Ready(match ready!(this.stream.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => ended(error),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
