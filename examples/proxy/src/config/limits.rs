//! `listeners[].limits`: how much one client may ask for.

use std::time::Duration;

use super::defaults;
use super::shape::{Fields, duration, integer, size};

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

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Limits> {
    // hyper refuses smaller buffers, and a head that no request fits into serves nobody.
    let head = size(8 * 1024, 16 * 1024 * 1024);
    let request_head = fields.or("requestHead", duration(), defaults::REQUEST_HEAD);
    let idle = fields.or("idle", duration(), defaults::IDLE);
    let keep_alive = fields.or("keepAlive", duration(), defaults::KEEP_ALIVE);
    let max_head_bytes = fields.or("maxHeadBytes", head, defaults::MAX_HEAD_BYTES);
    let max_headers = fields.or("maxHeaders", integer(1..=10_000), defaults::MAX_HEADERS);
    let max_uri_bytes = fields.or("maxUriBytes", size(64, 16 * 1024 * 1024), defaults::MAX_URI_BYTES);
    let max_connections = fields.or(
        "maxConnections",
        integer(1..=10_000_000),
        defaults::MAX_CONNECTIONS,
    );
    let max_streams = fields.or("maxStreams", integer(1..=1_000_000), defaults::MAX_STREAMS);
    let any_age = duration().at_least(Duration::ZERO);
    let max_connection_age = fields.or("maxConnectionAge", any_age, Duration::ZERO);
    Some(Limits {
        request_head,
        idle,
        keep_alive,
        max_head_bytes: usize::try_from(max_head_bytes).ok()?,
        max_headers: usize::try_from(max_headers).ok()?,
        max_uri_bytes: usize::try_from(max_uri_bytes).ok()?,
        max_connections: usize::try_from(max_connections).ok()?,
        max_streams,
        max_connection_age: (!max_connection_age.is_zero()).then_some(max_connection_age),
    })
}
