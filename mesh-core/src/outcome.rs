//! How a finished request is judged: once, for breakers, balancing, retries and canaries alike.

use std::fmt;

use http::{HeaderMap, HeaderName, StatusCode};

use crate::error::ErrorKind;

#[cfg(feature = "http")]
mod answered;

#[cfg(feature = "http")]
pub use answered::Answered;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A gRPC status code.
///
/// ```
/// use mesh_core::{GrpcCode, Outcome};
///
/// let mut trailers = http::HeaderMap::new();
/// trailers.insert("grpc-status", "14".parse()?);
/// let code = GrpcCode::in_fields(&trailers).expect("it is there");
/// assert_eq!(code, GrpcCode::UNAVAILABLE);
/// assert_eq!(Outcome::of_grpc(code), Outcome::Failure);
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcCode(u8);

impl GrpcCode {
    /// OK
    pub const OK: Self = Self(0);
    /// CANCELLED
    pub const CANCELLED: Self = Self(1);
    /// UNKNOWN
    pub const UNKNOWN: Self = Self(2);
    /// INVALID_ARGUMENT
    pub const INVALID_ARGUMENT: Self = Self(3);
    /// DEADLINE_EXCEEDED
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// NOT_FOUND
    pub const NOT_FOUND: Self = Self(5);
    /// ALREADY_EXISTS
    pub const ALREADY_EXISTS: Self = Self(6);
    /// PERMISSION_DENIED
    pub const PERMISSION_DENIED: Self = Self(7);
    /// RESOURCE_EXHAUSTED
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// FAILED_PRECONDITION
    pub const FAILED_PRECONDITION: Self = Self(9);
    /// ABORTED
    pub const ABORTED: Self = Self(10);
    /// OUT_OF_RANGE
    pub const OUT_OF_RANGE: Self = Self(11);
    /// UNIMPLEMENTED
    pub const UNIMPLEMENTED: Self = Self(12);
    /// INTERNAL
    pub const INTERNAL: Self = Self(13);
    /// UNAVAILABLE
    pub const UNAVAILABLE: Self = Self(14);
    /// DATA_LOSS
    pub const DATA_LOSS: Self = Self(15);
    /// UNAUTHENTICATED
    pub const UNAUTHENTICATED: Self = Self(16);

    /// The code of this number: 0 to 16.
    pub const fn new(number: u8) -> Option<Self> {
        if number <= 16 { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// What a gRPC client makes of an HTTP response that has no `grpc-status`.
    pub const fn of_http_status(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502 | 503 | 504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    /// The code in `grpc-status`, of a trailers-only response's head or of trailers. An unreadable one is
    /// UNKNOWN, as gRPC asks of clients.
    pub fn in_fields(fields: &HeaderMap) -> Option<Self> {
        let value = fields.get(GRPC_STATUS)?;
        let number = value.to_str().ok().and_then(|v| v.parse().ok());
        Some(number.and_then(Self::new).unwrap_or(Self::UNKNOWN))
    }
}

impl fmt::Display for GrpcCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a request ended, as far as its endpoint is concerned.
///
/// ```
/// use mesh_core::{ErrorKind, Outcome};
///
/// assert_eq!(Outcome::of_status(http::StatusCode::NOT_FOUND), Outcome::Success);
/// assert!(Outcome::Refused(ErrorKind::Timeout).counts_against_endpoint());
/// assert!(!Outcome::Refused(ErrorKind::Overloaded).counts_against_endpoint());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The application answered, and the answer is not its failure: 1xx to 4xx, or a gRPC code that blames
    /// the caller.
    Success,
    /// The application answered that it failed: 5xx, or a gRPC code that blames the server.
    Failure,
    /// The mesh ended it.
    Refused(ErrorKind),
}

impl Outcome {
    /// The outcome of an HTTP response.
    pub fn of_status(status: StatusCode) -> Self {
        if status.is_server_error() {
            Self::Failure
        } else {
            Self::Success
        }
    }

    /// The outcome of a gRPC response.
    pub fn of_grpc(code: GrpcCode) -> Self {
        match code {
            GrpcCode::UNKNOWN
            | GrpcCode::DEADLINE_EXCEEDED
            | GrpcCode::INTERNAL
            | GrpcCode::UNAVAILABLE
            | GrpcCode::DATA_LOSS => Self::Failure,
            _ => Self::Success,
        }
    }

    /// Whether it counts against the endpoint and its breaker.
    pub fn counts_against_endpoint(self) -> bool {
        match self {
            Self::Success => false,
            Self::Failure => true,
            Self::Refused(kind) => kind.counts_against_endpoint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: &[u8]) -> HeaderMap {
        let value = http::HeaderValue::from_bytes(value).expect("a field value");
        HeaderMap::from_iter([(GRPC_STATUS, value)])
    }

    #[test]
    fn only_the_codes_of_grpc_exist() {
        assert_eq!(GrpcCode::new(16), Some(GrpcCode::UNAUTHENTICATED));
        assert_eq!(GrpcCode::new(17), None);
    }

    #[test]
    fn a_status_field_is_read_and_an_unreadable_one_is_unknown() {
        assert_eq!(GrpcCode::in_fields(&fields(b"0")), Some(GrpcCode::OK));
        assert_eq!(
            GrpcCode::in_fields(&fields(b"16")),
            Some(GrpcCode::UNAUTHENTICATED)
        );
        for unreadable in [&b"17"[..], b"-1", b"", b"ok", b"999999", b"\xff"] {
            assert_eq!(
                GrpcCode::in_fields(&fields(unreadable)),
                Some(GrpcCode::UNKNOWN),
                "{unreadable:?}"
            );
        }
        assert_eq!(GrpcCode::in_fields(&HeaderMap::new()), None);
    }

    #[test]
    fn http_statuses_become_codes_as_grpc_clients_read_them() {
        for (status, code) in [
            (400, GrpcCode::INTERNAL),
            (401, GrpcCode::UNAUTHENTICATED),
            (403, GrpcCode::PERMISSION_DENIED),
            (404, GrpcCode::UNIMPLEMENTED),
            (429, GrpcCode::UNAVAILABLE),
            (502, GrpcCode::UNAVAILABLE),
            (503, GrpcCode::UNAVAILABLE),
            (504, GrpcCode::UNAVAILABLE),
            (200, GrpcCode::UNKNOWN),
            (500, GrpcCode::UNKNOWN),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(GrpcCode::of_http_status(status), code, "{status}");
        }
    }

    #[test]
    fn every_5xx_is_a_failure_and_nothing_else_is() {
        for number in 100..1000 {
            let status = StatusCode::from_u16(number).expect("a status");
            let failed = Outcome::of_status(status) == Outcome::Failure;
            assert_eq!(failed, (500..600).contains(&number), "{number}");
        }
    }

    #[test]
    fn grpc_codes_that_blame_the_caller_are_no_failures() {
        let failures: Vec<u8> = (0..=16)
            .filter(|number| GrpcCode::new(*number).map(Outcome::of_grpc) == Some(Outcome::Failure))
            .collect();
        assert_eq!(failures, [2, 4, 13, 14, 15]);
    }

    #[test]
    fn a_refusal_counts_as_its_kind_says() {
        assert!(!Outcome::Success.counts_against_endpoint());
        assert!(Outcome::Failure.counts_against_endpoint());
        for kind in ErrorKind::ALL {
            assert_eq!(
                Outcome::Refused(kind).counts_against_endpoint(),
                kind.counts_against_endpoint()
            );
        }
    }
}
