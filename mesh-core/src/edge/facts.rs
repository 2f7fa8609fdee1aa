//! What fields a message has, found in one pass: later steps look for nothing that is not there.

use http::HeaderMap;
use http::header::HeaderName;

/// Which of the fields the mesh cares about a message has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    bits: u32,
    hosts: u16,
    fields: u16,
}

impl Facts {
    pub(crate) const CONTENT_LENGTH: u32 = 1 << 0;
    pub(crate) const TRANSFER_ENCODING: u32 = 1 << 1;
    pub(crate) const CONNECTION: u32 = 1 << 2;
    pub(crate) const KEEP_ALIVE: u32 = 1 << 3;
    pub(crate) const PROXY_CONNECTION: u32 = 1 << 4;
    pub(crate) const TE: u32 = 1 << 5;
    pub(crate) const UPGRADE: u32 = 1 << 6;
    pub(crate) const HTTP2_SETTINGS: u32 = 1 << 7;
    pub(crate) const EXPECT: u32 = 1 << 8;
    pub(crate) const MAX_FORWARDS: u32 = 1 << 9;
    /// More than one Cookie field.
    pub(crate) const COOKIES: u32 = 1 << 10;
    pub(crate) const UNDERSCORE: u32 = 1 << 11;
    pub(crate) const FORWARDED_FOR: u32 = 1 << 12;
    pub(crate) const FORWARDED_PROTO: u32 = 1 << 13;
    /// X-Forwarded-Host, X-Forwarded-Port, Forwarded and the like: kept from trusted hops only.
    pub(crate) const FORWARDED_OTHER: u32 = 1 << 14;
    pub(crate) const REQUEST_ID: u32 = 1 << 15;
    pub(crate) const TRACE: u32 = 1 << 16;
    pub(crate) const B3: u32 = 1 << 17;
    /// A field only the mesh sets.
    pub(crate) const OWN: u32 = 1 << 18;
    pub(crate) const GRPC_TIMEOUT: u32 = 1 << 19;
    const COOKIE: u32 = 1 << 30;

    /// Looks a message's fields through.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut facts = Self::default();
        for name in headers.iter().map(|(name, _)| name) {
            facts.fields = facts.fields.saturating_add(1);
            let bit = match name.as_str() {
                "host" => {
                    facts.hosts = facts.hosts.saturating_add(1);
                    0
                }
                "cookie" if facts.bits & Self::COOKIE != 0 => Self::COOKIES,
                _ => bit(name),
            };
            facts.bits |= bit;
        }
        facts
    }

    /// Whether any of these is there.
    pub(crate) fn has(self, bits: u32) -> bool {
        self.bits & bits != 0
    }

    /// How many fields there are.
    pub fn fields(self) -> usize {
        usize::from(self.fields)
    }

    pub(crate) fn hosts(self) -> u16 {
        self.hosts
    }

    /// Whether the message asks for an upgrade.
    pub fn asks_for_upgrade(self) -> bool {
        self.has(Self::UPGRADE)
    }
}

fn bit(name: &HeaderName) -> u32 {
    let name = name.as_str();
    // Few names have the length of one that matters, and fewer its first letter.
    match (name.len(), name.as_bytes().first()) {
        (2, Some(b't')) if name == "te" => Facts::TE,
        (2, Some(b'b')) if name == "b3" => Facts::B3,
        (6, Some(b'e')) if name == "expect" => Facts::EXPECT,
        (6, Some(b'c')) if name == "cookie" => Facts::COOKIE,
        (7, Some(b'u')) if name == "upgrade" => Facts::UPGRADE,
        (9, Some(b'f')) if name == "forwarded" => Facts::FORWARDED_OTHER,
        (9, Some(b'x')) if name == "x-real-ip" => Facts::FORWARDED_OTHER,
        (10, Some(b'c')) if name == "connection" => Facts::CONNECTION,
        (10, Some(b'k')) if name == "keep-alive" => Facts::KEEP_ALIVE,
        (10, Some(b't')) if name == "tracestate" => Facts::TRACE,
        (11, Some(b't')) if name == "traceparent" => Facts::TRACE,
        (12, Some(b'm')) if name == "max-forwards" => Facts::MAX_FORWARDS,
        (12, Some(b'x')) if name == "x-request-id" => Facts::REQUEST_ID,
        (12, Some(b'g')) if name == "grpc-timeout" => Facts::GRPC_TIMEOUT,
        (14, Some(b'c')) if name == "content-length" => Facts::CONTENT_LENGTH,
        (14, Some(b'h')) if name == "http2-settings" => Facts::HTTP2_SETTINGS,
        (15, Some(b'x')) if name == "x-forwarded-for" => Facts::FORWARDED_FOR,
        (16, Some(b'p')) if name == "proxy-connection" => Facts::PROXY_CONNECTION,
        (17, Some(b't')) if name == "transfer-encoding" => Facts::TRANSFER_ENCODING,
        (17, Some(b'x')) if name == "x-forwarded-proto" => Facts::FORWARDED_PROTO,
        (_, Some(b'x')) => extension(name),
        _ if name.contains('_') => Facts::UNDERSCORE,
        _ => 0,
    }
}

fn extension(name: &str) -> u32 {
    if crate::forwarded::is_own(name) {
        Facts::OWN
    } else if name.starts_with("x-forwarded-") {
        Facts::FORWARDED_OTHER
    } else if name.starts_with("x-b3-") {
        Facts::B3
    } else if name.contains('_') {
        Facts::UNDERSCORE
    } else {
        0
    }
}
