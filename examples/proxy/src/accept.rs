//! How a listener's connections are accepted.

use std::io;
use std::net::SocketAddr;

use mesh_core::accept::{Accept, Accepted, PlainAccept};
use mesh_tls::{ClientCerts, Identity, MeshStream, TlsAccept};
use tokio::net::TcpStream;

use crate::config::ListenerTls;

/// Accepts what the listener speaks: plaintext, TLS, or both.
#[derive(Debug)]
pub enum ListenerAccept {
    /// Plaintext only.
    Plain(PlainAccept),
    /// TLS, or TLS and plaintext.
    Tls(TlsAccept),
}

impl ListenerAccept {
    /// What a listener speaks. TLS takes an identity, which a checked configuration has where it says so.
    ///
    /// # Errors
    /// TLS is to be spoken, and there is no identity.
    pub fn new(
        tls: ListenerTls,
        client_certs: ClientCerts,
        identity: Option<&Identity>,
    ) -> Result<Self, String> {
        let with_identity =
            || identity.ok_or("TLS is to be spoken without mutualTLS, which gives the certificate");
        Ok(match tls {
            ListenerTls::Off => Self::Plain(PlainAccept::new()),
            ListenerTls::Strict => Self::Tls(with_identity()?.accept().client_certs(client_certs)),
            ListenerTls::Permissive => Self::Tls(with_identity()?.accept().permissive()),
        })
    }
}

impl Accept for ListenerAccept {
    type Io = MeshStream;

    async fn accept(&self, stream: TcpStream, remote: SocketAddr) -> io::Result<Accepted<MeshStream>> {
        match self {
            Self::Plain(plain) => {
                let Accepted { io, peer, .. } = plain.accept(stream, remote).await?;
                Ok(Accepted::new(MeshStream::from(io), peer))
            }
            Self::Tls(tls) => tls.accept(stream, remote).await,
        }
    }
}
