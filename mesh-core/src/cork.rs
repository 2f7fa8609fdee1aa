//! Small writes wait for one another, until whoever writes them has come to the end of what it has to say.
//!
//! HTTP/2 flushes after nearly every frame of data, though it often has more of them: the answers to eight streams are
//! eight TLS records and eight system calls then. What is corked is sent when the task that drives the connection has
//! nothing more to do for now; nothing waits longer than that.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much waits at most: what a TLS record holds. More is sent at once.
const RECORD: usize = 16 * 1024;

/// A byte stream whose writes and flushes wait for its [`Cork`].
#[derive(Debug)]
pub struct Corked<Io>(Arc<Mutex<Inner<Io>>>);

/// Sends what was written to a [`Corked`].
#[derive(Debug)]
pub struct Cork<Io>(Arc<Mutex<Inner<Io>>>);

#[derive(Debug)]
struct Inner<Io> {
    io: Io,
    held: Vec<u8>,
    /// How much of it is sent.
    sent: usize,
    /// Whether anything was written since the last flush.
    unflushed: bool,
    /// What went wrong while nobody wrote, to be told to who reads or writes next.
    broken: Option<io::Error>,
}

/// Corks a byte stream. What writes to it is [driven](Cork::drive) by the cork, which sends what was written.
///
/// ```
/// use mesh_core::cork::cork;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (near, mut far) = duplex(64);
/// let (mut io, cork) = cork(near);
/// tokio::spawn(cork.drive(async move {
///     io.write_all(b"one, ").await?;
///     io.flush().await?;
///     io.write_all(b"two").await?;
///     std::future::pending::<std::io::Result<()>>().await
/// }));
/// let mut read = [0; 64];
/// assert_eq!(far.read(&mut read).await?, 8);
/// # Ok(()) }
/// ```
pub fn cork<Io>(io: Io) -> (Corked<Io>, Cork<Io>) {
    let inner = Arc::new(Mutex::new(Inner {
        io,
        held: Vec::new(),
        sent: 0,
        unflushed: false,
        broken: None,
    }));
    (Corked(Arc::clone(&inner)), Cork(inner))
}

/// It is one task that uses both handles, so this never waits.
fn lock<Io>(inner: &Mutex<Inner<Io>>) -> MutexGuard<'_, Inner<Io>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<Io: AsyncWrite + Unpin> Cork<Io> {
    /// Drives what writes to the corked stream, and sends what it wrote.
    pub fn drive<C>(self, connection: C) -> Driven<C, Io> {
        let cork = self;
        Driven { connection, cork }
    }

    /// Sends what waits. Ready when all of it is with the system, or never will be.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = lock(&self.0);
        if let Err(error) = ready!(inner.poll_flush(cx)) {
            inner.broken = Some(error);
            // It is to find out at once, and not when somebody writes to it.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(())
    }
}

pin_project_lite::pin_project! {
    /// What [`Cork::drive`] gives: a connection, and its cork.
    pub struct Driven<C, Io> {
        #[pin]
        connection: C,
        cork: Cork<Io>,
    }
}

impl<C, Io> Driven<C, Io> {
    /// The connection.
    pub fn get_ref(&self) -> &C {
        &self.connection
    }

    /// The connection, to tell it something.
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut C> {
        self.project().connection
    }
}

impl<C: Future, Io: AsyncWrite + Unpin> Future for Driven<C, Io> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = self.project();
        let polled = this.connection.poll(cx);
        if polled.is_pending() {
            // If it has to wait, it is woken as what is driven would be.
            let _ = this.cork.poll_send(cx);
        }
        polled
    }
}

impl<Io: AsyncWrite + Unpin> Inner<Io> {
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.held.len() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.held[self.sent..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        self.sent = 0;
        // A connection at rest keeps no memory for it.
        self.held = Vec::new();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error));
        }
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.held.len() + total > RECORD {
            ready!(self.poll_held(cx))?;
        }
        self.unflushed = true;
        if total > RECORD {
            return Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        }
        if self.held.capacity() == 0 {
            self.held.reserve_exact(RECORD);
        }
        for piece in pieces {
            self.held.extend_from_slice(piece);
        }
        Poll::Ready(Ok(total))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Corked<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        match inner.broken.take() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut inner.io).poll_read(cx, buf),
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Corked<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_write(cx, bufs)
    }

    /// So that the pieces are copied once, here.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written goes on waiting.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        ready!(inner.poll_flush(cx))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    async fn sent(cork: &mut Cork<impl AsyncWrite + Unpin>) {
        poll_fn(|cx| cork.poll_send(cx)).await;
    }

    #[tokio::test]
    async fn what_was_written_comes_before_the_end() {
        let (near, mut far) = duplex(64);
        let (mut io, _cork) = cork(near);
        io.write_all(b"last words").await.expect("open");
        io.shutdown().await.expect("open");
        let mut read = String::new();
        far.read_to_string(&mut read).await.expect("text");
        assert_eq!(read, "last words");
    }

    #[tokio::test]
    async fn a_writer_waits_for_a_reader_once_a_record_is_full() {
        let (near, mut far) = duplex(1);
        let (mut io, mut cork) = cork(near);
        io.write_all(&[b'a'; RECORD]).await.expect("open");
        let more = poll_fn(|cx| Poll::Ready(Pin::new(&mut io).poll_write(cx, b"b"))).await;
        assert!(more.is_pending());
        let mut read = vec![0; RECORD];
        let (reading, ()) = tokio::join!(far.read_exact(&mut read), sent(&mut cork));
        assert_eq!(reading.expect("open"), RECORD);
        assert_eq!(io.write(b"b").await.expect("open"), 1);
    }

    /// Says nothing and hears nothing.
    struct Gone;

    impl AsyncRead for Gone {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Gone {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn who_waits_for_an_answer_is_told_that_what_it_said_could_not_be_sent() {
        let (mut io, cork) = cork(Gone);
        let ended = cork.drive(async move {
            io.write_all(b"to nobody").await?;
            io.read_u8().await.map(drop)
        });
        assert_eq!(ended.await.expect_err("gone").kind(), io::ErrorKind::BrokenPipe);
    }

    proptest! {
        #[test]
        fn bytes_arrive_in_order_whatever_is_written_and_whenever_it_is_sent(
            writes in prop::collection::vec((0..40_000_usize, 0..3_usize, any::<bool>()), 1..12),
            capacity in 1..50_000_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let (near, mut far) = duplex(capacity);
                let (mut io, mut cork) = cork(near);
                let expected: Vec<u8> = (0..).map(|n| n as u8).take(writes.iter().map(|write| write.0).sum()).collect();
                let mut rest = &expected[..];
                let writing = async {
                    for (len, split, sends) in writes {
                        let (mut now, later) = rest.split_at(len);
                        rest = later;
                        while !now.is_empty() {
                            let (first, second) = now.split_at(now.len() / (split + 1));
                            let pieces = [IoSlice::new(first), IoSlice::new(second)];
                            let written = poll_fn(|cx| Pin::new(&mut io).poll_write_vectored(cx, &pieces)).await;
                            now = &now[written.expect("open")..];
                        }
                        if sends {
                            sent(&mut cork).await;
                        }
                    }
                    io.shutdown().await.expect("open");
                };
                let mut read = Vec::new();
                let (_, whole) = tokio::join!(writing, far.read_to_end(&mut read));
                whole.expect("readable");
                assert!(read == expected, "{} of {} bytes", read.len(), expected.len());
            });
        }
    }
}
