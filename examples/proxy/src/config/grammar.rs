//! Texts with a grammar: what turns them into values, and says why not.

use std::net::SocketAddr;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use mesh_core::endpoint::Address;
use mesh_core::request_key::{KeyBy, KeyByError};
use mesh_core::{ServiceName, SpiffeId, Version};
use mesh_tls::authorize::{PathPattern, PatternError, Probes, Source};
use mesh_traffic::router::{HeaderEditError, HeaderEdits, HostName, HostPattern};

use super::context::Wrong;
use super::listener::TrustedProxy;
use super::load_balancing::StatusRange;

pub(super) const SERVICE: &str = "a service's name: 1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit";
pub(super) const VERSION: &str =
    "a version: 1 to 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit";
pub(super) const ADDRESS: &str = "host:port, as 10.0.0.7:3001, [::1]:3001 or orders:3001";
pub(super) const BIND: &str = "an IP address and a port, as 0.0.0.0:8080 or [::]:8080";
pub(super) const SPIFFE_ID: &str = "a SPIFFE ID, as spiffe://cluster.local/ns/dept-barc/sa/frontend";
pub(super) const IDENTITY_PATTERN: &str = "a SPIFFE ID, as spiffe://cluster.local/ns/dept-barc/sa/frontend; \
     \"*\" stands for one segment of its path, \"/**\" at the end for the rest; \"*\" alone for any identity, \
     \"unauthenticated\" for none";
pub(super) const PATH_PATTERN: &str =
    "a path, as /api/orders; \"*\" stands for one segment, \"/**\" at the end for the rest";
pub(super) const PROBE_PATH: &str = "a path, as /healthz; without patterns";
pub(super) const NETWORK: &str = "a network, as 10.0.0.0/8";
pub(super) const TRUSTED_PROXY: &str = "a SPIFFE ID, or a network as 10.0.0.0/8";
pub(super) const HOST: &str = "a host, as api.example.org; without scheme, port and path";
pub(super) const HOST_PATTERN: &str = "a host, as api.example.org, or \"*\" for any";
pub(super) const HEADER: &str = "a header's name: letters, digits and '-'";
pub(super) const COOKIE: &str = "a cookie's name: letters, digits, '-' and '_'";
pub(super) const METHOD: &str = "a method, as GET";
pub(super) const ABSOLUTE_PATH: &str = "a path that begins with '/'";
pub(super) const KEY_EXTRACTOR: &str = "source_service, client_ip, header:NAME, cookie:NAME or none";
pub(super) const STATUS_RANGE: &str = "a status, as 200, or a range, as 200-299, within 100 to 599";

pub(super) fn service_name(text: &str) -> Result<ServiceName, Wrong> {
    ServiceName::new(text).map_err(|_| {
        let lower = text.trim().to_lowercase().replace(['_', ' ', '.'], "-");
        let meant = ServiceName::new(&lower).ok();
        Wrong::expected(SERVICE).meant(meant.as_ref().map(ServiceName::as_str))
    })
}

pub(super) fn version(text: &str) -> Result<Version, Wrong> {
    Version::new(text).map_err(|_| Wrong::expected(VERSION))
}

pub(super) fn address(text: &str) -> Result<Address, Wrong> {
    text.parse().map_err(|_| {
        let wrong = Wrong::expected(ADDRESS);
        match text.split_once("://") {
            Some((_, rest)) => wrong.meant(Some(rest.trim_end_matches('/'))),
            None if !text.contains(':') => wrong.because("it has no port"),
            None => wrong,
        }
    })
}

pub(super) fn bind(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        let wrong = Wrong::expected(BIND);
        let port = text.strip_prefix(':').unwrap_or(text);
        match port.parse::<u16>() {
            Ok(port) => wrong.meant(Some(&format!("\"0.0.0.0:{port}\""))),
            Err(_) => match text.strip_prefix("localhost:") {
                Some(port) => wrong.meant(Some(&format!("\"127.0.0.1:{port}\""))),
                None => wrong,
            },
        }
    })
}

pub(super) fn spiffe_id(text: &str) -> Result<SpiffeId, Wrong> {
    text.parse()
        .map_err(|error: mesh_core::identity::SpiffeIdError| because(&error, text, SPIFFE_ID))
}

pub(super) fn identity_pattern(text: &str) -> Result<Source, Wrong> {
    let refuse = |error: PatternError| Wrong::expected(IDENTITY_PATTERN).because(error.reason());
    text.parse().map_err(|error| {
        let near = super::near::nearest(text, ["unauthenticated"]);
        refuse(error).meant(near)
    })
}

pub(super) fn path_pattern(text: &str) -> Result<PathPattern, Wrong> {
    let refuse = |error: PatternError| Wrong::expected(PATH_PATTERN).because(error.reason());
    text.parse().map_err(refuse)
}

pub(super) fn probe_path(text: &str) -> Result<Box<str>, Wrong> {
    match Probes::of([text]) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(Wrong::expected(PROBE_PATH).because(error.message())),
    }
}

pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    network_as(text, NETWORK)
}

pub(super) fn trusted_proxy(text: &str) -> Result<TrustedProxy, Wrong> {
    if text.starts_with("spiffe:") {
        return spiffe_id(text).map(TrustedProxy::Identity);
    }
    network_as(text, TRUSTED_PROXY).map(TrustedProxy::Network)
}

fn network_as(text: &str, expected: &str) -> Result<IpNet, Wrong> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    match network {
        // 10.1.2.3/8 says two things at once.
        Ok(network) if network.trunc() != network => {
            let meant = network.trunc().to_string();
            let why = "the address has bits beyond the prefix";
            Err(Wrong::expected(expected).because(why).meant(Some(&meant)))
        }
        Ok(network) => Ok(network),
        Err(_) => Err(Wrong::expected(expected)),
    }
}

pub(super) fn host(text: &str) -> Result<HostName, Wrong> {
    text.parse()
        .map_err(|error: mesh_traffic::router::HostError| because(&error, text, HOST))
}

pub(super) fn host_pattern(text: &str) -> Result<HostPattern, Wrong> {
    text.parse()
        .map_err(|error: mesh_traffic::router::HostError| because(&error, text, HOST_PATTERN))
}

pub(super) fn header_name(text: &str) -> Result<HeaderName, Wrong> {
    HeaderName::try_from(text).map_err(|_| Wrong::expected(HEADER))
}

pub(super) fn header_value(text: &str) -> Result<HeaderValue, Wrong> {
    HeaderValue::try_from(text)
        .map_err(|_| Wrong::expected("a header's value: one line without control characters"))
}

/// The name of a header that belongs to the message, not to the connection, to its framing or to the mesh.
pub(super) fn editable_header(text: &str) -> Result<HeaderName, Wrong> {
    match HeaderEdits::new().remove(text) {
        Ok(_) => header_name(text),
        Err(HeaderEditError::Host | HeaderEditError::Pseudo(_)) => {
            Err(Wrong::expected(HEADER).hint("to change the host, write rewrite: { host: … }"))
        }
        Err(HeaderEditError::OfMesh(_)) => Err(Wrong::expected(
            "a header that is not the mesh's own: in those it tells what it knows",
        )),
        Err(HeaderEditError::OfConnection(_)) => Err(Wrong::expected(
            "a header that does not belong to the connection or to the body's framing",
        )),
        Err(_) => Err(Wrong::expected(HEADER)),
    }
}

pub(super) fn cookie_name(text: &str) -> Result<Box<str>, Wrong> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !text.is_empty() && text.bytes().all(token) {
        true => Ok(text.into()),
        false => Err(Wrong::expected(COOKIE)),
    }
}

pub(super) fn method(text: &str) -> Result<Method, Wrong> {
    const USUAL: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT",
    ];
    let upper = text.to_ascii_uppercase();
    if upper != text && USUAL.contains(&&*upper) {
        let why = "methods are case-sensitive";
        return Err(Wrong::expected(METHOD).because(why).meant(Some(&upper)));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| Wrong::expected(METHOD))
}

pub(super) fn absolute_path(text: &str) -> Result<Box<str>, Wrong> {
    let graphic = text.bytes().all(|byte| byte.is_ascii_graphic());
    match text.starts_with('/') && graphic && !text.contains('#') {
        true => Ok(text.into()),
        false => Err(Wrong::expected(ABSOLUTE_PATH)),
    }
}

pub(super) fn key_extractor(text: &str) -> Result<KeyBy, Wrong> {
    text.parse().map_err(|error: KeyByError| {
        let near = super::near::nearest(text, ["source_service", "client_ip", "none"]);
        because(&error, text, KEY_EXTRACTOR).meant(near)
    })
}

pub(super) fn status_range(text: &str) -> Result<StatusRange, Wrong> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|s| (100..600).contains(s));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(StatusRange { first, last }),
        _ => Err(Wrong::expected(STATUS_RANGE)),
    }
}

/// Takes the reason out of "<text> is not a …: <reason>; expected …".
fn because(error: &dyn std::error::Error, text: &str, expected: &str) -> Wrong {
    let message = error.to_string();
    let shown: String = text.chars().take(100).collect();
    let reason = message
        .strip_prefix(&format!("{shown:?} is not a"))
        .and_then(|rest| rest.split_once(": "))
        .and_then(|(_, rest)| rest.rsplit_once("; expected"))
        .map(|(reason, _)| reason.to_owned());
    match reason {
        Some(reason) => Wrong::expected(expected).because(reason),
        None => Wrong::expected(expected).because(message),
    }
}
