//! Whose `x-forwarded-*` fields are believed.

use ipnet::IpNet;

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
    networks: Vec<IpNet>,
    identities: Vec<SpiffeId>,
}

impl Trust {
    /// Nobody is believed.
    pub fn nobody() -> Self {
        Self::default()
    }

    /// So many proxies stand in front, each of which appends to `x-forwarded-for`: whoever connects is the
    /// last of them.
    pub fn hops(hops: u8) -> Self {
        Self { hops, ..Self::default() }
    }

    /// Proxies at these addresses, or with these verified identities.
    pub fn proxies(
        networks: impl IntoIterator<Item = IpNet>,
        identities: impl IntoIterator<Item = SpiffeId>,
    ) -> Self {
        Self { hops: 0, networks: networks.into_iter().collect(), identities: identities.into_iter().collect() }
    }

    /// Whether this peer's `x-forwarded-*` fields are believed.
    pub fn covers(&self, peer: &PeerInfo) -> bool {
        let address = peer.address.ip().to_canonical();
        self.hops > 0
            || self.networks.iter().any(|network| network.contains(&address))
            || peer.identity.as_ref().is_some_and(|identity| self.identities.contains(identity))
    }
}
