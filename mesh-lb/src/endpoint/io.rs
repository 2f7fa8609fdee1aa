//! Connections without the connector's type: so that pools and balancers carry no type parameter.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mesh_core::Endpoint;
use mesh_core::connect::{Connect, Connected, HttpProtocol};
use mesh_core::gather::poll_write_gathered;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// A byte stream of any kind.
pub(crate) struct BoxedIo(Pin<Box<dyn Stream>>);

impl AsyncRead for BoxedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for BoxedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write_gathered(self.0.as_mut(), cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

impl BoxedIo {
    /// Holds a value until the byte stream is dropped, wherever it goes.
    pub(crate) fn holding(self, held: impl Send + Unpin + 'static) -> Self {
        Self(Box::pin(Holding {
            io: self,
            _held: held,
        }))
    }
}

struct Holding<T> {
    io: BoxedIo,
    _held: T,
}

impl<T: Unpin> AsyncRead for Holding<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: Unpin> AsyncWrite for Holding<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

type ConnectFuture<'a> =
    Pin<Box<dyn Future<Output = io::Result<(BoxedIo, Option<HttpProtocol>)>> + Send + 'a>>;

/// A connector of any kind.
pub(crate) trait ErasedConnect: Send + Sync {
    fn connect<'a>(&'a self, endpoint: &'a Endpoint) -> ConnectFuture<'a>;
}

struct Erased<C>(C);

impl<C: Connect> ErasedConnect for Erased<C> {
    fn connect<'a>(&'a self, endpoint: &'a Endpoint) -> ConnectFuture<'a> {
        Box::pin(async move {
            let Connected { io, protocol, .. } = self.0.connect(endpoint).await?;
            Ok((BoxedIo(Box::pin(io)), protocol))
        })
    }
}

impl dyn ErasedConnect {
    /// Forgets the connector's type.
    pub(crate) fn new(connect: impl Connect) -> Arc<Self> {
        Arc::new(Erased(connect))
    }
}
