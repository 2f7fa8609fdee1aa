//! Follows the fleet's roster and publishes new pools for each.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use futures_util::stream;
use mesh_core::Live;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::pools::{Pools, by_endpoint};
use crate::balancer::LoadBalancer;
use crate::endpoint::{EndpointPool, ErasedConnect, PoolSettings};
use crate::fleet::{Fleet, Roster};

/// What pools are built from.
pub(super) struct Rebuild {
    pub(super) fleet: Fleet,
    pub(super) balancer: Arc<dyn LoadBalancer>,
    pub(super) connect: Arc<dyn ErasedConnect>,
    pub(super) settings: PoolSettings,
    pub(super) pools: Arc<ArcSwap<Pools>>,
}

impl Rebuild {
    /// Of the fleet's roster as it is now. Endpoints that were known keep their connections, unless the
    /// limits those keep to hold no longer.
    pub(super) fn build(&self) -> Pools {
        let mut pools = by_endpoint(&self.pools.load());
        pools.retain(|_, pool| pool.keeps_to(self.fleet.limits().limits()));
        self.fleet.chooser(&*self.balancer, Instant::now(), |slot| {
            let pool = pools.entry(slot.endpoint.id().clone()).or_insert_with(|| {
                let (endpoint, load) = (Arc::clone(&slot.endpoint), Arc::clone(&slot.load));
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
        let rebuild = Arc::new(rebuild);
        tasks.push(tokio::spawn(async move {
            let mut warming = JoinSet::new();
            loop {
                roster.changed().await;
                let known = rebuild.pools.load_full();
                let Some(next) = built(&rebuild).await else { return };
                rebuild.pools.store(Arc::clone(&next));
                while warming.try_join_next().is_some() {}
                if rebuild.settings.warm_up && !known.is_empty() {
                    warming.spawn(warm_up(known, next));
                }
            }
        }));
        Self(tasks)
    }
}

/// Builds what comes next. For many endpoints that takes milliseconds, up to 35 for a hash of 10 000, in which a
/// worker's own thread would serve nobody. Nothing if the runtime ends.
async fn built(rebuild: &Arc<Rebuild>) -> Option<Arc<Pools>> {
    const FEW: usize = 500;
    if rebuild.fleet.endpoints().endpoints.len() <= FEW {
        return Some(Arc::new(rebuild.build()));
    }
    let rebuild = Arc::clone(rebuild);
    let building = tokio::task::spawn_blocking(move || Arc::new(rebuild.build()));
    building.await.ok()
}

/// Opens a connection to each endpoint that takes requests and was not there before, a few at a time.
async fn warm_up(before: Arc<Pools>, now: Arc<Pools>) {
    const AT_ONCE: usize = 8;
    let known = by_endpoint(&before);
    let new = by_endpoint(&now)
        .into_iter()
        .filter(|(id, _)| !known.contains_key(id));
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
