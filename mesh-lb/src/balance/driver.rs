//! Follows the fleet's roster and publishes a new snapshot for each.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use futures_util::stream;
use mesh_core::Live;
use tokio::task::{JoinHandle, JoinSet};
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
                let (endpoint, load) = (Arc::clone(&seat.endpoint), Arc::clone(seat.member.load()));
                let (connect, limits) = (Arc::clone(&self.connect), Arc::clone(self.fleet.limits()));
                EndpointPool::new(endpoint, load, connect, self.settings.clone(), limits)
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
            let mut warming = JoinSet::new();
            loop {
                roster.changed().await;
                let known = rebuild.snapshot.load_full();
                let next = Arc::new(rebuild.build(roster.load_full()));
                rebuild.snapshot.store(Arc::clone(&next));
                while warming.try_join_next().is_some() {}
                if rebuild.settings.warm_up && !known.is_empty() {
                    warming.spawn(warm_up(known, next));
                }
            }
        }));
        Self(tasks)
    }
}

/// Opens a connection to each endpoint that takes requests and was not there before, a few at a time.
async fn warm_up(before: Arc<Snapshot>, now: Arc<Snapshot>) {
    const AT_ONCE: usize = 8;
    let known = before.pools();
    let new = now.pools().into_iter().filter(|(id, _)| !known.contains_key(id));
    stream::iter(new)
        .for_each_concurrent(AT_ONCE, |(_, pool)| async move { pool.warm_up().await })
        .await;
}

impl Drop for Driver {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}
