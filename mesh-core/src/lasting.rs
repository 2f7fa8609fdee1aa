//! A body that lasts as long as it is allowed.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::{BoxError, Error};

/// What was allowed once, and may not be any more.
pub trait Allowed {
    /// Asks again. It is called for every frame and should look first whether anything has changed.
    ///
    /// # Errors
    /// It is not allowed any more.
    fn ask_again(&mut self) -> Result<(), Error>;
}

pin_project_lite::pin_project! {
    /// A body that breaks off, at its next frame, when it is not allowed any more.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use http_body_util::BodyExt;
    /// use mesh_core::body::Body;
    /// use mesh_core::lasting::{Allowed, LastingBody};
    /// use mesh_core::{Error, ErrorKind};
    ///
    /// struct Never;
    /// impl Allowed for Never {
    ///     fn ask_again(&mut self) -> Result<(), Error> {
    ///         Err(Error::new(ErrorKind::Unauthorized, "the policy changed"))
    ///     }
    /// }
    ///
    /// let body = LastingBody::new(Body::full("secret"), Some(Box::new(Never)));
    /// assert!(body.collect().await.is_err());
    /// # }
    /// ```
    pub struct LastingBody<B, A> {
        #[pin]
        inner: B,
        allowed: Option<Box<A>>,
        broken: bool,
    }
}

impl<B, A> LastingBody<B, A> {
    /// This body, asked about; if nobody is to be asked, as it is.
    pub fn new(inner: B, allowed: Option<Box<A>>) -> Self {
        Self {
            inner,
            allowed,
            broken: false,
        }
    }
}

impl<B: Default, A> Default for LastingBody<B, A> {
    fn default() -> Self {
        Self::new(B::default(), None)
    }
}

impl<B, A> Body for LastingBody<B, A>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
    A: Allowed,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.broken {
            return Poll::Ready(None);
        }
        if let Some(Err(error)) = this.allowed.as_deref_mut().map(Allowed::ask_again) {
            *this.broken = true;
            return Poll::Ready(Some(Err(error.into())));
        }
        this.inner.poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.broken || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
