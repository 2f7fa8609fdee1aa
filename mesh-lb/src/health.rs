//! Whether an endpoint is well, asked of it directly.
//!
//! A check asks once: [`TcpCheck`] whether a connection is taken, [`HttpCheck`] for a path, [`GrpcCheck`] the
//! health service of gRPC. [`HealthState`] makes an opinion of the answers, [`Schedule`] says when the next
//! question is due, and [`HealthDriver`] asks.

use std::fmt;
use std::future::Future;

use mesh_core::{BoxError, Endpoint};

mod agenda;
mod connection;
mod driver;
mod grpc;
mod http;
mod schedule;
mod state;
mod tcp;

pub use driver::{HealthDriver, HealthSettings, HealthSink};
pub use grpc::GrpcCheck;
pub use http::HttpCheck;
pub use schedule::{Asked, Schedule};
pub use state::{Change, HealthState, NewEndpoints, Thresholds};
pub use tcp::TcpCheck;

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
