//! A byte stream that ends when its connection is told to: for what nobody drives who would look.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ConnectionControl, Order};

/// A byte stream that fails once its connection is told `order`: a tunnel, or a connection served by somebody who knows
/// no [`ConnectionControl`].
///
/// ```
/// use mesh_core::control::{ConnectionControl, Controlled, Order};
/// use tokio::io::{AsyncReadExt, duplex};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let control = ConnectionControl::new();
/// let (near, _far) = duplex(64);
/// let mut tunnel = Controlled::new(near, Some(control.clone()), Order::Leave);
/// let reading = tokio::spawn(async move { tunnel.read_u8().await });
/// control.tell(Order::Leave);
/// let error = reading.await.expect("it ran").expect_err("cut");
/// assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
/// # }
/// ```
#[derive(Debug)]
pub struct Controlled<Io> {
    io: Io,
    control: Option<ConnectionControl>,
    order: Order,
}

impl<Io> Controlled<Io> {
    /// The stream of the connection that this controls; without control it is the stream as it was.
    pub fn new(io: Io, control: Option<ConnectionControl>, order: Order) -> Self {
        Self { io, control, order }
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    fn check(&self) -> io::Result<()> {
        match &self.control {
            Some(control) if control.is_told(self.order) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the connection was told to end: its peer is not trusted any more",
            )),
            _ => Ok(()),
        }
    }

    /// Does something that may have to wait, but not longer than until the connection is told to end.
    fn cut<T>(
        &mut self,
        cx: &mut Context<'_>,
        register: fn(&ConnectionControl, &Context<'_>),
        poll: impl FnOnce(Pin<&mut Io>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        Io: Unpin,
    {
        self.check()?;
        let polled = poll(Pin::new(&mut self.io), cx);
        if polled.is_pending()
            && let Some(control) = &self.control
        {
            register(control, cx);
            // It may have been told in between.
            self.check()?;
        }
        polled
    }
}

fn reader(control: &ConnectionControl, cx: &Context<'_>) {
    control.wake(cx.waker());
}

fn writer(control: &ConnectionControl, cx: &Context<'_>) {
    control.wake_writer(cx.waker());
}

impl<Io: AsyncRead + Unpin> AsyncRead for Controlled<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.cut(cx, reader, |io, cx| io.poll_read(cx, buf))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Controlled<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.cut(cx, writer, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.cut(cx, writer, |io, cx| io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut(cx, writer, |io, cx| io.poll_flush(cx))
    }

    /// Saying goodbye is not forbidden, but not waited for either.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut(cx, writer, |io, cx| io.poll_shutdown(cx))
    }
}
