//! What travels with a request through the layers: one extension each way.
//!
//! One insert costs less than five, and a layer that needs a fact looks in one place.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::endpoint::EndpointId;
use crate::name::{ServiceName, Version};
use crate::peer::PeerInfo;
use crate::split::Assignment;
use crate::trace::SpanContext;

/// Whether a listener serves others (`inbound`) or the application beside it (`outbound`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Requests come from peers.
    #[default]
    Inbound,
    /// Requests come from this process's own application.
    Outbound,
}

impl Direction {
    /// The label value: `inbound` or `outbound`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// Where a request goes, once it is decided.
///
/// ```
/// use mesh_core::context::Target;
///
/// let target = Target::service("orders".parse()?).with_version(Some("v2".parse()?)).with_route(Some("canary".into()));
/// assert_eq!(target.route.as_deref(), Some("canary"));
/// # Ok::<(), mesh_core::name::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The service.
    pub service: ServiceName,
    /// Its version; without one, the stable version.
    pub version: Option<Version>,
    /// The id of the rule that decided, if a rule did.
    pub route: Option<Arc<str>>,
}

impl Target {
    /// The stable version of `service`, by no rule.
    pub fn service(service: ServiceName) -> Self {
        Self {
            service,
            version: None,
            route: None,
        }
    }

    /// The same, but this version.
    #[must_use]
    pub fn with_version(mut self, version: Option<Version>) -> Self {
        self.version = version;
        self
    }

    /// The same, decided by this rule.
    #[must_use]
    pub fn with_route(mut self, route: Option<Arc<str>>) -> Self {
        self.route = route;
        self
    }
}

/// The request extension: what the layers in front have found out.
///
/// ```
/// use mesh_core::MeshContext;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(MeshContext::new(tokio::time::Instant::now()));
/// let context = request.extensions().get::<MeshContext>().expect("just inserted");
/// assert_eq!(context.attempt, 0);
/// assert_eq!(context.source_service(), "unknown");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MeshContext {
    /// When the head was complete. The one clock reading of a request.
    pub received: Instant,
    /// The listener's direction.
    pub direction: Direction,
    /// Who sent it.
    pub peer: Option<Arc<PeerInfo>>,
    /// The client's address, if a trusted proxy told it.
    pub client: Option<IpAddr>,
    /// For an outbound listener: the service this process is, since the sender is its own application.
    pub own_service: Option<ServiceName>,
    /// Where it goes.
    pub target: Option<Target>,
    /// How it came to the version it goes to.
    pub assignment: Assignment,
    /// When it must be answered.
    pub deadline: Option<Instant>,
    /// How often it had been tried before, anywhere in the call tree.
    pub attempt: u32,
    /// The span it goes on from, if one is made of it here; else it goes on as a part of the span it came from.
    pub span: Option<SpanContext>,
    /// It came from no span: the ids of a trace in its fields were made by the edge, and no span has them.
    pub begins_trace: bool,
}

impl MeshContext {
    /// A context of a request whose head was complete at `received`.
    pub fn new(received: Instant) -> Self {
        Self {
            received,
            direction: Direction::Inbound,
            peer: None,
            client: None,
            own_service: None,
            target: None,
            assignment: Assignment::default(),
            deadline: None,
            attempt: 0,
            span: None,
            begins_trace: false,
        }
    }

    /// The address the request came from: what a trusted proxy told, else the peer's.
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client
            .or_else(|| Some(self.peer.as_ref()?.address.ip().to_canonical()))
    }

    /// The originating service: the peer's verified identity, or this process's own on an outbound
    /// listener; `unknown` without one. Never taken from the wire.
    pub fn source_service(&self) -> &str {
        match (&self.own_service, &self.peer) {
            (Some(own), _) => own.as_str(),
            (None, Some(peer)) => peer.service().unwrap_or("unknown"),
            (None, None) => "unknown",
        }
    }
}

/// The response extension: how the client side came by this response.
///
/// ```
/// use mesh_core::{AttemptInfo, Endpoint};
///
/// let address: std::net::SocketAddr = "127.0.0.1:4001".parse()?;
/// let info = AttemptInfo::new(Endpoint::new(address.into()).id().clone(), None, 2);
/// assert_eq!(info.attempts, 2);
/// assert!(info.peer.is_none(), "nobody proved anything");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttemptInfo {
    /// The endpoint that answered.
    pub endpoint: EndpointId,
    /// The version of that endpoint.
    pub version: Option<Version>,
    /// How many attempts were made, the last included.
    pub attempts: u32,
    /// Who answered, as the connector verified it: the peer of the very connection the response came on.
    /// Nothing if the connector verifies nobody.
    pub peer: Option<Arc<PeerInfo>>,
}

impl AttemptInfo {
    /// A response of this endpoint, at the `attempts`-th attempt.
    pub fn new(endpoint: EndpointId, version: Option<Version>, attempts: u32) -> Self {
        Self {
            endpoint,
            version,
            attempts,
            peer: None,
        }
    }

    /// The same, answered by this peer.
    #[must_use]
    pub fn with_peer(mut self, peer: Option<Arc<PeerInfo>>) -> Self {
        self.peer = peer;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SpiffeId;

    fn context() -> MeshContext {
        MeshContext::new(Instant::now())
    }

    fn frontend() -> Arc<PeerInfo> {
        let identity = SpiffeId::of_service("cluster.local", "dept-barc", "frontend").expect("valid parts");
        Arc::new(PeerInfo::mtls(([127, 0, 0, 1], 5).into(), identity, "ab12", "01"))
    }

    #[test]
    fn a_request_of_nobody_known_comes_from_unknown() {
        let mut context = context();
        assert_eq!(context.source_service(), "unknown");
        context.peer = Some(Arc::new(PeerInfo::plaintext(([127, 0, 0, 1], 5).into())));
        assert_eq!(context.source_service(), "unknown");
    }

    #[test]
    fn the_verified_peer_is_the_source() {
        let mut context = context();
        context.peer = Some(frontend());
        assert_eq!(context.source_service(), "frontend");
    }

    #[test]
    fn the_client_is_whom_a_trusted_proxy_tells_or_else_the_peer() {
        let mut context = context();
        assert_eq!(context.client_address(), None);
        context.peer = Some(frontend());
        assert_eq!(context.client_address(), Some([127, 0, 0, 1].into()));
        context.client = Some([203, 0, 113, 7].into());
        assert_eq!(context.client_address(), Some([203, 0, 113, 7].into()));
    }

    #[test]
    fn on_an_outbound_listener_this_process_is_the_source() {
        let mut context = context();
        context.peer = Some(frontend());
        context.own_service = Some("orders".parse().expect("a name"));
        assert_eq!(context.source_service(), "orders");
    }

    #[test]
    fn directions_are_named_as_the_labels_are() {
        assert_eq!(
            [Direction::Inbound, Direction::Outbound].map(Direction::as_str),
            ["inbound", "outbound"]
        );
        assert_eq!(context().direction, Direction::Inbound);
    }
}
