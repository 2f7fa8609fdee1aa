//! How a connection to an endpoint is made: the seam between pools and TLS.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::control::ConnectionControl;
use crate::endpoint::{Address, Endpoint};
use crate::peer::PeerInfo;

mod race;

/// The HTTP version agreed on for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpProtocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2
    Http2,
}

/// A connection that is ready for HTTP.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connected<Io> {
    /// The byte stream.
    pub io: Io,
    /// What ALPN agreed on; nothing without TLS or without ALPN.
    pub protocol: Option<HttpProtocol>,
    /// Who answered, if it proved it.
    pub peer: Option<Arc<PeerInfo>>,
    /// By which whoever shook hands may end it later.
    pub control: Option<ConnectionControl>,
}

impl<Io> Connected<Io> {
    /// A connection of which nothing more is known.
    pub fn new(io: Io) -> Self {
        Self {
            io,
            protocol: None,
            peer: None,
            control: None,
        }
    }

    /// With what ends it when its peer is not trusted any more.
    #[must_use]
    pub fn with_control(mut self, control: ConnectionControl) -> Self {
        self.control = Some(control);
        self
    }

    /// With the protocol that was agreed on.
    #[must_use]
    pub fn with_protocol(mut self, protocol: Option<HttpProtocol>) -> Self {
        self.protocol = protocol;
        self
    }

    /// The same, with another byte stream: one that wraps this one.
    pub fn map<T>(self, wrap: impl FnOnce(Io) -> T) -> Connected<T> {
        Connected {
            io: wrap(self.io),
            protocol: self.protocol,
            peer: self.peer,
            control: self.control,
        }
    }

    /// With the peer that was verified.
    #[must_use]
    pub fn with_peer(mut self, peer: Arc<PeerInfo>) -> Self {
        self.peer = Some(peer);
        self
    }
}

/// Makes connections. `mesh-tls` gives one that speaks mutual TLS; [`TcpConnect`] is the plain one.
///
/// Dropping the future gives up the attempt. The caller sets the time limit.
pub trait Connect: Send + Sync + 'static {
    /// The byte stream it makes.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to the endpoint.
    fn connect(&self, endpoint: &Endpoint) -> impl Future<Output = io::Result<Connected<Self::Io>>> + Send;
}

/// Plain TCP, `TCP_NODELAY` set. A host name is resolved by the system's resolver; of its addresses the next is
/// tried when one has refused, or has been silent for 250 ms (RFC 8305).
///
/// A connection that the peer has closed already is an error: so a request that was never sent can be told from one
/// that got no answer.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TcpConnect;

impl TcpConnect {
    /// Plain TCP.
    pub fn new() -> Self {
        Self
    }
}

/// Whether the peer still has it open, as the system knows: tokio learns that later, when the request is on its way.
/// A server that ends closes connections it took a moment ago, and who could not tell would blame the request.
fn open(stream: &TcpStream) -> io::Result<()> {
    match SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]) {
        Ok(0) => Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the connection was closed as soon as it was made",
        )),
        Ok(_) => Ok(()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

impl Connect for TcpConnect {
    type Io = TcpStream;

    async fn connect(&self, endpoint: &Endpoint) -> io::Result<Connected<TcpStream>> {
        let stream = match &endpoint.address {
            Address::Socket(address) => TcpStream::connect(*address).await?,
            Address::Host { name, port } => {
                let addresses = tokio::net::lookup_host((&**name, *port)).await?;
                race::first_of(addresses, TcpStream::connect).await?
            }
        };
        stream.set_nodelay(true)?;
        open(&stream)?;
        Ok(Connected::new(stream))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_was_closed_at_once_is_no_connection() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let (peer, _) = listener.accept().await?;
        open(&stream)?;
        let mut peer = peer.into_std()?;
        peer.write_all(b"server first")?;
        stream.readable().await?;
        open(&stream)?;
        let mut all = [0; 12];
        assert_eq!(stream.try_read(&mut all)?, 12);
        drop(peer);
        let error = loop {
            match open(&stream) {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        Ok(())
    }
}
