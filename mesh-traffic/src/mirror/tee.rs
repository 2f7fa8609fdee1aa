//! The body of a request that is copied.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::pipe::Writer;

pin_project_lite::pin_project! {
    /// The body of a request in front of a mirror: as it is, and never later for being copied.
    pub struct TeeBody<B> {
        #[pin]
        body: B,
        writer: Option<Writer>,
    }
}

impl<B> TeeBody<B> {
    /// One that nobody copies.
    pub fn plain(body: B) -> Self {
        Self { body, writer: None }
    }

    pub(super) fn telling(body: B, writer: Writer) -> Self {
        Self {
            body,
            writer: Some(writer),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for TeeBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        if let Some(writer) = this.writer {
            let is_last = match &frame {
                Some(Ok(frame)) => {
                    if let Some(copy) = copy(frame) {
                        writer.push(copy);
                    }
                    // Who reads may know that this was all, and not ask again.
                    this.body.is_end_stream()
                }
                None => true,
                Some(Err(_)) => false,
            };
            if is_last {
                writer.whole();
            }
            if is_last || !matches!(frame, Some(Ok(_))) {
                *this.writer = None;
            }
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

fn copy(frame: &Frame<Bytes>) -> Option<Frame<Bytes>> {
    let data = frame.data_ref().map(|data| Frame::data(data.clone()));
    data.or_else(|| Some(Frame::trailers(frame.trailers_ref()?.clone())))
}
