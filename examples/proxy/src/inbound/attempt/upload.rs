//! Who is waited for while a request is on its way: the client that sends its body, or the service that takes it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use mesh_core::BoxError;
use mesh_core::body::Body;

/// Tells whether the body of a request was asked for and has not come yet.
pub(super) struct Upload(Arc<AtomicBool>);

impl Upload {
    /// The same body, and who tells of it; nobody if there is none.
    pub(super) fn of(body: Body) -> (Body, Option<Self>) {
        if body.is_end_stream() {
            return (body, None);
        }
        let waits = Arc::new(AtomicBool::new(false));
        let told = Told {
            body,
            waits: Arc::clone(&waits),
        };
        (Body::new(told), Some(Self(waits)))
    }

    pub(super) fn waits_for_client(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Told {
    body: Body,
    waits: Arc<AtomicBool>,
}

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // Relaxed: whoever asks has been told by other means that it is over.
        self.waits.store(frame.is_pending(), Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
