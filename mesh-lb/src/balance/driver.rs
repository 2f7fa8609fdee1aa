//! Follows the fleet's roster and publishes a new snapshot for each.

use std::sync::Arc;

use arc_swap::ArcSwap;
use mesh_core::Live;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::balancer::LoadBalancer;
use crate::endpoint::{EndpointPool, ErasedConnect, PoolSettings};
use crate::fleet::{Fleet, Roster};
use crate::snapshot::Snapshot;

/// What a snapshot is built from.
pub(super) struct Rebuild {
    pub(super) fleet: Fleet,
    pub(super) balancer: Arc<dyn LoadBalancer>,
    pub(super) connect: Arc<dyn ErasedConnect>,
    pub(super) settings: PoolSettings,
    pub(super) origin: Instant,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
}

impl Rebuild {
    /// A snapshot of this roster. Endpoints that were known keep their connections.
    pub(super) fn build(&self, roster: Arc<Roster>) -> Snapshot {
        let mut pools = self.snapshot.load().pools();
        let zone = self.fleet.policy().zone.as_deref();
        let room = self.fleet.policy().limits.max_requests_per_endpoint;
        Snapshot::build(roster, &*self.balancer, zone, self.origin, room, |seat| {
            let pool = pools.entry(seat.endpoint.id().clone()).or_insert_with(|| {
                let (connect, limits) = (Arc::clone(&self.connect), Arc::clone(self.fleet.limits()));
                EndpointPool::new(Arc::clone(&seat.endpoint), connect, self.settings.clone(), limits)
            });
            Arc::clone(pool)
        })
    }
}

/// The tasks of a balancer. They end when this is dropped.
pub(super) struct Driver(Vec<JoinHandle<()>>);

impl Driver {
    /// Beside the tasks of the fleet, if that is the balancer's own.
    pub(super) fn start(mut roster: Live<Roster>, rebuild: Rebuild, mut tasks: Vec<JoinHandle<()>>) -> Self {
        tasks.push(tokio::spawn(async move {
            loop {
                roster.changed().await;
                let snapshot = rebuild.build(roster.load_full());
                rebuild.snapshot.store(Arc::new(snapshot));
            }
        }));
        Self(tasks)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}
