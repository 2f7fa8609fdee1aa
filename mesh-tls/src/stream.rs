//! The byte stream of a connection, encrypted or not.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::identity::LivePeer;

/// A TCP connection, in plaintext or within TLS.
#[derive(Debug)]
pub struct MeshStream {
    kind: Kind,
    /// Its place among the connections of the identity, if its peer proved who it is.
    _live: Option<Box<LivePeer>>,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved a few times when a connection begins, and looked at many times for each request"
)]
enum Kind {
    Plain(TcpStream),
    Tls(tokio_rustls::TlsStream<Socket>),
}

impl From<TcpStream> for MeshStream {
    fn from(tcp: TcpStream) -> Self {
        Self {
            kind: Kind::Plain(tcp),
            _live: None,
        }
    }
}

impl MeshStream {
    pub(crate) fn tls(
        stream: impl Into<tokio_rustls::TlsStream<Socket>>,
        live: Option<Box<LivePeer>>,
    ) -> Self {
        Self {
            kind: Kind::Tls(stream.into()),
            _live: live,
        }
    }

    /// What was agreed on in the handshake: version, suite, key exchange. `None` in plaintext.
    pub fn tls_parameters(&self) -> Option<TlsParameters> {
        let Kind::Tls(stream) = &self.kind else {
            return None;
        };
        let (_, common) = stream.get_ref();
        Some(TlsParameters {
            version: common.protocol_version()?.as_str()?,
            suite: common.negotiated_cipher_suite()?.suite().as_str()?,
            key_exchange: common.negotiated_key_exchange_group()?.name().as_str()?,
        })
    }
}

/// What was agreed on in a handshake, by the names in the registry of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsParameters {
    /// The version, as `TLSv1_3`.
    pub version: &'static str,
    /// The suite, as `TLS13_AES_128_GCM_SHA256`.
    pub suite: &'static str,
    /// The group of the key exchange, as `X25519MLKEM768`.
    pub key_exchange: &'static str,
}

/// Calls the same method of whichever stream it is.
macro_rules! inner {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().kind {
            Kind::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Kind::Tls($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl AsyncRead for MeshStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for MeshStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inner!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.kind {
            Kind::Plain(stream) => stream.is_write_vectored(),
            Kind::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, stream => stream.poll_shutdown(cx))
    }
}

/// The TCP connection below TLS. A record is one piece, and `send` costs the kernel less than the `writev` that rustls
/// asks for.
#[derive(Debug)]
pub(crate) struct Socket(pub(crate) TcpStream);

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            [one] => Pin::new(&mut self.0).poll_write(cx, one),
            several => Pin::new(&mut self.0).poll_write_vectored(cx, several),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
