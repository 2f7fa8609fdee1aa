//! Whether an endpoint takes a connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::Endpoint;
use mesh_core::connect::{Connect, TcpConnect};

use super::{HealthCheck, HealthError, connection};
use crate::endpoint::ErasedConnect;

/// Well is who takes a connection in time: plain TCP, or with [`connect`](Self::connect) what that makes, a TLS
/// handshake for example. The connection is fresh each time and closed at once.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::Endpoint;
/// use mesh_lb::health::{HealthCheck, TcpCheck};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let endpoint = Endpoint::new(listener.local_addr()?.into());
/// assert!(TcpCheck::new(Duration::from_secs(1)).check(&endpoint).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TcpCheck {
    connect: Arc<dyn ErasedConnect>,
    limit: Duration,
}

impl TcpCheck {
    /// A connection must be taken within this time.
    pub fn new(limit: Duration) -> Self {
        Self {
            connect: <dyn ErasedConnect>::new(TcpConnect::new()),
            limit,
        }
    }

    /// Connects in another way.
    #[must_use]
    pub fn connect(mut self, connect: impl Connect) -> Self {
        self.connect = <dyn ErasedConnect>::new(connect);
        self
    }
}

impl Default for TcpCheck {
    /// Within a second, as the contract's `healthCheck.timeout`.
    fn default() -> Self {
        Self::new(Duration::from_secs(1))
    }
}

impl fmt::Debug for TcpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpCheck")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl HealthCheck for TcpCheck {
    async fn check(&self, endpoint: &Endpoint) -> Result<(), HealthError> {
        let connected = connection::open(&*self.connect, endpoint, self.limit).await?;
        connection::close(connected.io).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::connection::tests::{Far, Piped};
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
        let expected = format!("{} takes no connection: ", endpoint.id());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_no_connection_in_time_is_not_well() {
        let (connect, _) = Piped::new(Far::Hangs);
        let check = TcpCheck::new(Duration::from_millis(1500)).connect(connect);
        let error = check.check(&Piped::endpoint()).await.expect_err("nobody answers");
        assert_eq!(
            error.to_string(),
            "10.0.0.7:3001 took no connection within 1500ms"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_is_closed_in_order() {
        let (connect, mut far) = Piped::new(Far::Pipe);
        TcpCheck::default()
            .connect(connect)
            .check(&Piped::endpoint())
            .await
            .expect("it is taken");
        let mut io = far.recv().await.expect("a connection");
        let mut read = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut io, &mut read)
            .await
            .expect("closed");
        assert!(read.is_empty());
    }
}
