//! Whether an endpoint is well, asked of it directly.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use mesh_core::connect::{Connect, TcpConnect};
use mesh_core::{BoxError, Endpoint};
use tokio::time::timeout;

/// Asks one endpoint once. How often, and how many answers in a row count, is the caller's affair.
///
/// ```
/// use mesh_core::Endpoint;
/// use mesh_lb::health::{HealthCheck, HealthError};
///
/// /// Well is who listens on a port of the upper half.
/// struct UpperHalf;
///
/// impl HealthCheck for UpperHalf {
///     async fn check(&self, endpoint: &Endpoint) -> Result<(), HealthError> {
///         match endpoint.address.to_string().rsplit(':').next().and_then(|port| port.parse::<u16>().ok()) {
///             Some(0x8000..) => Ok(()),
///             _ => Err(HealthError::new("it listens on a port of the lower half")),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// assert!(UpperHalf.check(&Endpoint::new("127.0.0.1:80".parse()?)).await.is_err());
/// # Ok(()) }
/// ```
pub trait HealthCheck: Send + Sync + 'static {
    /// Asks the endpoint. Dropping the future gives the question up.
    fn check(&self, endpoint: &Endpoint) -> impl Future<Output = Result<(), HealthError>> + Send;
}

/// Why an endpoint is not well.
#[derive(Debug)]
pub struct HealthError {
    message: String,
    source: Option<BoxError>,
}

impl HealthError {
    /// What was wrong with the answer, or why there was none.
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

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HealthError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}

/// Well is who takes a TCP connection in time.
#[derive(Clone, Copy, Debug)]
pub struct TcpCheck {
    limit: Duration,
}

impl TcpCheck {
    /// A connection must be taken within this time.
    pub fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl Default for TcpCheck {
    /// Within a second, as the contract's `healthCheck.timeout`.
    fn default() -> Self {
        Self::new(Duration::from_secs(1))
    }
}

impl HealthCheck for TcpCheck {
    async fn check(&self, endpoint: &Endpoint) -> Result<(), HealthError> {
        match timeout(self.limit, TcpConnect::new().connect(endpoint)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let message = format!("{} takes no connection: {error}", endpoint.id());
                Err(HealthError::new(message).with_source(error))
            }
            Err(_) => Err(HealthError::new(format!(
                "{} took no connection within {:?}",
                endpoint.id(),
                self.limit
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_listens_is_well_and_who_does_not_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = Endpoint::new(listener.local_addr().expect("bound").into());
        TcpCheck::default().check(&endpoint).await.expect("it listens");
        drop(listener);
        let error = TcpCheck::default()
            .check(&endpoint)
            .await
            .expect_err("nobody listens");
        assert!(error.to_string().contains(&endpoint.id().to_string()), "{error}");
    }
}
