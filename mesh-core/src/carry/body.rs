//! The body of a response: what it does while it is read is done for the request, too.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use super::{CURRENT, Carried};

pin_project_lite::pin_project! {
    /// The body of a [`CarryService`](super::CarryService)'s response.
    pub struct CarryBody<B> {
        #[pin]
        body: B,
        carried: Option<Carried>,
    }
}

impl<B> CarryBody<B> {
    pub(super) fn new(body: B, carried: Carried) -> Self {
        Self {
            body,
            carried: Some(carried),
        }
    }
}

impl<B: Default> Default for CarryBody<B> {
    fn default() -> Self {
        Self {
            body: B::default(),
            carried: None,
        }
    }
}

impl<B: Body> Body for CarryBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let (body, carried) = (this.body, this.carried);
        CURRENT.sync_scope(carried.clone(), || body.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
