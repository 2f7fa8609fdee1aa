//! `listeners`: where requests come in.

use std::net::SocketAddr;

use ipnet::IpNet;
use mesh_core::SpiffeId;

use super::limits::Limits;
use super::origin::Origin;

/// Where requests come in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listener {
    /// Where it was written; for the default listener, where `serviceMesh` stands.
    pub origin: Origin,
    /// Its name, unlike the others'.
    pub name: Box<str>,
    /// Its address, unlike the others'.
    pub bind: SocketAddr,
    /// Whom it serves. Default: inbound.
    pub direction: Direction,
    /// What it speaks. Default: by `mutualTLS`.
    pub tls: ListenerTls,
    /// Whose `x-forwarded-*` is believed. Default: nobody's.
    pub trust: Trust,
    /// What a connection may be upgraded to. Default: WebSocket.
    pub upgrades: Vec<Upgrade>,
    /// How much one client may ask for.
    pub limits: Limits,
}

/// Whom a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Others who call this service: the source is who they prove to be.
    Inbound,
    /// The application beside it: the source is this process's own identity.
    Outbound,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenerTls {
    /// TLS, with a certificate of the client.
    Strict,
    /// TLS or plaintext, whichever the client begins.
    Permissive,
    /// Plaintext.
    Off,
}

/// Whose `x-forwarded-*` is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// So many proxies stand in front.
    Hops(u32),
    /// Proxies known by identity or network.
    Proxies(Vec<TrustedProxy>),
}

/// A proxy that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Who proves to be this.
    Identity(SpiffeId),
    /// Who connects from here.
    Network(IpNet),
}

/// What a connection may be upgraded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Upgrade {
    /// WebSocket.
    WebSocket,
}
