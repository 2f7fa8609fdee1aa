//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::identity::SpiffeId;

/// What is known of the peer of one connection. Made once a connection, shared by its requests.
///
/// Without TLS, or with a client that showed no certificate, there is an address and nothing else: a peer's
/// identity comes from a verified certificate, never from a header.
///
/// ```
/// use mesh_core::PeerInfo;
///
/// let peer = PeerInfo::plaintext("127.0.0.1:55555".parse()?);
/// assert!(!peer.is_mtls());
/// assert_eq!(peer.service(), None);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The address of the socket's other end.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The verified identity.
    pub identity: Option<SpiffeId>,
    /// SHA-256 of the peer's certificate, in lower-case hexadecimal.
    pub fingerprint: Option<Arc<str>>,
    /// The serial number of the peer's certificate, in lower-case hexadecimal.
    pub serial: Option<Arc<str>>,
    /// The last moment of the validity of the peer's certificate.
    pub not_after: Option<SystemTime>,
}

impl PeerInfo {
    /// A peer on an unencrypted connection.
    pub fn plaintext(address: SocketAddr) -> Self {
        Self {
            address,
            tls: false,
            identity: None,
            fingerprint: None,
            serial: None,
            not_after: None,
        }
    }

    /// A peer on an encrypted connection that proved no identity.
    pub fn anonymous_tls(address: SocketAddr) -> Self {
        Self {
            tls: true,
            ..Self::plaintext(address)
        }
    }

    /// A peer that proved `identity` with a certificate of this SHA-256 `fingerprint` (lower-case
    /// hexadecimal) and `serial`.
    pub fn mtls(
        address: SocketAddr,
        identity: SpiffeId,
        fingerprint: impl Into<Arc<str>>,
        serial: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            address,
            tls: true,
            identity: Some(identity),
            fingerprint: Some(fingerprint.into()),
            serial: Some(serial.into()),
            not_after: None,
        }
    }

    /// Whether both sides proved who they are.
    pub fn is_mtls(&self) -> bool {
        self.fingerprint.is_some()
    }

    /// The service the peer proved to be: the last part of `…/sa/<service>`.
    pub fn service(&self) -> Option<&str> {
        self.identity.as_ref().and_then(SpiffeId::service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 55555))
    }

    #[test]
    fn only_a_certificate_proves_an_identity() {
        for (peer, tls) in [
            (PeerInfo::plaintext(address()), false),
            (PeerInfo::anonymous_tls(address()), true),
        ] {
            assert_eq!(peer.tls, tls);
            assert!(!peer.is_mtls());
            assert_eq!((peer.identity.as_ref(), peer.service()), (None, None));
        }
    }

    #[test]
    fn a_peer_with_a_certificate_is_the_service_it_names() {
        let identity = SpiffeId::of_service("cluster.local", "dept-barc", "frontend").expect("valid parts");
        let peer = PeerInfo::mtls(address(), identity.clone(), "ab12", "01");
        assert!(peer.tls && peer.is_mtls());
        assert_eq!(peer.service(), Some("frontend"));
        assert_eq!(peer.identity, Some(identity));
        assert_eq!(
            (peer.fingerprint.as_deref(), peer.serial.as_deref()),
            (Some("ab12"), Some("01"))
        );
    }

    #[test]
    fn an_identity_of_another_shape_is_no_service() {
        let identity = "spiffe://cluster.local/workload/7".parse().expect("an identity");
        let peer = PeerInfo::mtls(address(), identity, "ab12", "01");
        assert!(peer.is_mtls());
        assert_eq!(peer.service(), None);
    }
}
