//! `listeners[].limits`: how much one client may ask for.

use std::time::Duration;

/// How much one client may ask for, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// From the first byte of a request to the end of its head. Default 10 s.
    pub request_head: Duration,
    /// Without a byte either way while a request is under way. Default 60 s.
    pub idle: Duration,
    /// Between two requests. Default 60 s.
    pub keep_alive: Duration,
    /// Of a request's head, in bytes. Default 64 KiB.
    pub max_head_bytes: usize,
    /// Header fields. Default 100.
    pub max_headers: usize,
    /// Of a request's target, in bytes. Default 16 KiB.
    pub max_uri_bytes: usize,
    /// Open connections. Default 10000.
    pub max_connections: usize,
    /// Streams at once of one HTTP/2 connection. Default 100.
    pub max_streams: u32,
    /// How old a connection may get. Default `None`: any.
    pub max_connection_age: Option<Duration>,
}
