//! The tasks of HTTP/2 streams, each cut when the client lets its response stand still.
//!
//! A client can stop one stream by not opening its window while the connection moves on. hyper then waits for
//! the window and does not ask the body, so the body's own timer does not see it.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

thread_local! {
    // hyper makes a stream's future of the service's and gives no handle to it: what the body did during a poll
    // is told through the thread that polls.
    static MOVED: Cell<bool> = const { Cell::new(false) };
}

/// A frame of a response's body was handed to hyper.
pub(super) fn body_moves() {
    MOVED.set(true);
}

/// Runs the streams of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    pub(super) idle: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Watched {
            stream,
            idle: self.idle,
            sending: false,
            moved: false,
            timer: None,
        });
    }
}

pin_project_lite::pin_project! {
    struct Watched<F> {
        #[pin]
        stream: F,
        idle: Duration,
        sending: bool,
        moved: bool,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        MOVED.set(false);
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if MOVED.get() {
            *this.sending = true;
            *this.moved = true;
        }
        if !*this.sending {
            return Poll::Pending;
        }
        let timer = this.timer.get_or_insert_with(|| {
            *this.moved = false;
            Box::pin(sleep(*this.idle))
        });
        loop {
            ready!(timer.as_mut().poll(cx));
            if !std::mem::take(this.moved) {
                tracing::debug!(limit = ?this.idle, "an HTTP/2 stream was reset: the client did not read it");
                // Dropped before its end, the stream is reset.
                return Poll::Ready(());
            }
            timer.as_mut().reset(Instant::now() + *this.idle);
        }
    }
}
