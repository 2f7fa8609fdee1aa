//! The task of a connection: reads, writes, and finds out whether the endpoint is still there.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Ping, PingPong};
use mesh_core::BoxError;
use mesh_core::cork::{Cork, Corked, Driven};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

use super::super::io::BoxedIo;
use super::session::Shared;

/// How often a connection is looked after. So long an endpoint has to answer a ping.
const TICK: Duration = Duration::from_secs(5);

/// For how many ticks nothing may be heard of an endpoint that owes an answer before it is asked whether it is there: 15 to 20
/// seconds. Reading notes no time, since a clock costs more than a flag.
const QUIET: u32 = 3;

/// A connection, driven by being awaited.
pub(super) struct Connection {
    h2: Driven<h2::client::Connection<Corked<Heard>, Bytes>, Heard>,
    keep_alive: Option<KeepAlive>,
    /// Resolves when nobody sends on it any more.
    let_go: Option<oneshot::Receiver<Infallible>>,
    shared: Arc<Shared>,
}

impl Connection {
    pub(super) fn new(
        mut h2: h2::client::Connection<Corked<Heard>, Bytes>,
        cork: Cork<Heard>,
        let_go: oneshot::Receiver<Infallible>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            keep_alive: h2.ping_pong().map(KeepAlive::new),
            h2: cork.drive(h2),
            let_go: Some(let_go),
            shared,
        }
    }

    /// How many streams the endpoint allows at once.
    pub(super) fn current_max_send_streams(&self) -> usize {
        self.h2.get_ref().max_concurrent_send_streams()
    }
}

impl Future for Connection {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(keep_alive) = &mut this.keep_alive
            && keep_alive.poll_gone(&this.shared, cx).is_ready()
        {
            return Poll::Ready(Err(
                format!("the endpoint did not answer a ping within {TICK:?}").into()
            ));
        }
        if let Some(let_go) = &mut this.let_go
            && Pin::new(let_go).poll(cx).is_ready()
        {
            // It ends below, or when its last stream does.
            this.let_go = None;
        }
        Pin::new(&mut this.h2).poll(cx).map_err(Into::into)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
    }
}

/// Asks an endpoint that is silent and owes an answer whether it is still there.
struct KeepAlive {
    ping: PingPong,
    asked: bool,
    silent: u32,
    tick: Pin<Box<Sleep>>,
}

impl KeepAlive {
    fn new(ping: PingPong) -> Self {
        Self {
            ping,
            asked: false,
            silent: 0,
            tick: Box::pin(sleep(TICK)),
        }
    }

    /// Ready when it is not.
    fn poll_gone(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<()> {
        if self.asked && self.ping.poll_pong(cx).is_ready() {
            self.asked = false;
        }
        loop {
            ready!(self.tick.as_mut().poll(cx));
            self.tick.as_mut().reset(Instant::now() + TICK);
            let heard = shared.heard.swap(false, Ordering::Relaxed);
            if self.asked && !heard {
                return Poll::Ready(());
            }
            let owes = shared.open.load(Ordering::Relaxed) > 0;
            self.silent = if heard || !owes { 0 } else { self.silent + 1 };
            // A ping fails if the connection does, which is told elsewhere.
            if self.silent >= QUIET && self.ping.send_ping(Ping::opaque()).is_ok() {
                self.asked = true;
                // So that its answer wakes this task.
                let _ = self.ping.poll_pong(cx);
            }
        }
    }
}

/// A byte stream that notes that something was read.
pub(super) struct Heard {
    io: BoxedIo,
    shared: Arc<Shared>,
}

impl Heard {
    pub(super) fn new(io: BoxedIo, shared: &Arc<Shared>) -> Self {
        let shared = Arc::clone(shared);
        Self { io, shared }
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.shared.heard.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
