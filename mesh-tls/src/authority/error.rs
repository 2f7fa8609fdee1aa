//! Why a CA did not do what it was asked for.

use std::fmt;
use std::time::Duration;

use mesh_core::BoxError;

/// What went wrong, as far as the caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CaErrorKind {
    /// The request is malformed, or asks for a key, a name or a lifetime that is not allowed. It would fail again.
    InvalidRequest,
    /// Who asked did not prove to be who the certificate is to name. New proof may help.
    Denied,
    /// Too many requests: ask again after [`CaError::retry_after`].
    Throttled,
    /// The CA does not answer; it may later.
    Unavailable,
    /// The CA's answer cannot be used.
    InvalidAnswer,
    /// The issuer ends so soon that a certificate of it would be doomed: the CA has to be rotated first.
    IssuerExpiring,
    /// This certificate was not issued here.
    UnknownCertificate,
    /// A step of a rotation that is not possible now.
    WrongState,
    /// Another replica of the CA changed the same at the same time.
    Conflict,
    /// The CA's clock is behind what it signed before: it signs nothing until that is mended.
    Clock,
    /// What has to be kept could not be stored.
    Storage,
    /// This authority cannot do that.
    Unsupported,
    /// Something that should not happen.
    Internal,
}

/// A CA did not do what it was asked for.
///
/// ```
/// use std::time::Duration;
/// use mesh_tls::{CaError, CaErrorKind};
///
/// let error = CaError::new(CaErrorKind::Throttled, "the CA signs 100 certificates a second")
///     .with_retry_after(Duration::from_secs(2));
/// assert!(error.is_transient());
/// assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
/// ```
#[derive(Debug)]
pub struct CaError {
    kind: CaErrorKind,
    message: String,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

impl CaError {
    /// What went wrong, and a sentence that says what to do.
    pub fn new(kind: CaErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
            source: None,
        }
    }

    /// With how long to wait before asking again.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> CaErrorKind {
        self.kind
    }

    /// How long the CA asks to wait, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same request may succeed later without the caller changing anything.
    pub fn is_transient(&self) -> bool {
        match self.kind {
            CaErrorKind::Throttled
            | CaErrorKind::Unavailable
            | CaErrorKind::Conflict
            | CaErrorKind::Clock
            | CaErrorKind::Storage
            | CaErrorKind::IssuerExpiring => true,
            CaErrorKind::InvalidRequest
            | CaErrorKind::Denied
            | CaErrorKind::InvalidAnswer
            | CaErrorKind::UnknownCertificate
            | CaErrorKind::WrongState
            | CaErrorKind::Unsupported
            | CaErrorKind::Internal => false,
        }
    }
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}
