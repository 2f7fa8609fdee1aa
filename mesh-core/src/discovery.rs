//! Where endpoints come from.

use std::fmt;
use std::future::Future;

use crate::endpoint::EndpointSet;
use crate::error::BoxError;
use crate::name::ServiceName;

/// Follows the endpoints of one service.
pub trait Discover: Send + 'static {
    /// The next whole set. The first call answers as soon as anything is known; later calls wait for a
    /// change. Cancel-safe: a dropped call loses nothing. After an error the caller keeps the last set and
    /// calls again, with back-off.
    fn next(&mut self) -> impl Future<Output = Result<EndpointSet, DiscoverError>> + Send;
}

/// Finds services by name.
pub trait ServiceDiscovery: Send + Sync + 'static {
    /// What follows one service.
    type Watch: Discover;

    /// Starts to follow the service. An unknown service is not an error here: its set is empty, or
    /// [`Discover::next`] says what is wrong.
    fn watch(&self, service: &ServiceName) -> Self::Watch;
}

/// Discovery could not say what the endpoints are.
#[derive(Debug)]
pub struct DiscoverError {
    message: String,
    source: Option<BoxError>,
}

impl DiscoverError {
    /// What happened and what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for DiscoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DiscoverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}
