//! The connection's byte stream, watched: when a head begins, and when the client stops reading.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What the timers of one connection go by. Times are nanoseconds since it began, and 0 is "not now".
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    http2: bool,
    /// Requests from the head until the response's body is over.
    active: AtomicU32,
    /// Response bodies that have begun and are not over.
    sending: AtomicU32,
    /// Whether a body moved since the last look.
    moved: AtomicBool,
    head_began: AtomicU64,
    went_idle: AtomicU64,
    write_stalled: AtomicU64,
}

/// In place of a time that was not read yet.
const JUST_NOW: u64 = u64::MAX;

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
            sending: AtomicU32::new(0),
            moved: AtomicBool::new(false),
            head_began: AtomicU64::new(if head_has_begun { JUST_NOW } else { 0 }),
            went_idle: AtomicU64::new(1),
            write_stalled: AtomicU64::new(0),
        };
        Arc::new(watch)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    fn at(&self, nanos: u64) -> Instant {
        self.began + Duration::from_nanos(nanos)
    }

    /// A head is complete and its request begins. Gives the time, read once for the whole request.
    pub(super) fn request_begins(&self) -> Instant {
        self.head_began.store(0, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        Instant::now()
    }

    pub(super) fn request_ends(&self) {
        if self.active.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.went_idle.store(self.now(), Ordering::Relaxed);
        }
    }

    pub(super) fn body_begins(&self) {
        self.sending.fetch_add(1, Ordering::Relaxed);
        self.body_moves();
    }

    pub(super) fn body_moves(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    pub(super) fn body_ends(&self) {
        self.sending.fetch_sub(1, Ordering::Relaxed);
        self.body_moves();
    }

    /// Whether bodies are being sent and none has moved since this was asked last: on HTTP/2 a client can
    /// stop a stream without stopping the connection.
    pub(super) fn stands_still(&self) -> bool {
        !self.moved.swap(false, Ordering::Relaxed) && self.sending.load(Ordering::Relaxed) > 0
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
            JUST_NOW => {
                let now = self.now();
                self.head_began.store(now, Ordering::Relaxed);
                Waiting::Head(self.at(now))
            }
            began => Waiting::Head(self.at(began)),
        }
    }

    fn read_some(&self) {
        if !self.http2
            && self.active.load(Ordering::Relaxed) == 0
            && self.head_began.load(Ordering::Relaxed) == 0
        {
            // Most heads are complete at once, and then no clock need be read.
            self.head_began.store(JUST_NOW, Ordering::Relaxed);
        }
    }

    fn written(&self, pending: bool) {
        let stalled = self.write_stalled.load(Ordering::Relaxed) != 0;
        if pending != stalled {
            self.write_stalled.store(if pending { self.now() } else { 0 }, Ordering::Relaxed);
        }
    }
}

/// A byte stream that gives back what was read ahead and tells its [`Watch`] what happens.
#[derive(Debug)]
pub(super) struct WatchedIo<Io> {
    io: Io,
    ahead: Bytes,
    watch: Arc<Watch>,
}

impl<Io> WatchedIo<Io> {
    pub(super) fn new(io: Io, ahead: Bytes, watch: Arc<Watch>) -> Self {
        Self { io, ahead, watch }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for WatchedIo<Io> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let n = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..n]);
            self.ahead.advance(n);
            return Poll::Ready(Ok(()));
        }
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
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch.written(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch.written(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        if polled.is_pending() {
            self.watch.written(true);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
