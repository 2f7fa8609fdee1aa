//! Why a controller could not go on.

use std::fmt;

use mesh_core::split::SplitError;

use crate::log::{LogError, StartError};
use crate::store::StoreError;

/// A controller could not go on. The next call reads the log again.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControllerError {
    /// The log could not be read or written.
    Store(StoreError),
    /// The log says what cannot have been.
    Log(LogError),
    /// The rollout does not start.
    Start(StartError),
    /// The router was not told who is stable; the next tick tries again.
    Split(SplitError),
}

impl fmt::Display for ControllerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Log(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::Split(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ControllerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The message is its own: what is behind it comes next.
        match self {
            Self::Store(error) => error.source(),
            Self::Split(error) => error.source(),
            Self::Log(_) | Self::Start(_) => None,
        }
    }
}

impl From<StoreError> for ControllerError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<LogError> for ControllerError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<StartError> for ControllerError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<SplitError> for ControllerError {
    fn from(error: SplitError) -> Self {
        Self::Split(error)
    }
}
