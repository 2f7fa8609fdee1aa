//! `metrics` and `admin`: what the proxy tells about itself, and who may ask.

use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// Served over mutual TLS.
    pub tls: bool,
    /// Who may ask; empty: see the token.
    pub allow: Vec<SpiffeId>,
    /// The file that holds the token a caller shows.
    pub token_file: Option<PathBuf>,
}
