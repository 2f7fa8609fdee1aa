//! Whose `x-forwarded-*` fields are believed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;

use super::believed::chain;
use crate::identity::SpiffeId;
use crate::peer::PeerInfo;

/// Whose word counts about where a request came from. Nobody's by default.
///
/// ```
/// use mesh_core::PeerInfo;
/// use mesh_core::forwarded::Trust;
///
/// let peer = PeerInfo::plaintext("10.1.2.3:4000".parse()?);
/// assert!(!Trust::nobody().covers(&peer));
/// assert!(Trust::hops(1).covers(&peer));
/// assert!(Trust::proxies(["10.0.0.0/8".parse()?], []).covers(&peer));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    hops: u8,
    networks: Arc<[IpNet]>,
    identities: Arc<[SpiffeId]>,
}

impl Trust {
    /// Nobody is believed.
    pub fn nobody() -> Self {
        Self::default()
    }

    /// So many proxies stand in front, each of which appends to `x-forwarded-for`: whoever connects is the
    /// last of them.
    pub fn hops(hops: u8) -> Self {
        Self {
            hops,
            ..Self::default()
        }
    }

    /// Proxies at these addresses, or with these verified identities.
    pub fn proxies(
        networks: impl IntoIterator<Item = IpNet>,
        identities: impl IntoIterator<Item = SpiffeId>,
    ) -> Self {
        Self {
            hops: 0,
            networks: networks.into_iter().collect(),
            identities: identities.into_iter().collect(),
        }
    }

    /// Whether this peer's `x-forwarded-*` fields are believed.
    pub fn covers(&self, peer: &PeerInfo) -> bool {
        self.hops > 0
            || self.is_proxy(peer.address.ip().to_canonical())
            || peer
                .identity
                .as_ref()
                .is_some_and(|identity| self.identities.contains(identity))
    }

    /// The address of the client that a request came from: the peer's, or if the peer is trusted the one that
    /// the outermost trusted proxy appended to `x-forwarded-for`. What comes before that is a claim.
    ///
    /// A chain that is shorter than the proxies in front, or has something in it that is no address, is
    /// believed as far as it goes.
    ///
    /// ```
    /// use mesh_core::PeerInfo;
    /// use mesh_core::forwarded::Trust;
    ///
    /// let peer = PeerInfo::plaintext("10.0.0.1:4000".parse()?);
    /// let mut headers = http::HeaderMap::new();
    /// headers.insert("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.0.0.2".parse()?);
    /// assert_eq!(Trust::nobody().client(&peer, &headers).to_string(), "10.0.0.1");
    /// assert_eq!(Trust::hops(2).client(&peer, &headers).to_string(), "203.0.113.7");
    /// let trust = Trust::proxies(["10.0.0.0/8".parse()?], []);
    /// assert_eq!(trust.client(&peer, &headers).to_string(), "203.0.113.7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn client(&self, peer: &PeerInfo, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.address.ip().to_canonical();
        if !self.covers(peer) {
            return client;
        }
        for (appended_before, member) in chain(headers).rev().enumerate() {
            // Each proxy that counts told one member; the first one told is of the peer itself.
            let told_by_trusted = if self.hops > 0 {
                appended_before < usize::from(self.hops)
            } else {
                appended_before == 0 || self.is_proxy(client)
            };
            match member.and_then(address) {
                Some(address) if told_by_trusted => client = address,
                _ => break,
            }
        }
        client
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// An address as proxies write it: alone, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let alone = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
            .map(IpAddr::from)
    };
    alone()
        .or_else(with_port)
        .or_else(in_brackets)
        .map(|address| address.to_canonical())
}
