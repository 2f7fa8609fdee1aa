//! Why there is no identity.

use std::fmt;

use mesh_core::BoxError;

/// An identity could not be had, or not be used.
#[derive(Debug)]
pub struct IdentityError {
    message: String,
    source: Option<BoxError>,
}

impl IdentityError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// The cause is told in the message too: who reads a log sees one line.
    pub(crate) fn because(message: impl fmt::Display, cause: impl Into<BoxError>) -> Self {
        let cause = cause.into();
        Self {
            message: format!("{message}: {cause}"),
            source: Some(cause),
        }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}
