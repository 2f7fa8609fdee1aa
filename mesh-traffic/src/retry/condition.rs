//! After which failures a request is tried again.

use std::fmt;
use std::str::FromStr;

use http::StatusCode;
use mesh_core::GrpcCode;

/// A failure after which a request may be tried again.
///
/// As text it is `connect-failure`, `refused-stream`, `reset`, a status from 400 to 599, or the name of a gRPC status as
/// `unavailable` or `resource-exhausted`.
///
/// ```
/// use mesh_core::GrpcCode;
/// use mesh_traffic::retry::RetryOn;
///
/// assert_eq!("reset".parse(), Ok(RetryOn::Reset));
/// assert_eq!("503".parse(), Ok(RetryOn::Status(http::StatusCode::SERVICE_UNAVAILABLE)));
/// assert_eq!("unavailable".parse(), Ok(RetryOn::Grpc(GrpcCode::UNAVAILABLE)));
/// assert!("200".parse::<RetryOn>().is_err());
/// assert_eq!(RetryOn::ConnectFailure.to_string(), "connect-failure");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryOn {
    /// There was no connection.
    ConnectFailure,
    /// The endpoint refused the stream before it looked at it.
    RefusedStream,
    /// The connection broke before there was an answer.
    Reset,
    /// This status: of a response, or of what the mesh would answer (502 for a broken connection, 504 for a try that took
    /// too long). A gRPC call is tried again after what is the same in gRPC: UNAVAILABLE for 502 and 503,
    /// DEADLINE_EXCEEDED for 504, RESOURCE_EXHAUSTED for 429, INTERNAL for 500.
    Status(StatusCode),
    /// This status of a gRPC call, in the head of its response or in its trailers.
    Grpc(GrpcCode),
}

const FAILURES: [(&str, RetryOn); 19] = [
    ("connect-failure", RetryOn::ConnectFailure),
    ("refused-stream", RetryOn::RefusedStream),
    ("reset", RetryOn::Reset),
    ("cancelled", RetryOn::Grpc(GrpcCode::CANCELLED)),
    ("unknown", RetryOn::Grpc(GrpcCode::UNKNOWN)),
    ("invalid-argument", RetryOn::Grpc(GrpcCode::INVALID_ARGUMENT)),
    ("deadline-exceeded", RetryOn::Grpc(GrpcCode::DEADLINE_EXCEEDED)),
    ("not-found", RetryOn::Grpc(GrpcCode::NOT_FOUND)),
    ("already-exists", RetryOn::Grpc(GrpcCode::ALREADY_EXISTS)),
    ("permission-denied", RetryOn::Grpc(GrpcCode::PERMISSION_DENIED)),
    ("resource-exhausted", RetryOn::Grpc(GrpcCode::RESOURCE_EXHAUSTED)),
    (
        "failed-precondition",
        RetryOn::Grpc(GrpcCode::FAILED_PRECONDITION),
    ),
    ("aborted", RetryOn::Grpc(GrpcCode::ABORTED)),
    ("out-of-range", RetryOn::Grpc(GrpcCode::OUT_OF_RANGE)),
    ("unimplemented", RetryOn::Grpc(GrpcCode::UNIMPLEMENTED)),
    ("internal", RetryOn::Grpc(GrpcCode::INTERNAL)),
    ("unavailable", RetryOn::Grpc(GrpcCode::UNAVAILABLE)),
    ("data-loss", RetryOn::Grpc(GrpcCode::DATA_LOSS)),
    ("unauthenticated", RetryOn::Grpc(GrpcCode::UNAUTHENTICATED)),
];

impl RetryOn {
    /// Those of a policy that says nothing else: `connect-failure`, `refused-stream`, 502, 503, 504, `reset`.
    pub const DEFAULT: [Self; 6] = [
        Self::ConnectFailure,
        Self::RefusedStream,
        Self::Status(StatusCode::BAD_GATEWAY),
        Self::Status(StatusCode::SERVICE_UNAVAILABLE),
        Self::Status(StatusCode::GATEWAY_TIMEOUT),
        Self::Reset,
    ];

    /// The failures that have names: all but statuses.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FAILURES.iter().map(|(name, _)| *name)
    }

    /// Whether a response with this status is such a failure.
    pub(super) fn is_status(self, found: StatusCode) -> bool {
        self == Self::Status(found)
    }

    /// Whether a gRPC call that ended so is such a failure.
    pub(super) fn is_grpc(self, found: GrpcCode) -> bool {
        match self {
            Self::Grpc(code) => code == found,
            Self::Status(status) => match status.as_u16() {
                429 => found == GrpcCode::RESOURCE_EXHAUSTED,
                500 => found == GrpcCode::INTERNAL,
                502 | 503 => found == GrpcCode::UNAVAILABLE,
                504 => found == GrpcCode::DEADLINE_EXCEEDED,
                _ => false,
            },
            _ => false,
        }
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FAILURES.iter().find(|(_, failure)| failure == self);
        match (self, name) {
            (Self::Status(status), _) => f.write_str(status.as_str()),
            (_, Some((name, _))) => f.write_str(name),
            // OK, which no text asks for.
            (_, None) => f.write_str("ok"),
        }
    }
}

impl FromStr for RetryOn {
    type Err = RetryOnError;

    fn from_str(text: &str) -> Result<Self, RetryOnError> {
        if let Some((_, failure)) = FAILURES.iter().find(|(name, _)| *name == text) {
            return Ok(*failure);
        }
        let is_number = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        let status = text
            .parse::<u16>()
            .ok()
            .filter(|status| (400..600).contains(status));
        status
            .filter(|_| is_number)
            .and_then(|status| StatusCode::from_u16(status).ok())
            .map(Self::Status)
            .ok_or_else(|| RetryOnError(text.chars().take(40).collect()))
    }
}

/// Why a text is no failure to try again after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOnError(String);

impl fmt::Display for RetryOnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no failure to try again after: expected connect-failure, refused-stream, reset, a status from 400 to \
             599, or the name of a gRPC status as unavailable",
            self.0
        )
    }
}

impl std::error::Error for RetryOnError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_read_as_it_is_written() {
        for name in RetryOn::names() {
            let failure: RetryOn = name.parse().expect("known");
            assert_eq!(failure.to_string(), name);
        }
        for failure in RetryOn::DEFAULT {
            assert_eq!(failure.to_string().parse(), Ok(failure));
        }
        assert_eq!(RetryOn::names().count(), 3 + 16);
    }

    #[test]
    fn what_is_no_failure_is_refused() {
        for text in [
            "", "200", "399", "600", "0503", "+503", "5xx", "Reset", "ok", "503 ",
        ] {
            assert!(text.parse::<RetryOn>().is_err(), "{text:?}");
        }
        let refused = "rest".parse::<RetryOn>().expect_err("misspelt");
        assert!(
            refused.to_string().starts_with("\"rest\" is no failure"),
            "{refused}"
        );
    }

    #[test]
    fn statuses_have_their_like_in_grpc() {
        let of = |text: &str| text.parse::<RetryOn>().expect("known");
        assert!(of("503").is_grpc(GrpcCode::UNAVAILABLE));
        assert!(of("504").is_grpc(GrpcCode::DEADLINE_EXCEEDED));
        assert!(of("429").is_grpc(GrpcCode::RESOURCE_EXHAUSTED));
        assert!(!of("504").is_grpc(GrpcCode::UNAVAILABLE));
        assert!(!of("404").is_grpc(GrpcCode::UNIMPLEMENTED));
        assert!(!of("reset").is_grpc(GrpcCode::UNAVAILABLE));
        assert!(of("aborted").is_grpc(GrpcCode::ABORTED));
    }
}
