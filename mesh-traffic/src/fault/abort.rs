//! How a request is ended on purpose.

use std::fmt;

use http::StatusCode;
use mesh_core::{Error, ErrorKind, GrpcCode};

/// How a request is ended on purpose: with an HTTP status, or a gRPC status if it is a gRPC call.
///
/// ```
/// use mesh_core::GrpcCode;
/// use mesh_traffic::fault::Abort;
///
/// let abort = Abort::new(503).expect("a status").with_grpc_code(GrpcCode::ABORTED);
/// assert_eq!(abort.error().http_status(), 503);
/// assert_eq!(abort.error().grpc_code(), GrpcCode::ABORTED);
/// assert_eq!(Abort::new(101), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    status: StatusCode,
    grpc: Option<GrpcCode>,
}

impl Abort {
    /// Ends it with this status: 200 to 599, but 204, 205 or 304, whose answers could not say that they were made on
    /// purpose. A gRPC call gets the code that fits it.
    pub fn new(status: u16) -> Option<Self> {
        let status = StatusCode::from_u16(status).ok()?;
        let has_content = !matches!(status.as_u16(), 204 | 205 | 304);
        ((200..600).contains(&status.as_u16()) && has_content).then_some(Self { status, grpc: None })
    }

    /// The same, with this code for gRPC calls.
    #[must_use]
    pub fn with_grpc_code(self, code: GrpcCode) -> Self {
        Self {
            grpc: Some(code),
            ..self
        }
    }

    /// The error to refuse the request with.
    pub fn error(&self) -> Error {
        let error = Error::new(
            ErrorKind::FaultInjected,
            "this request was ended on purpose, as faults are configured",
        );
        let error = error.with_status(self.status);
        match self.grpc {
            Some(code) => error.with_grpc_code(code),
            None => error,
        }
    }
}

/// As `503`, or `503 (gRPC 14)`.
impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        match self.grpc {
            Some(code) => write!(f, " (gRPC {code})"),
            None => Ok(()),
        }
    }
}
