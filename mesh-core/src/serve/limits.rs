//! The limits and timers of a server.

use std::time::Duration;

/// What a server allows. Every default is on: there is no "none" by omission.
///
/// ```
/// let limits = mesh_core::serve::ServeLimits::default();
/// assert_eq!(limits.request_head.as_secs(), 10);
/// assert_eq!(limits.max_head_bytes, 64 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeLimits {
    /// How long a request's head may take, from its first byte. Default 10 s.
    pub request_head: Duration,
    /// How long a body, in or out, or a tunnel may stand still. Default 60 s.
    pub idle: Duration,
    /// How long a connection without a request stays open. Default 60 s.
    pub keep_alive: Duration,
    /// How long the handshake may take. Default 10 s.
    pub handshake: Duration,
    /// The largest head, in bytes; at least 8 KiB. Default 64 KiB.
    pub max_head_bytes: usize,
    /// The most header fields. Default 100.
    pub max_headers: usize,
    /// The most connections at once; beyond it, new ones are closed at once. Default 10 000.
    pub max_connections: usize,
    /// The most handshakes at once, beside the connections: beyond it, the oldest of the source with the most is cut.
    /// Default 1024: an honest handshake takes milliseconds, and each takes tens of kilobytes.
    pub max_handshakes: usize,
    /// The most requests at once on an HTTP/2 connection. Default 100.
    pub max_streams: u32,
    /// After how long a connection is ended gracefully, give or take a tenth. Default: never.
    pub max_connection_age: Option<Duration>,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            request_head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            keep_alive: Duration::from_secs(60),
            handshake: Duration::from_secs(10),
            max_head_bytes: 64 * 1024,
            max_headers: 100,
            max_connections: 10_000,
            max_handshakes: 1024,
            max_streams: 100,
            max_connection_age: None,
        }
    }
}
