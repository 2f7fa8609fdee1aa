//! `listeners`: where requests come in.

use std::net::SocketAddr;

use ipnet::IpNet;
use mesh_core::SpiffeId;

use super::context::Wrong;
use super::defaults;
use super::grammar::{self, BIND, TRUSTED_PROXY};
use super::limits;
use super::limits::Limits;
use super::origin::Origin;
use super::shape::{Fields, integer, list, object, parsed, word};

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

const NAME: &str = "a name: 1 to 63 letters, digits, '-', '_' and '.'";

/// `default_tls` follows from `mutualTLS`.
pub(super) fn read(
    fields: &mut Fields<'_>,
    default_tls: ListenerTls,
    has_certificates: bool,
) -> Option<Listener> {
    let origin = fields.origin();
    let name = fields.required("name", parsed(NAME, name_of));
    let bind = fields.required("bind", parsed(BIND, grammar::bind));
    let directions = word(&[("inbound", Direction::Inbound), ("outbound", Direction::Outbound)]);
    let direction = fields.or("direction", directions, Direction::Inbound);
    let tls = word(&[
        ("strict", ListenerTls::Strict),
        ("permissive", ListenerTls::Permissive),
        ("off", ListenerTls::Off),
    ]);
    let tls = fields.optional("tls", tls).unwrap_or(default_tls);
    let hops = fields.or("trustedHops", integer(0..=100), 0_u32);
    let proxies = fields.optional(
        "trustedProxies",
        list(parsed(TRUSTED_PROXY, grammar::trusted_proxy)),
    );
    let upgrades = list(word(&[("websocket", Upgrade::WebSocket)]));
    let upgrades = fields.or("upgrades", upgrades, vec![Upgrade::WebSocket]);
    let limits = fields.part("limits", object(limits::read));

    if fields.has("trustedProxies") && hops > 0 {
        let wrong = Wrong::expected("one of both");
        fields.refuse("trustedProxies", "trustedProxies beside trustedHops", wrong);
    }
    if tls != ListenerTls::Off && !has_certificates && fields.has("tls") {
        let wrong = Wrong::expected(
            "off, or mutualTLS with enabled: true, which gives this listener its certificate",
        );
        fields.refuse("tls", "TLS without certificates", wrong);
    }
    Some(Listener {
        origin,
        name: name?,
        bind: bind?,
        direction,
        tls,
        trust: proxies.map_or(Trust::Hops(hops), Trust::Proxies),
        upgrades,
        limits: limits?,
    })
}

/// The listener there is when none is written.
pub(super) fn default(origin: Origin, limits: Limits, tls: ListenerTls) -> Listener {
    Listener {
        origin,
        name: defaults::LISTENER_NAME.into(),
        bind: defaults::LISTENER_BIND,
        direction: Direction::Inbound,
        tls,
        trust: Trust::Hops(0),
        upgrades: vec![Upgrade::WebSocket],
        limits,
    }
}

fn name_of(text: &str) -> Result<Box<str>, Wrong> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) {
        true => Ok(text.into()),
        false => Err(Wrong::expected(NAME)),
    }
}
