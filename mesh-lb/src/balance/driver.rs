//! Follows discovery and publishes a new snapshot for each new set.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mesh_core::backoff::Backoff;
use mesh_core::discovery::Discover;
use mesh_core::{EndpointSet, ServiceName, Version};
use tokio::task::JoinHandle;

use crate::balancer::LoadBalancer;
use crate::endpoint::{EndpointPool, ErasedConnect, PoolSettings, ServiceLimits};
use crate::load::Loads;
use crate::snapshot::{Slot, Snapshot};

/// What a snapshot is built from.
pub(super) struct Rebuild {
    pub(super) service: ServiceName,
    pub(super) balancer: Arc<dyn LoadBalancer>,
    pub(super) connect: Arc<dyn ErasedConnect>,
    pub(super) settings: PoolSettings,
    pub(super) stable: Option<Version>,
    pub(super) loads: Loads,
    pub(super) limits: Arc<ServiceLimits>,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
}

impl Rebuild {
    /// A snapshot of this set. Endpoints that were known keep their connections and their load.
    pub(super) fn build(&self, set: &EndpointSet) -> Snapshot {
        let mut pools = self.snapshot.load().pools();
        Snapshot::build(set, self.stable.as_ref(), &*self.balancer, |endpoint| {
            let pool = pools.entry(endpoint.id().clone()).or_insert_with(|| {
                let (connect, limits) = (Arc::clone(&self.connect), Arc::clone(&self.limits));
                EndpointPool::new(Arc::clone(endpoint), connect, self.settings.clone(), limits)
            });
            Slot {
                endpoint: Arc::clone(endpoint),
                load: self.loads.of(endpoint.id()),
                pool: Arc::clone(pool),
            }
        })
    }
}

/// The task that follows discovery. It ends when this is dropped.
pub(super) struct Driver(JoinHandle<()>);

impl Driver {
    pub(super) fn start(mut discover: impl Discover, rebuild: Rebuild) -> Self {
        Self(tokio::spawn(async move {
            let mut rng = fastrand::Rng::new();
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
            loop {
                match discover.next().await {
                    Ok(set) => {
                        backoff.reset();
                        rebuild.snapshot.store(Arc::new(rebuild.build(&set)));
                    }
                    Err(error) => {
                        let wait = backoff.next(&mut rng);
                        let service = &rebuild.service;
                        tracing::warn!(%service, %error, ?wait, "discovery failed; the last endpoints stay in use");
                        tokio::time::sleep(wait).await;
                    }
                }
            }
        }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
