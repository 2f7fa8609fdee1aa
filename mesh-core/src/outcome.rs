//! How a finished request is judged: once, for breakers, balancing, retries and canaries alike.

use std::fmt;

use http::{HeaderMap, StatusCode};

use crate::error::ErrorKind;

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcCode(u8);

impl GrpcCode {
    /// OK
    pub const OK: Self = Self(0);
    /// CANCELLED
    pub const CANCELLED: Self = Self(1);
    /// UNKNOWN
    pub const UNKNOWN: Self = Self(2);
    /// DEADLINE_EXCEEDED
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// PERMISSION_DENIED
    pub const PERMISSION_DENIED: Self = Self(7);
    /// RESOURCE_EXHAUSTED
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// UNIMPLEMENTED
    pub const UNIMPLEMENTED: Self = Self(12);
    /// INTERNAL
    pub const INTERNAL: Self = Self(13);
    /// UNAVAILABLE
    pub const UNAVAILABLE: Self = Self(14);
    /// DATA_LOSS
    pub const DATA_LOSS: Self = Self(15);

    /// The code of this number: 0 to 16.
    pub const fn new(number: u8) -> Option<Self> {
        if number <= 16 { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The code in `grpc-status`, of a trailers-only response's head or of trailers. An unreadable one is
    /// UNKNOWN, as gRPC asks of clients.
    pub fn in_fields(fields: &HeaderMap) -> Option<Self> {
        let value = fields.get("grpc-status")?;
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
        if status.is_server_error() { Self::Failure } else { Self::Success }
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
