//! Endpoints that are written down.

use std::collections::HashMap;

use mesh_core::discovery::ServiceDiscovery;
use mesh_core::{EndpointSet, Live, ServiceName};

use super::LiveWatch;

/// Endpoints written down in the program or its configuration.
///
/// ```
/// use mesh_core::discovery::{Discover, ServiceDiscovery};
/// use mesh_core::{Endpoint, EndpointSet, ServiceName};
/// use mesh_lb::discovery::Fixed;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let orders: ServiceName = "orders".parse()?;
/// let endpoints = EndpointSet::new([Endpoint::new("10.0.0.7:3001".parse()?)]);
/// let discovery = Fixed::new([(orders.clone(), endpoints)]);
/// assert_eq!(discovery.watch(&orders).next().await?.endpoints.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    services: HashMap<ServiceName, EndpointSet>,
}

impl Fixed {
    /// These services with these endpoints.
    pub fn new(services: impl IntoIterator<Item = (ServiceName, EndpointSet)>) -> Self {
        Self {
            services: services.into_iter().collect(),
        }
    }
}

impl ServiceDiscovery for Fixed {
    type Watch = LiveWatch;

    fn watch(&self, service: &ServiceName) -> LiveWatch {
        LiveWatch::following(Live::fixed(
            self.services.get(service).cloned().unwrap_or_default(),
        ))
    }
}
