//! Bounded labels: the only way from a request to a label value.
//!
//! A label that a client could choose freely would be a series, and memory, for each value a client thinks
//! of. So every value that comes with a request is one of a closed set, and all others are `other`:
//!
//! | label | values |
//! |---|---|
//! | `method` | the nine of RFC 9110 and RFC 5789, or `other` |
//! | `status` | `100` to `599`, or `other`; `499`: the client went away before there was a response |
//! | `protocol` | `http1`, `http2`, `grpc` (by content type), or `other` |
//! | `reason` | empty, or a code of [`ErrorKind`] |
//! | `source_service` | `unknown` without a verified identity; the first [100](crate::TelemetryBuilder::max_sources) names seen; then `other` |
//!
//! `target_service`, `version`, `route` and `direction` come from configuration and discovery. Their texts
//! are cut to 128 characters, and what would need escaping becomes `_`.
//!
//! The *product* of these sets is bounded too. Once a process has
//! [1000](crate::TelemetryBuilder::max_series) combinations, further ones are counted as
//! `source_service="other", method="other", protocol="other"` and the class of the status (`5xx`): sums
//! stay right, and so do queries for `status=~"5.."`, which match the class as they match the code.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, Method, StatusCode, Version};
use mesh_core::ErrorKind;

mod sources;

pub use sources::SourceId;
pub(crate) use sources::Sources;

/// The value of a label that has no better one.
pub const OTHER: &str = "other";

/// The longest value of a label that comes from configuration, in characters.
const LONGEST: usize = 128;

/// The label `method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodLabel(u8);

const METHODS: [&str; 10] = [
    OTHER, "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

impl MethodLabel {
    /// Any method that is not one of the nine.
    pub const OTHER: Self = Self(0);
    /// `GET`
    pub const GET: Self = Self(1);

    /// The label of a method.
    ///
    /// ```
    /// use http::Method;
    /// use mesh_telemetry::labels::MethodLabel;
    ///
    /// assert_eq!(MethodLabel::of(&Method::PATCH).as_str(), "PATCH");
    /// assert_eq!(MethodLabel::of(&Method::from_bytes(b"BREW")?).as_str(), "other");
    /// # Ok::<(), http::method::InvalidMethod>(())
    /// ```
    pub fn of(method: &Method) -> Self {
        Self(match *method {
            Method::GET => 1,
            Method::HEAD => 2,
            Method::POST => 3,
            Method::PUT => 4,
            Method::DELETE => 5,
            Method::CONNECT => 6,
            Method::OPTIONS => 7,
            Method::TRACE => 8,
            Method::PATCH => 9,
            _ => 0,
        })
    }

    /// Of [`RequestLabels::pack`].
    pub(crate) const fn from_packed(labels: u64) -> Self {
        Self((labels >> 16) as u8)
    }

    /// The value.
    pub fn as_str(self) -> &'static str {
        METHODS.get(usize::from(self.0)).copied().unwrap_or(OTHER)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0 as u64
    }
}

/// The label `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Neither of the others.
    Other,
    /// HTTP/1.1 or older.
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC, over whatever version of HTTP.
    Grpc,
}

impl Protocol {
    /// The protocol of a request of this version and these header fields.
    ///
    /// ```
    /// use http::{HeaderMap, Version};
    /// use mesh_telemetry::labels::Protocol;
    ///
    /// let mut fields = HeaderMap::new();
    /// assert_eq!(Protocol::of(Version::HTTP_2, &fields), Protocol::Http2);
    /// fields.insert("content-type", http::HeaderValue::from_static("application/grpc+proto"));
    /// assert_eq!(Protocol::of(Version::HTTP_2, &fields), Protocol::Grpc);
    /// ```
    pub fn of(version: Version, headers: &HeaderMap) -> Self {
        match mesh_core::reject::is_grpc(headers) {
            true => Self::Grpc,
            false => Self::of_version(version),
        }
    }

    pub(crate) const fn of_version(version: Version) -> Self {
        match version {
            Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11 => Self::Http1,
            Version::HTTP_2 => Self::Http2,
            _ => Self::Other,
        }
    }

    /// The value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Other => OTHER,
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
        }
    }

    pub(crate) const fn number(self) -> u64 {
        self as u64
    }

    /// Of [`RequestLabels::pack`].
    pub(crate) fn from_packed(labels: u64) -> Self {
        let number = labels >> 24 & 0xff;
        let known = [Self::Http1, Self::Http2, Self::Grpc].into_iter();
        known
            .into_iter()
            .find(|known| known.number() == number)
            .unwrap_or(Self::Other)
    }
}

/// The label `status` (`code` in `http_requests_total`): a code, the class of one, or `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatusLabel(u16);

impl StatusLabel {
    /// Not 100 to 599.
    pub const OTHER: Self = Self(0);
    /// `499`: the client went away before there was a response.
    pub const CLIENT_GONE: Self = Self(499);

    /// The label of a status.
    ///
    /// ```
    /// use http::StatusCode;
    /// use mesh_telemetry::labels::StatusLabel;
    ///
    /// assert_eq!(StatusLabel::of(StatusCode::NOT_FOUND).to_string(), "404");
    /// assert_eq!(StatusLabel::of(StatusCode::NOT_FOUND).class().to_string(), "4xx");
    /// assert_eq!(StatusLabel::of(StatusCode::from_u16(999)?).to_string(), "other");
    /// # Ok::<(), http::status::InvalidStatusCode>(())
    /// ```
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            code @ 100..=599 => Self(code),
            _ => Self::OTHER,
        }
    }

    /// The class: `2xx` of `204`.
    #[must_use]
    pub const fn class(self) -> Self {
        if self.0 >= 100 { Self(self.0 / 100) } else { self }
    }

    pub(crate) fn text(self) -> Cow<'static, str> {
        match self.0 {
            1 => "1xx".into(),
            2 => "2xx".into(),
            3 => "3xx".into(),
            4 => "4xx".into(),
            5 => "5xx".into(),
            code @ 100..=599 => code.to_string().into(),
            _ => OTHER.into(),
        }
    }

    pub(crate) const fn number(self) -> u64 {
        self.0 as u64
    }

    /// Of [`RequestLabels::pack`].
    pub(crate) const fn from_packed(labels: u64) -> Self {
        Self((labels >> 32) as u16)
    }
}

impl fmt::Display for StatusLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// The label `reason`.
pub(crate) const fn reason(kind: Option<ErrorKind>) -> &'static str {
    match kind {
        Some(kind) => kind.code(),
        None => "",
    }
}

/// Of [`RequestLabels::pack`].
pub(crate) fn reason_from_packed(labels: u64) -> Option<ErrorKind> {
    let number = labels >> 48;
    ErrorKind::ALL
        .into_iter()
        .find(|kind| reason_number(Some(*kind)) == number)
}

pub(crate) fn reason_number(kind: Option<ErrorKind>) -> u64 {
    kind.map_or(0, |kind| kind as u64 + 1)
}

/// What of a request becomes labels, besides its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestLabels {
    /// Who sent it.
    pub source: SourceId,
    /// Its method.
    pub method: MethodLabel,
    /// Its protocol.
    pub protocol: Protocol,
    /// The status of its response.
    pub status: StatusLabel,
    /// Why the mesh itself refused or failed it.
    pub reason: Option<ErrorKind>,
}

impl RequestLabels {
    /// All of it in one word: two requests are counted together if and only if these are equal.
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.source.number())
            | self.method.number() << 16
            | self.protocol.number() << 24
            | self.status.number() << 32
            | reason_number(self.reason) << 48
    }

    /// The same with only the class of the status, as durations are kept.
    #[must_use]
    pub(crate) fn by_class(self) -> Self {
        Self {
            status: self.status.class(),
            ..self
        }
    }

    /// The same without what a client can choose.
    #[must_use]
    pub(crate) fn folded(self) -> Self {
        Self {
            source: SourceId::OTHER,
            method: MethodLabel::OTHER,
            protocol: Protocol::Other,
            status: self.status.class(),
            reason: self.reason,
        }
    }
}

/// A text of the configuration as a label value that needs no escaping.
pub(crate) fn configured(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() || matches!(c, '"' | '\\') {
            '_'
        } else {
            c
        }
    };
    text.chars().take(LONGEST).map(plain).collect()
}

#[cfg(test)]
mod tests;
