//! How a pool behaves.

use std::time::Duration;

/// The HTTP version to speak to an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// What ALPN agrees on; HTTP/1.1 on a plaintext connection.
    #[default]
    Auto,
    /// HTTP/1.1
    Http1,
    /// HTTP/2, on a plaintext connection by prior knowledge.
    Http2,
}

/// How the pools to a service's endpoints behave.
///
/// ```
/// use mesh_lb::PoolSettings;
///
/// let mut settings = PoolSettings::default();
/// settings.idle_timeout = std::time::Duration::from_secs(5);
/// assert_eq!(settings.connect_timeout.as_secs(), 5);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSettings {
    /// The HTTP version. Default: [`Protocol::Auto`].
    pub protocol: Protocol,
    /// How long a connection may take, TLS included. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a connection may rest unused. Default 30 s: below the 60 s and more after which common
    /// servers close.
    pub idle_timeout: Duration,
    /// How long an HTTP/1.1 response's body may stand still. Default 60 s.
    pub body_idle_timeout: Duration,
    /// How many unused connections are kept to each endpoint; at most 1024. Default 256.
    pub max_idle: usize,
    /// Whether a connection is opened ahead to each endpoint that joins later. Default true.
    pub warm_up: bool,
    /// The largest response head, in bytes. Default 64 KiB.
    pub max_head_bytes: usize,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            protocol: Protocol::Auto,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(60),
            max_idle: 256,
            warm_up: true,
            max_head_bytes: 64 * 1024,
        }
    }
}

/// What all connections and requests to a service together may not exceed. The defaults are the contract's
/// (`circuitBreaker.maxConnections`, `maxPendingRequests`, `maxRequests`), as Envoy's but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Open connections. Default 1024.
    pub max_connections: usize,
    /// Requests that wait for room or for a connection. Default 1024.
    pub max_pending: usize,
    /// Requests in flight. Default 4096.
    pub max_requests: usize,
    /// Open connections to one endpoint. Default: no limit of its own.
    pub max_connections_per_endpoint: u32,
    /// Requests in flight at one endpoint. Default: no limit of its own.
    pub max_requests_per_endpoint: u32,
    /// How long a request waits when there is no room for it, or no connection. Default 3 s.
    pub max_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_pending: 1024,
            max_requests: 4096,
            max_connections_per_endpoint: u32::MAX,
            max_requests_per_endpoint: u32::MAX,
            max_wait: Duration::from_secs(3),
        }
    }
}
