//! What fields a message has, found in one pass: later steps look for nothing that is not there.

use http::HeaderMap;

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
    /// Credentials and challenges for a proxy in front of this one.
    pub(crate) const PROXY_AUTH: u32 = 1 << 20;
    const COOKIE: u32 = 1 << 30;
    const HOST: u32 = 1 << 31;

    /// Looks a message's fields through.
    ///
    /// ```
    /// use mesh_core::edge::Facts;
    ///
    /// let request = http::Request::get("/").header("accept", "a").header("accept", "b").body(()).expect("valid");
    /// let facts = Facts::of(request.headers());
    /// assert_eq!(facts.fields(), 2);
    /// assert!(!facts.asks_for_upgrade());
    /// ```
    pub fn of(headers: &HeaderMap) -> Self {
        let mut facts = Self::default();
        for (name, _) in headers {
            facts.fields = facts.fields.saturating_add(1);
            let bits = Self::of_name(name.as_str());
            if bits & (Self::HOST | Self::COOKIE) != 0 {
                facts.hosts = facts.hosts.saturating_add(u16::from(bits & Self::HOST != 0));
                if bits & facts.bits & Self::COOKIE != 0 {
                    facts.bits |= Self::COOKIES;
                }
            }
            facts.bits |= bits;
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

impl Facts {
    /// What there is to know of a field by its name, in lower case; nothing of most.
    pub(super) fn of_name(name: &str) -> u32 {
        // Few names have the length of one that matters, and fewer its first letter.
        match (name.len(), name.as_bytes().first()) {
            (2, Some(b't')) if name == "te" => Self::TE,
            (2, Some(b'b')) if name == "b3" => Self::B3,
            (4, Some(b'h')) if name == "host" => Self::HOST,
            (6, Some(b'e')) if name == "expect" => Self::EXPECT,
            (6, Some(b'c')) if name == "cookie" => Self::COOKIE,
            (7, Some(b'u')) if name == "upgrade" => Self::UPGRADE,
            (9, Some(b'f')) if name == "forwarded" => Self::FORWARDED_OTHER,
            (9, Some(b'x')) if name == "x-real-ip" => Self::FORWARDED_OTHER,
            (10, Some(b'c')) if name == "connection" => Self::CONNECTION,
            (10, Some(b'k')) if name == "keep-alive" => Self::KEEP_ALIVE,
            (10, Some(b't')) if name == "tracestate" => Self::TRACE,
            (11, Some(b't')) if name == "traceparent" => Self::TRACE,
            (12, Some(b'm')) if name == "max-forwards" => Self::MAX_FORWARDS,
            (12, Some(b'x')) if name == "x-request-id" => Self::REQUEST_ID,
            (12, Some(b'g')) if name == "grpc-timeout" => Self::GRPC_TIMEOUT,
            (14, Some(b'c')) if name == "content-length" => Self::CONTENT_LENGTH,
            (14, Some(b'h')) if name == "http2-settings" => Self::HTTP2_SETTINGS,
            (15, Some(b'x')) if name == "x-forwarded-for" => Self::FORWARDED_FOR,
            (16, Some(b'p')) if name == "proxy-connection" => Self::PROXY_CONNECTION,
            (17, Some(b't')) if name == "transfer-encoding" => Self::TRANSFER_ENCODING,
            (17, Some(b'x')) if name == "x-forwarded-proto" => Self::FORWARDED_PROTO,
            (18, Some(b'p')) if name == "proxy-authenticate" => Self::PROXY_AUTH,
            (19, Some(b'p')) if name == "proxy-authorization" => Self::PROXY_AUTH,
            (_, Some(b'x')) => extension(name),
            _ if name.contains('_') => Self::UNDERSCORE,
            _ => 0,
        }
    }
}

fn extension(name: &str) -> u32 {
    let underscore = if name.contains('_') { Facts::UNDERSCORE } else { 0 };
    let kind = if crate::forwarded::is_own(name) {
        Facts::OWN
    } else if name.starts_with("x-forwarded-") {
        Facts::FORWARDED_OTHER
    } else if name.starts_with("x-b3-") {
        Facts::B3
    } else {
        0
    };
    kind | underscore
}
