//! Connections without the connector's type: so that pools and balancers carry no type parameter.

use std::any::Any;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mesh_core::Endpoint;
use mesh_core::connect::{Connect, Connected};
use mesh_core::gather::poll_write_gathered;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// A byte stream of any kind.
pub(crate) struct BoxedIo {
    io: Pin<Box<dyn Stream>>,
    gathers: bool,
    _held: Option<Box<dyn Any + Send + Sync>>,
}

impl AsyncRead for BoxedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for BoxedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io.as_mut().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.gathers {
            true => poll_write_gathered(self.io.as_mut(), cx, bufs),
            false => self.io.as_mut().poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_shutdown(cx)
    }
}

impl BoxedIo {
    /// `encrypted`: several pieces are given on as they are, since TLS copies them into one record anyway.
    fn new(io: impl AsyncRead + AsyncWrite + Send + 'static, encrypted: bool) -> Self {
        Self {
            io: Box::pin(io),
            gathers: !encrypted,
            _held: None,
        }
    }

    /// Holds a value until the byte stream is dropped, wherever it goes.
    pub(crate) fn holding(self, held: impl Send + Sync + Unpin + 'static) -> Self {
        Self {
            _held: Some(Box::new(held)),
            ..self
        }
    }
}

type ConnectFuture<'a> = Pin<Box<dyn Future<Output = io::Result<Connected<BoxedIo>>> + Send + 'a>>;

/// A connector of any kind.
pub(crate) trait ErasedConnect: Send + Sync {
    fn connect<'a>(&'a self, endpoint: &'a Endpoint) -> ConnectFuture<'a>;
}

struct Erased<C>(C);

impl<C: Connect> ErasedConnect for Erased<C> {
    fn connect<'a>(&'a self, endpoint: &'a Endpoint) -> ConnectFuture<'a> {
        Box::pin(async move {
            let connected = self.0.connect(endpoint).await?;
            let encrypted = connected.peer.as_ref().is_some_and(|peer| peer.tls);
            Ok(connected.map(|io| BoxedIo::new(io, encrypted)))
        })
    }
}

impl dyn ErasedConnect {
    /// Forgets the connector's type.
    pub(crate) fn new(connect: impl Connect) -> Arc<Self> {
        Arc::new(Erased(connect))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;

    use super::*;

    /// Takes everything, and notes how many bytes came with each write.
    struct Noting {
        vectored: bool,
        writes: Arc<Mutex<Vec<usize>>>,
    }

    impl AsyncRead for Noting {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Noting {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.writes.lock().expect("free").push(buf.len());
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let n = bufs.iter().map(|buf| buf.len()).sum::<usize>();
            self.poll_write(cx, &vec![0; n])
        }

        fn is_write_vectored(&self) -> bool {
            self.vectored
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn noting(vectored: bool) -> (BoxedIo, Arc<Mutex<Vec<usize>>>) {
        let writes = Arc::<Mutex<Vec<usize>>>::default();
        let io = Noting {
            vectored,
            writes: Arc::clone(&writes),
        };
        (BoxedIo::new(io, false), writes)
    }

    #[tokio::test]
    async fn a_head_and_its_body_are_one_write_however_often_the_stream_is_wrapped() {
        for (body, total) in [(100, 200), (100_000, 100_100)] {
            for held in [false, true] {
                let (io, writes) = noting(true);
                let mut io = if held { io.holding("a permit") } else { io };
                let (head, body) = (vec![b'h'; 100], vec![b'b'; body]);
                let pieces = [io::IoSlice::new(&head), io::IoSlice::new(&body)];
                let written = poll_fn(|cx| Pin::new(&mut io).poll_write_vectored(cx, &pieces)).await;
                assert_eq!(written.expect("open"), total);
                assert_eq!(*writes.lock().expect("free"), [total], "held: {held}");
            }
        }
    }

    #[test]
    fn whether_a_stream_takes_pieces_is_its_own_to_say() {
        for vectored in [true, false] {
            let (io, _) = noting(vectored);
            assert_eq!(io.is_write_vectored(), vectored);
            assert_eq!(io.holding(()).is_write_vectored(), vectored);
        }
    }
}
