//! How an accepted TCP connection becomes one that HTTP can be served on: the seam between serving and TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::connect::HttpProtocol;
use crate::control::ConnectionControl;
use crate::peer::PeerInfo;

/// A connection that is ready to be served.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted<Io> {
    /// The byte stream.
    pub io: Io,
    /// Who is at the other end.
    pub peer: Arc<PeerInfo>,
    /// What ALPN agreed on; without it the first bytes tell HTTP/1.1 from HTTP/2.
    pub protocol: Option<HttpProtocol>,
    /// By which whoever shook hands may end it later.
    pub control: Option<ConnectionControl>,
}

impl<Io> Accepted<Io> {
    /// A connection of this peer.
    pub fn new(io: Io, peer: Arc<PeerInfo>) -> Self {
        Self {
            io,
            peer,
            protocol: None,
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
}

/// Turns an accepted TCP connection into one to serve: the handshake.
///
/// It runs in the connection's own task, never in the accept loop, so that a slow client delays nobody.
/// The server limits how long it may take; dropping the future ends the connection.
pub trait Accept: Send + Sync + 'static {
    /// The byte stream it gives.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Does the handshake.
    fn accept(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> impl Future<Output = io::Result<Accepted<Self::Io>>> + Send;
}

/// Plain TCP: no handshake, no identity.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PlainAccept;

impl PlainAccept {
    /// Plain TCP.
    pub fn new() -> Self {
        Self
    }
}

impl Accept for PlainAccept {
    type Io = TcpStream;

    async fn accept(&self, stream: TcpStream, remote: SocketAddr) -> io::Result<Accepted<TcpStream>> {
        Ok(Accepted::new(stream, Arc::new(PeerInfo::plaintext(remote))))
    }
}
