//! Endpoints that somebody publishes.

use mesh_core::discovery::{Discover, DiscoverError};
use mesh_core::{EndpointSet, Live};

/// Follows a set that somebody else publishes, as what a reloaded configuration says.
///
/// ```
/// use mesh_core::discovery::Discover;
/// use mesh_core::{Endpoint, EndpointSet, live};
/// use mesh_lb::discovery::LiveWatch;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let (publisher, endpoints) = live(EndpointSet::default());
/// let mut watch = LiveWatch::following(endpoints);
/// assert!(watch.next().await?.endpoints.is_empty());
/// publisher.publish(EndpointSet::new([Endpoint::new("10.0.0.7:3001".parse()?)]));
/// assert_eq!(watch.next().await?.endpoints.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LiveWatch {
    set: Live<EndpointSet>,
    told: bool,
}

impl LiveWatch {
    /// Follows this value.
    pub fn following(set: Live<EndpointSet>) -> Self {
        Self { set, told: false }
    }
}

impl Discover for LiveWatch {
    async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
        if self.told {
            self.set.changed().await;
        }
        self.told = true;
        Ok(EndpointSet::clone(&self.set.load()))
    }
}
