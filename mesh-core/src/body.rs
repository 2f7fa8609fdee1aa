//! The one body of the mesh: no type parameter, no box unless the source needs one.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::BoxError;

/// A request's or response's body.
///
/// ```
/// use http_body::Body as _;
/// use mesh_core::body::Body;
///
/// assert!(Body::empty().is_end_stream());
/// assert_eq!(Body::full("hello").size_hint().exact(), Some(5));
/// ```
pub struct Body(Kind);

enum Kind {
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A body that is known whole.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Kind::Full(bytes))
        }
    }

    /// Any other body. A `Body` or hyper's `Incoming` is taken as it is, without a box.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut slot = Some(body);
        if let Some(body) = take_as::<B, Self>(&mut slot) {
            return body;
        }
        if let Some(incoming) = take_as::<B, Incoming>(&mut slot) {
            return incoming.into();
        }
        slot.map_or_else(Self::empty, |body| {
            Self(Kind::Boxed(Box::pin(ErrorIntoBox { body })))
        })
    }

    /// A body that is boxed already.
    pub fn boxed(body: Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>) -> Self {
        Self(Kind::Boxed(body))
    }
}

/// Takes the value out if it is a `B`.
fn take_as<A: 'static, B: 'static>(slot: &mut Option<A>) -> Option<B> {
    (slot as &mut dyn std::any::Any)
        .downcast_mut::<Option<B>>()
        .and_then(Option::take)
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        if http_body::Body::is_end_stream(&incoming) {
            Self::empty()
        } else {
            Self(Kind::Incoming(incoming))
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Empty => "Body(empty)",
            Kind::Full(_) => "Body(full)",
            Kind::Incoming(_) => "Body(incoming)",
            Kind::Boxed(_) => "Body(boxed)",
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Incoming(incoming) => Pin::new(incoming).poll_frame(cx).map_err(Into::into),
            Kind::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(incoming) => incoming.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(incoming) => incoming.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

pin_project_lite::pin_project! {
    struct ErrorIntoBox<B> {
        #[pin]
        body: B,
    }
}

impl<B> http_body::Body for ErrorIntoBox<B>
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
        self.project().body.poll_frame(cx).map_err(Into::into)
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
