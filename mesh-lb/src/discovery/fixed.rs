//! Endpoints that are written down, and may be written anew.

use std::collections::HashMap;

use mesh_core::discovery::{Discover, DiscoverError, ServiceDiscovery};
use mesh_core::{EndpointSet, Live, ServiceName};

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
    type Watch = FixedWatch;

    fn watch(&self, service: &ServiceName) -> FixedWatch {
        FixedWatch::following(Live::fixed(
            self.services.get(service).cloned().unwrap_or_default(),
        ))
    }
}

/// Follows one set that is published by hand: what a reloaded configuration says.
#[derive(Debug)]
pub struct FixedWatch {
    set: Live<EndpointSet>,
    told: bool,
}

impl FixedWatch {
    /// Follows this value.
    pub fn following(set: Live<EndpointSet>) -> Self {
        Self { set, told: false }
    }
}

impl Discover for FixedWatch {
    async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
        if self.told {
            self.set.changed().await;
        }
        self.told = true;
        Ok(EndpointSet::clone(&self.set.load()))
    }
}
