//! What a balancer chooses from: endpoints, and a pool of connections to each.

use std::collections::HashMap;
use std::sync::Arc;

use mesh_core::EndpointId;
use tokio::time::Instant;

use crate::endpoint::EndpointPool;
use crate::fleet::{Chooser, Link};

/// One state of a fleet, ready to choose from.
pub(super) type Pools = Chooser<Arc<EndpointPool>>;

impl Link for EndpointPool {
    fn is_resting(&self, now: Instant) -> bool {
        self.recovers(now)
    }
}

/// Every pool, each once.
pub(super) fn by_endpoint(pools: &Pools) -> HashMap<EndpointId, Arc<EndpointPool>> {
    pools
        .links()
        .map(|(endpoint, pool)| (endpoint.id().clone(), Arc::clone(pool)))
        .collect()
}
