//! Handshakes of accepted connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mesh_core::PeerInfo;
use mesh_core::accept::{Accept, Accepted};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificate;
use crate::identity::{Identity, Verified};
use crate::peer::{agreed, peer_of};
use crate::policy::Peers;
use crate::server::ClientCerts;
use crate::stream::{MeshStream, Socket};
use crate::verify::{Expected, Usage};

/// Serves TLS by an [`Identity`]: [`Identity::accept`] makes one.
///
/// By default *strict*: TLS only, and only clients that prove to be members of the mesh. A new certificate of the
/// identity counts from the next connection on; those that are open stay as they are. Those whose client is not believed
/// any more, by a new bundle or since its certificate has come to its end, end: HTTP after the responses in flight, for
/// which there are 5 seconds, tunnels at once.
///
/// How long a handshake may take, and how many may be going on, is the server's to limit
/// (`mesh_core::serve::ServeLimits`).
#[derive(Clone)]
pub struct TlsAccept {
    identity: Identity,
    client_certs: ClientCerts,
    plaintext: bool,
    no_more_roots: Arc<[CertificateDer<'static>]>,
}

impl TlsAccept {
    fn new(identity: Identity) -> Self {
        Self {
            identity,
            client_certs: ClientCerts::Required,
            plaintext: false,
            no_more_roots: Arc::default(),
        }
    }

    /// Whether a client has to show a certificate. Default: it has to.
    #[must_use]
    pub fn client_certs(mut self, client_certs: ClientCerts) -> Self {
        self.client_certs = client_certs;
        self
    }

    /// *Permissive*: plaintext, TLS, and mutual TLS on one port, told apart by the first byte: for the time in
    /// which clients move to mutual TLS. Who proves nothing is nobody. A bad certificate is refused as ever, not
    /// taken for none.
    ///
    /// A client that connects and says nothing is cut when the time for the handshake is over.
    #[must_use]
    pub fn permissive(mut self) -> Self {
        self.client_certs = ClientCerts::Optional;
        self.plaintext = true;
        self
    }
}

impl Identity {
    /// Serves TLS, strictly.
    pub fn accept(&self) -> TlsAccept {
        TlsAccept::new(self.clone())
    }
}

/// The first byte of a connection that begins with a TLS handshake. No HTTP request begins with it.
const HANDSHAKE: u8 = 0x16;

impl Accept for TlsAccept {
    type Io = MeshStream;

    async fn accept(&self, stream: TcpStream, remote: SocketAddr) -> io::Result<Accepted<MeshStream>> {
        if self.plaintext && !begins_with_tls(&stream).await? {
            let peer = Arc::new(PeerInfo::plaintext(remote));
            return Ok(Accepted::new(MeshStream::from(stream), peer));
        }
        let epoch = self.identity.epoch();
        let config = match self.client_certs {
            ClientCerts::Required => &epoch.server_required,
            ClientCerts::Optional => &epoch.server_optional,
        };
        let stream = TlsAcceptor::from(Arc::clone(config))
            .accept(Socket(stream))
            .await
            .map_err(told)?;
        let (_, session) = stream.get_ref();
        let is_verified = epoch.trust.peers == Peers::Verified;
        let chain = session
            .peer_certificates()
            .filter(|chain| is_verified && !chain.is_empty());
        let leaf = chain.and_then(<[_]>::first).map(Certificate::parse).transpose();
        let leaf = leaf.map_err(io::Error::other)?;
        let peer = peer_of(remote, leaf.as_ref(), true).map_err(io::Error::other)?;
        let protocol = agreed(session.alpn_protocol());
        let live = chain.zip(leaf.as_ref()).map(|(chain, leaf)| {
            self.identity.peers().begin(&Verified {
                chain,
                leaf,
                usage: Usage::Client,
                expected: &Expected::Member,
                more_roots: &self.no_more_roots,
                trust: epoch.trust_number,
            })
        });
        let (live, control) = live.unzip();
        let mut accepted = Accepted::new(MeshStream::tls(stream, live), peer).with_protocol(protocol);
        accepted.control = control;
        Ok(accepted)
    }
}

async fn begins_with_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the client left without a word",
        )),
        _ => Ok(first[0] == HANDSHAKE),
    }
}

/// An error of the handshake, with what to do about it where that can be told.
fn told(error: io::Error) -> io::Error {
    use rustls::{CertificateError, Error, OtherError};
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let hint = match rustls {
        Some(Error::InvalidMessage(_)) => {
            "the client does not speak TLS; if it is to be served in plaintext while clients move to mutual TLS, \
             make the listener permissive"
        }
        Some(Error::NoCertificatesPresented) => {
            "the client showed no certificate; it needs one of this mesh (mesh-proxy cert issue)"
        }
        Some(Error::PeerIncompatible(_)) => {
            "the client and this listener have no version, suite or key exchange in common"
        }
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) => {
            return io::Error::new(
                error.kind(),
                format!("the client's certificate is not believed: {why}"),
            );
        }
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "no root that is trusted here vouches for the client's certificate; does it belong to this mesh?"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}: {hint}"))
}

impl fmt::Debug for TlsAccept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAccept")
            .field("identity", self.identity.id())
            .field("client_certs", &self.client_certs)
            .field("plaintext", &self.plaintext)
            .finish()
    }
}
