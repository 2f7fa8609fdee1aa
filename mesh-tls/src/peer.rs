//! What a verified connection tells of its peer.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_core::PeerInfo;
use mesh_core::connect::HttpProtocol;

use crate::certificate::{Certificate, CertificateError};

/// The peer that showed this certificate, which the handshake has verified. `has_identity`: whether it was verified as a
/// member of the mesh, so that its SPIFFE ID may be believed.
pub(crate) fn peer_of(
    address: SocketAddr,
    leaf: Option<&Certificate>,
    has_identity: bool,
) -> Result<Arc<PeerInfo>, CertificateError> {
    let mut peer = PeerInfo::anonymous_tls(address);
    if let Some(certificate) = leaf {
        if has_identity {
            peer.identity = Some(certificate.spiffe_id()?.clone());
        }
        peer.fingerprint = Some(certificate.fingerprint().into());
        peer.serial = Some(certificate.serial().to_string().into());
        peer.not_after = Some(certificate.not_after());
    }
    Ok(Arc::new(peer))
}

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The name of a protocol in ALPN.
pub(crate) fn alpn(protocol: HttpProtocol) -> Vec<u8> {
    match protocol {
        HttpProtocol::Http1 => HTTP1.to_vec(),
        HttpProtocol::Http2 => HTTP2.to_vec(),
    }
}

/// The protocol of a name in ALPN.
pub(crate) fn agreed(name: Option<&[u8]>) -> Option<HttpProtocol> {
    match name {
        Some(HTTP2) => Some(HttpProtocol::Http2),
        Some(HTTP1) => Some(HttpProtocol::Http1),
        _ => None,
    }
}
