//! Where endpoints come from.

use std::fmt;
use std::future::Future;

use crate::endpoint::EndpointSet;
use crate::error::BoxError;
use crate::name::ServiceName;

/// Follows the endpoints of one service.
///
/// ```
/// use mesh_core::EndpointSet;
/// use mesh_core::discovery::{Discover, DiscoverError};
///
/// /// Knows one set and never another.
/// struct Once(Option<EndpointSet>);
///
/// impl Discover for Once {
///     async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
///         match self.0.take() {
///             Some(set) => Ok(set),
///             None => std::future::pending().await,
///         }
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(async {
/// let mut discover = Once(Some(EndpointSet::default()));
/// assert_eq!(discover.next().await.expect("known"), EndpointSet::default());
/// # });
/// ```
pub trait Discover: Send + 'static {
    /// The next whole set. The first call answers as soon as anything is known; later calls wait for news:
    /// another set, or the same one again if it was found to hold still, so that its age is known. Also the
    /// first good answer after an error is told, whether the set has changed or not. Cancel-safe: a dropped
    /// call loses nothing. After an error the caller keeps the last set and calls again, with back-off.
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
        Self {
            message: message.into(),
            source: None,
        }
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
        self.source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn an_error_tells_what_happened_and_keeps_its_cause() {
        let cause = std::io::Error::from(std::io::ErrorKind::TimedOut);
        let error = DiscoverError::new("the name server does not answer for orders").with_source(cause);
        assert_eq!(error.to_string(), "the name server does not answer for orders");
        assert!(error.source().is_some_and(|source| source.is::<std::io::Error>()));
        assert!(DiscoverError::new("x").source().is_none());
    }
}
