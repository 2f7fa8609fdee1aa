//! `metrics` and `admin`: what the proxy tells about itself, and who may ask.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::context::Wrong;
use super::defaults;
use super::grammar::{self, BIND, SPIFFE_ID};
use super::shape::{Fields, boolean, list, parsed, path};
use mesh_core::SpiffeId;

/// `serviceMesh.metrics`: `/metrics`, `/healthz`, `/readyz`; read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Where they are served. Default `0.0.0.0:9090`.
    pub bind: SocketAddr,
}

/// `serviceMesh.admin`: dashboard and API. Beyond loopback it has TLS and `allow`, or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admin {
    /// Where it is served. Default `127.0.0.1:9091`.
    pub bind: SocketAddr,
    /// Whether nobody wrote that address: another process may have it then.
    pub is_by_default: bool,
    /// Served over mutual TLS.
    pub tls: bool,
    /// Who may ask; empty: see the token.
    pub allow: Vec<SpiffeId>,
    /// The file that holds the token a caller shows.
    pub token_file: Option<PathBuf>,
}

pub(super) fn read_metrics(fields: &mut Fields<'_>) -> Option<Option<Metrics>> {
    let enabled = fields.or("enabled", boolean(), true);
    let bind = fields.or("bind", parsed(BIND, grammar::bind), defaults::METRICS_BIND);
    Some(enabled.then_some(Metrics { bind }))
}

pub(super) fn read_admin(fields: &mut Fields<'_>) -> Option<Option<Admin>> {
    let enabled = fields.or("enabled", boolean(), true);
    let bind = fields.or("bind", parsed(BIND, grammar::bind), defaults::ADMIN_BIND);
    let tls = fields.or("tls", boolean(), false);
    let allow = list(parsed(SPIFFE_ID, grammar::spiffe_id));
    let allow = fields.or("allow", allow, Vec::new());
    let token_file = fields.optional("tokenFile", path("the path of a file that holds the token"));
    if !allow.is_empty() && !tls {
        let expected = "tls: true beside it";
        let why = "without TLS nobody can prove to be one of these";
        fields.refuse("allow", "identities", Wrong::expected(expected).because(why));
    } else if enabled && !bind.ip().is_loopback() && allow.is_empty() && !fields.has("tokenFile") {
        let expected = "a loopback address, as 127.0.0.1:9091, or beside it tls: true with allow: [SPIFFE IDs], \
                        or tokenFile";
        let why = "it is reachable from other machines, and nothing says who may ask";
        fields.refuse("bind", bind.to_string(), Wrong::expected(expected).because(why));
    }
    if token_file.is_some() && !tls && !bind.ip().is_loopback() {
        fields.advise(
            "tokenFile",
            "without tls: true the token crosses the network in the clear",
        );
    }
    Some(enabled.then_some(Admin {
        bind,
        is_by_default: !fields.has("bind"),
        tls,
        allow,
        token_file,
    }))
}
