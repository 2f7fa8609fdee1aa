//! One error for the whole mesh, and the one table that says what each kind of it means.
//!
//! A refusal has the same meaning in a response, a metric, an access log, a retry decision and a canary's
//! evidence, because all of them ask [`ErrorKind`].

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::outcome::GrpcCode;

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Why the mesh itself refused or failed a request.
///
/// ```
/// use mesh_core::ErrorKind;
///
/// assert_eq!(ErrorKind::CircuitOpen.code(), "circuit_open");
/// assert_eq!(ErrorKind::CircuitOpen.http_status(), 503);
/// assert!(!ErrorKind::CircuitOpen.counts_against_endpoint());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is malformed or over a limit. It was not forwarded.
    BadRequest,
    /// No rule allows this identity to do this.
    Unauthorized,
    /// No rule and no service matches.
    NoRoute,
    /// Over the rate limit.
    RateLimited,
    /// A configured fault.
    FaultInjected,
    /// The breaker of the service is open.
    CircuitOpen,
    /// Every endpoint is unhealthy or ejected, or there is none.
    NoHealthyEndpoint,
    /// A concurrency, connection or queue limit is reached.
    Overloaded,
    /// No connection to the endpoint could be made.
    UpstreamConnect,
    /// The endpoint's connection broke, or its answer was malformed.
    UpstreamReset,
    /// The deadline passed.
    Timeout,
}

/// Whether a request that ended so had been sent to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Certainly not: the application saw nothing of it.
    No,
    /// Perhaps: the application may have acted on it.
    Maybe,
}

/// Whether a request that ended so may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetrySafe {
    /// It would end the same way.
    No,
    /// After the time the answer names.
    Later,
    /// As a response of the injected status would be.
    AsItsStatus,
    /// To another endpoint or service.
    Elsewhere,
    /// At once: nothing of it was sent.
    Yes,
    /// Only if the request is idempotent.
    Idempotent,
}

/// Whether a request that ended so counts as an error of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CanaryError {
    /// The canary has nothing to do with it.
    No,
    /// If the request was meant for the canary.
    IfMeantForCanary,
    /// The canary failed.
    Yes,
}

impl ErrorKind {
    /// Every kind, in the order of the contract's table.
    pub const ALL: [Self; 11] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::NoRoute,
        Self::RateLimited,
        Self::FaultInjected,
        Self::CircuitOpen,
        Self::NoHealthyEndpoint,
        Self::Overloaded,
        Self::UpstreamConnect,
        Self::UpstreamReset,
        Self::Timeout,
    ];

    /// The stable code: header `x-mesh-error`, label `reason`, access log, spans.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::NoRoute => "no_route",
            Self::RateLimited => "rate_limited",
            Self::FaultInjected => "fault_injected",
            Self::CircuitOpen => "circuit_open",
            Self::NoHealthyEndpoint => "no_healthy_endpoint",
            Self::Overloaded => "overloaded",
            Self::UpstreamConnect => "upstream_connect",
            Self::UpstreamReset => "upstream_reset",
            Self::Timeout => "timeout",
        }
    }

    /// The HTTP status of the refusal. An injected fault carries its own ([`Error::http_status`]); without
    /// one it is 503.
    pub const fn http_status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::FaultInjected | Self::CircuitOpen | Self::NoHealthyEndpoint | Self::Overloaded => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UpstreamConnect | Self::UpstreamReset => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The gRPC code of the refusal.
    pub const fn grpc_code(self) -> GrpcCode {
        match self {
            Self::BadRequest => GrpcCode::INTERNAL,
            Self::Unauthorized => GrpcCode::PERMISSION_DENIED,
            Self::NoRoute => GrpcCode::UNIMPLEMENTED,
            Self::RateLimited => GrpcCode::RESOURCE_EXHAUSTED,
            Self::FaultInjected
            | Self::CircuitOpen
            | Self::NoHealthyEndpoint
            | Self::Overloaded
            | Self::UpstreamConnect
            | Self::UpstreamReset => GrpcCode::UNAVAILABLE,
            Self::Timeout => GrpcCode::DEADLINE_EXCEEDED,
        }
    }

    /// Whether the application may have seen the request.
    pub const fn sent_upstream(self) -> Sent {
        match self {
            Self::UpstreamReset | Self::Timeout => Sent::Maybe,
            _ => Sent::No,
        }
    }

    /// Whether the request may be sent again.
    pub const fn retry_safe(self) -> RetrySafe {
        match self {
            Self::BadRequest | Self::Unauthorized | Self::NoRoute => RetrySafe::No,
            Self::RateLimited => RetrySafe::Later,
            Self::FaultInjected => RetrySafe::AsItsStatus,
            Self::CircuitOpen | Self::NoHealthyEndpoint | Self::Overloaded => RetrySafe::Elsewhere,
            Self::UpstreamConnect => RetrySafe::Yes,
            Self::UpstreamReset | Self::Timeout => RetrySafe::Idempotent,
        }
    }

    /// Whether the endpoint and its breaker are to blame.
    pub const fn counts_against_endpoint(self) -> bool {
        matches!(self, Self::UpstreamConnect | Self::UpstreamReset | Self::Timeout)
    }

    /// Whether a canary is to blame.
    pub const fn canary_error(self) -> CanaryError {
        match self {
            Self::CircuitOpen | Self::NoHealthyEndpoint => CanaryError::IfMeantForCanary,
            Self::UpstreamConnect | Self::UpstreamReset | Self::Timeout => CanaryError::Yes,
            _ => CanaryError::No,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An error of the mesh: its [kind](Error::kind), a sentence for a human, and the cause beneath.
///
/// ```
/// use mesh_core::{Error, ErrorKind};
///
/// let cause = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
/// let error = Error::new(ErrorKind::UpstreamConnect, "no connection to 10.0.0.7:3001").with_source(cause);
/// assert_eq!(error.kind(), ErrorKind::UpstreamConnect);
/// assert_eq!(error.to_string(), "upstream_connect: no connection to 10.0.0.7:3001");
///
/// // A layer in between may box it; the kind is not lost.
/// let boxed: mesh_core::BoxError = error.into();
/// assert_eq!(Error::wrap(boxed).kind(), ErrorKind::UpstreamConnect);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    status: Option<StatusCode>,
    grpc: Option<GrpcCode>,
    retry_after: Option<Duration>,
    not_processed: bool,
    attempts: Option<u32>,
    source: Option<BoxError>,
}

impl Error {
    /// An error of this kind. `message` says what happened, where, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            status: None,
            grpc: None,
            retry_after: None,
            not_processed: false,
            attempts: None,
            source: None,
        }))
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Answers with this status instead of the kind's: an injected fault, a request head that is too large.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Answers a gRPC call with this code instead of the kind's: an injected fault.
    ///
    /// ```
    /// use mesh_core::{Error, ErrorKind, GrpcCode};
    ///
    /// let error = Error::new(ErrorKind::FaultInjected, "as configured").with_grpc_code(GrpcCode::ABORTED);
    /// assert_eq!(error.grpc_code(), GrpcCode::ABORTED);
    /// ```
    #[must_use]
    pub fn with_grpc_code(mut self, code: GrpcCode) -> Self {
        self.0.grpc = Some(code);
        self
    }

    /// Says when to ask again: the refusal's `retry-after`, in whole seconds, rounded up.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mesh_core::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::CircuitOpen, "it rests").with_retry_after(Duration::from_millis(1200));
    /// assert_eq!(error.retry_after(), Some(Duration::from_millis(1200)));
    /// ```
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// The endpoint said that it did nothing with the request: it refused an HTTP/2 stream. Whatever the kind, the
    /// application saw nothing of it.
    ///
    /// ```
    /// use mesh_core::error::Sent;
    /// use mesh_core::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::UpstreamReset, "the endpoint refused the stream");
    /// assert_eq!(error.sent_upstream(), Sent::Maybe);
    /// assert_eq!(error.not_processed().sent_upstream(), Sent::No);
    /// ```
    #[must_use]
    pub fn not_processed(mut self) -> Self {
        self.0.not_processed = true;
        self
    }

    /// So often it was tried, by a layer that tries again and gave up. Whoever called need not try again: a call tree
    /// does so at one layer only.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    /// Takes any error. A mesh error that was boxed on the way comes back as it was. One that is the cause of
    /// something else, as of a body that hyper gave up reading, lends it kind, message, status and when to ask again. Anything else
    /// is [`ErrorKind::UpstreamReset`], since something broke after the request had been accepted.
    pub fn wrap(error: impl Into<BoxError>) -> Self {
        let other = match error.into().downcast::<Self>() {
            Ok(error) => return *error,
            Err(other) => other,
        };
        let beneath = std::iter::successors(other.source(), |error| (*error).source())
            .find_map(|error| error.downcast_ref::<Self>())
            .map(Self::without_source);
        let mut error = beneath.unwrap_or_else(|| Self::new(ErrorKind::UpstreamReset, other.to_string()));
        error.0.source = Some(other);
        error
    }

    fn without_source(&self) -> Self {
        let Inner {
            kind,
            message,
            status,
            grpc,
            not_processed,
            attempts,
            retry_after,
            source: _,
        } = &*self.0;
        Self(Box::new(Inner {
            kind: *kind,
            message: message.clone(),
            status: *status,
            grpc: *grpc,
            not_processed: *not_processed,
            attempts: *attempts,
            retry_after: *retry_after,
            source: None,
        }))
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence, without the kind.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the application may have seen the request: as the kind says, unless the endpoint said that it did
    /// [nothing with it](Self::not_processed).
    pub fn sent_upstream(&self) -> Sent {
        match self.0.not_processed {
            true => Sent::No,
            false => self.0.kind.sent_upstream(),
        }
    }

    /// How often it was tried, if a layer that tries again gave up.
    pub fn attempts(&self) -> Option<u32> {
        self.0.attempts
    }

    /// The status a refusal of this error answers with.
    pub fn http_status(&self) -> StatusCode {
        self.0.status.unwrap_or_else(|| self.0.kind.http_status())
    }

    /// When to ask again, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The gRPC code a refusal of this error answers with. An injected fault's is, unless it has one of its own,
    /// the one that gRPC reads from its status.
    pub fn grpc_code(&self) -> GrpcCode {
        match (self.0.grpc, self.0.kind, self.0.status) {
            (Some(code), ..) => code,
            (None, ErrorKind::FaultInjected, Some(status)) => GrpcCode::of_http_status(status),
            (None, kind, _) => kind.grpc_code(),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("Error");
        s.field("kind", &self.0.kind).field("message", &self.0.message);
        if let Some(status) = &self.0.status {
            s.field("status", status);
        }
        if let Some(code) = &self.0.grpc {
            s.field("grpc", code);
        }
        if let Some(after) = &self.0.retry_after {
            s.field("retry_after", after);
        }
        if self.0.not_processed {
            s.field("not_processed", &true);
        }
        if let Some(attempts) = &self.0.attempts {
            s.field("attempts", attempts);
        }
        if let Some(source) = &self.0.source {
            s.field("source", source);
        }
        s.finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests;
