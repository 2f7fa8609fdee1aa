//! The connection's byte stream, watched: when a head begins, when the client stops reading, and how long the
//! stream lives on as a tunnel.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::gather::poll_write_gathered;

use super::tunnel::Tunnel;

/// A write on HTTP/2 above this size carries more than acknowledgements and pings.
const CONTROL_FRAMES: usize = 64;

/// What the timers of one connection go by. Times are nanoseconds since it began, and 0 is "not now".
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    http2: bool,
    /// Requests from the head until the response's body is over.
    active: AtomicU32,
    head_began: AtomicU64,
    /// Whether all there is of the head was read at once, since the connection was polled last.
    head_is_new: AtomicBool,
    went_idle: AtomicU64,
    write_stalled: AtomicU64,
    /// Whether the next response is the last.
    last: AtomicBool,
    pub(super) tunnel: Tunnel,
}

/// What a connection is waiting for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The rest of a head, since then.
    Head(Instant),
    /// A request, since then.
    Request(Instant),
    /// The client, to read what is written to it, since then.
    Reader(Instant),
    /// The service, or a body whose own timer runs.
    Service,
}

impl Watch {
    pub(super) fn new(http2: bool, head_has_begun: bool) -> Arc<Self> {
        let watch = Self {
            began: Instant::now(),
            http2,
            active: AtomicU32::new(0),
            head_began: AtomicU64::new(u64::from(head_has_begun && !http2)),
            head_is_new: AtomicBool::new(false),
            went_idle: AtomicU64::new(1),
            write_stalled: AtomicU64::new(0),
            last: AtomicBool::new(false),
            tunnel: Tunnel::default(),
        };
        Arc::new(watch)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    fn at(&self, nanos: u64) -> Instant {
        self.began + Duration::from_nanos(nanos)
    }

    pub(super) fn is_http2(&self) -> bool {
        self.http2
    }

    /// A head is complete and its request begins. Gives the time, read once for the whole request.
    pub(super) fn request_begins(&self) -> Instant {
        // All of this is done by the connection's one task: loads and stores, which cost less than swaps.
        let began = self.head_began.load(Ordering::Relaxed);
        let is_new = self.head_is_new.load(Ordering::Relaxed);
        self.head_began.store(0, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        match began {
            1.. if is_new => self.at(began),
            _ => Instant::now(),
        }
    }

    /// The connection is about to be polled. What it has read before waited for something else: for the rest of a head, or
    /// for a client that does not read the answer before.
    pub(super) fn polled_anew(&self) {
        self.head_is_new.store(false, Ordering::Relaxed);
    }

    pub(super) fn request_ends(&self) {
        if self.active.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.is_idle_from_now();
        }
    }

    fn is_idle_from_now(&self) {
        self.went_idle.store(self.now(), Ordering::Relaxed);
    }

    /// The next response is to say that it is the last.
    pub(super) fn next_is_last(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// Whether the first bytes of a head came and the rest did not.
    pub(super) fn is_amid_head(&self) -> bool {
        self.head_began.load(Ordering::Relaxed) != 0
    }

    pub(super) fn waiting(&self) -> Waiting {
        let stalled = self.write_stalled.load(Ordering::Relaxed);
        if stalled != 0 {
            return Waiting::Reader(self.at(stalled));
        }
        if self.active.load(Ordering::Relaxed) > 0 {
            return Waiting::Service;
        }
        match self.head_began.load(Ordering::Relaxed) {
            0 => Waiting::Request(self.at(self.went_idle.load(Ordering::Relaxed))),
            began => Waiting::Head(self.at(began)),
        }
    }

    fn read_some(&self) {
        if self.http2 || self.active.load(Ordering::Relaxed) > 0 {
            return;
        }
        let begins = self.head_began.load(Ordering::Relaxed) == 0;
        self.head_is_new.store(begins, Ordering::Relaxed);
        if begins {
            self.head_began.store(self.now(), Ordering::Relaxed);
        }
    }

    /// `written` is nothing for a write that has to wait.
    fn wrote(&self, written: Option<usize>) {
        let stalled = self.write_stalled.load(Ordering::Relaxed) != 0;
        let Some(written) = written else {
            if !stalled {
                self.write_stalled.store(self.now(), Ordering::Relaxed);
            }
            return;
        };
        if stalled {
            self.write_stalled.store(0, Ordering::Relaxed);
        }
        // The end of a response may be written long after its body was handed over: by a slow client's
        // socket, or on HTTP/2 by its windows. The connection is idle from then on only.
        let late = stalled || (self.http2 && written > CONTROL_FRAMES);
        if late && self.active.load(Ordering::Relaxed) == 0 {
            self.is_idle_from_now();
        }
    }
}

/// A byte stream that gives back what was read ahead and tells its [`Watch`] what happens.
#[derive(Debug)]
pub(super) struct WatchedIo<Io> {
    io: Io,
    ahead: Bytes,
    watch: Arc<Watch>,
    gathers: bool,
}

impl<Io> WatchedIo<Io> {
    /// `encrypted`: several pieces are given on as they are, since TLS copies them into one record anyway.
    pub(super) fn new(io: Io, ahead: Bytes, watch: Arc<Watch>, encrypted: bool) -> Self {
        Self {
            io,
            ahead,
            watch,
            gathers: !encrypted,
        }
    }
}

impl<Io> Drop for WatchedIo<Io> {
    fn drop(&mut self) {
        self.watch.tunnel.is_gone();
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for WatchedIo<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let n = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..n]);
            self.ahead.advance(n);
            if self.ahead.is_empty() {
                self.ahead = Bytes::new(); // gives its memory back
            }
            return Poll::Ready(Ok(()));
        }
        self.watch.tunnel.check_read(cx)?;
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.read_some();
        }
        polled
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for WatchedIo<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.watch.tunnel.check_write(cx)?;
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch.wrote(written(&polled));
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watch.tunnel.check_write(cx)?;
        let gathers = self.gathers;
        let io = Pin::new(&mut self.io);
        let polled = match gathers {
            true => poll_write_gathered(io, cx, bufs),
            false => io.poll_write_vectored(cx, bufs),
        };
        self.watch.wrote(written(&polled));
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        // A TLS stream takes what it cannot send yet; it is the flush that waits for the client.
        self.watch.wrote(if polled.is_pending() { None } else { Some(0) });
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn written(polled: &Poll<io::Result<usize>>) -> Option<usize> {
    match polled {
        Poll::Ready(written) => Some(written.as_ref().map_or(0, |n| *n)),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(3);

    #[tokio::test(start_paused = true)]
    async fn a_head_in_one_piece_was_complete_when_that_was_read() {
        let watch = Watch::new(false, false);
        for _ in 0..2 {
            advance(MOMENT).await;
            watch.read_some();
            let read = Instant::now();
            advance(MOMENT).await;
            assert_eq!(watch.request_begins(), read);
            watch.request_ends();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_in_pieces_and_one_that_was_there_are_complete_when_they_are_looked_at() {
        let watch = Watch::new(false, false);
        for polls in [1, 2] {
            watch.read_some();
            advance(MOMENT).await;
            if polls == 2 {
                watch.polled_anew();
            }
            watch.read_some();
            advance(MOMENT).await;
            assert_eq!(watch.request_begins(), Instant::now());
            watch.request_ends();
        }
        watch.read_some();
        advance(MOMENT).await;
        watch.polled_anew();
        assert_eq!(watch.request_begins(), Instant::now(), "it waited for something");
        // What is read meanwhile is no head, or the one of a request that waits for its turn.
        watch.read_some();
        watch.request_ends();
        advance(MOMENT).await;
        assert_eq!(watch.request_begins(), Instant::now());
        watch.request_ends();
        watch.read_some();
        let read = Instant::now();
        advance(MOMENT).await;
        assert_eq!(watch.request_begins(), read, "what was before is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_http2_begins_when_it_is_looked_at() {
        let watch = Watch::new(true, false);
        watch.read_some();
        advance(MOMENT).await;
        assert_eq!(watch.request_begins(), Instant::now());
    }
}
