//! A body that may be compressed.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use mesh_core::BoxError;
use tower_http::compression::CompressionBody;

pin_project_lite::pin_project! {
    /// The body of a response that met a [`CompressionRule`](super::CompressionRule): as it was, or compressed while it
    /// is read. Trailers come after it either way.
    pub struct CompressedBody<B: Body> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<B: Body> {
        Plain { #[pin] body: B },
        // Boxed, since an encoder is large and most bodies have none.
        Compressed { body: Pin<Box<CompressionBody<B>>> },
    }
}

impl<B: Body> CompressedBody<B> {
    pub(super) fn plain(body: B) -> Self {
        Self {
            kind: Kind::Plain { body },
        }
    }

    pub(super) fn compressed(body: CompressionBody<B>) -> Self {
        Self {
            kind: Kind::Compressed { body: Box::pin(body) },
        }
    }
}

impl<B> Body for CompressedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Plain { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Compressed { body } => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Compressed { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Compressed { body } => body.size_hint(),
        }
    }
}
