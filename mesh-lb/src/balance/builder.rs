//! Puts a balancer together.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use mesh_core::connect::{Connect, TcpConnect};
use mesh_core::discovery::Discover;
use mesh_core::{EndpointSet, ServiceName};
use tokio::time::Instant;

use super::attempt::Observer;
use super::driver::{Driver, Rebuild};
use super::pools::{Pools, by_endpoint};
use super::{Attempt, Balance, Shared};
use crate::balancer::LoadBalancer;
use crate::endpoint::{ErasedConnect, PoolSettings, Sweeper};
use crate::fleet::{Fleet, FleetPolicy};
use crate::policy::LeastConnections;

/// Puts a [`Balance`] together. Everything but the endpoints has a default.
#[must_use = "nothing happens before `start`"]
pub struct BalanceBuilder {
    service: ServiceName,
    source: Source,
    balancer: Arc<dyn LoadBalancer>,
    connect: Arc<dyn ErasedConnect>,
    settings: PoolSettings,
    policy: FleetPolicy,
    observe: Option<Observer>,
    before: Option<Balance>,
}

/// Where a balancer's endpoints come from.
enum Source {
    /// They are written down.
    Fixed(EndpointSet),
    /// A fleet of its own follows discovery.
    Discovered(Follow),
    /// Others use the fleet too, and somebody else looks after it.
    Shared(Fleet),
}

type Follow = Box<dyn FnOnce(&Fleet) -> tokio::task::JoinHandle<()>>;

impl BalanceBuilder {
    pub(super) fn new(service: ServiceName) -> Self {
        Self {
            service,
            source: Source::Fixed(EndpointSet::default()),
            balancer: Arc::new(LeastConnections::new()),
            connect: <dyn ErasedConnect>::new(TcpConnect::new()),
            settings: PoolSettings::default(),
            policy: FleetPolicy::default(),
            observe: None,
            before: None,
        }
    }

    /// These endpoints, for good.
    pub fn endpoints(mut self, set: EndpointSet) -> Self {
        self.source = Source::Fixed(set);
        self
    }

    /// The endpoints this discovers. Default: none.
    pub fn discover(mut self, discover: impl Discover) -> Self {
        self.source = Source::Discovered(following(discover));
        self
    }

    /// The endpoints of a fleet that other balancers use too, as one on each core. Somebody else tells it of
    /// its endpoints and [keeps](Fleet::keep) it; its policy takes the place of this builder's.
    pub fn fleet(mut self, fleet: Fleet) -> Self {
        self.source = Source::Shared(fleet);
        self
    }

    /// When endpoints get no requests, which of them are used, and what they may carry at most. Default:
    /// [`FleetPolicy::default`].
    pub fn policy(mut self, policy: FleetPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The algorithm. Default: [`LeastConnections`].
    pub fn balancer(mut self, balancer: impl LoadBalancer) -> Self {
        self.balancer = Arc::new(balancer);
        self
    }

    /// How connections are made. Default: plain TCP.
    pub fn connect(mut self, connect: impl Connect) -> Self {
        self.connect = <dyn ErasedConnect>::new(connect);
        self
    }

    /// How the pools behave.
    pub fn settings(mut self, settings: PoolSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Takes over the connections of this one to the endpoints both know. Its connector and its settings must
    /// be the same: connections are kept as they are. If its fleet has other limits, connections are made anew.
    pub fn succeeding(mut self, before: &Balance) -> Self {
        self.before = Some(before.clone());
        self
    }

    /// Told of every attempt that ended, on the hot path.
    pub fn observe(mut self, observe: impl Fn(&Attempt<'_>) + Send + Sync + 'static) -> Self {
        self.observe = Some(Box::new(observe));
        self
    }

    /// Starts it: discovery and the sweeping of connections run in tasks that end when the last clone is
    /// dropped. Must be called within a tokio runtime, the one that will make the requests.
    pub fn start(self) -> Balance {
        let mut tasks = Vec::new();
        let fleet = match self.source {
            Source::Shared(fleet) => fleet,
            own => {
                let fleet = Fleet::new(self.service, self.policy);
                match own {
                    Source::Fixed(set) => fleet.update(set, Instant::now()),
                    Source::Discovered(follow) => tasks.push(follow(&fleet)),
                    Source::Shared(_) => {}
                }
                let kept = fleet.clone();
                tasks.push(tokio::spawn(async move { kept.keep().await }));
                fleet
            }
        };
        let rebuild = Rebuild {
            fleet: fleet.clone(),
            balancer: self.balancer,
            connect: self.connect,
            settings: self.settings.clone(),
            pools: Arc::new(match &self.before {
                Some(before) => ArcSwap::new(before.shared.pools.load_full()),
                None => ArcSwap::from_pointee(Pools::default()),
            }),
        };
        let roster = fleet.roster();
        let pools = Arc::clone(&rebuild.pools);
        pools.store(Arc::new(rebuild.build()));
        let swept = Arc::downgrade(&pools);
        let sweeper = Sweeper::start(&self.settings, move || {
            swept
                .upgrade()
                .map(|pools| by_endpoint(&pools.load()).into_values().collect())
        });
        Balance {
            shared: Arc::new(Shared {
                fleet,
                pools,
                observe: self.observe,
                _driver: Driver::start(roster, rebuild, tasks),
                _sweeper: sweeper,
            }),
        }
    }
}

/// Asks once without waiting, so that what is known already serves the first request; the rest is a task's.
fn following(mut discover: impl Discover) -> Follow {
    Box::new(move |fleet| {
        // After an error the task asks again, and says what is wrong if it still is.
        if let Some(Ok(set)) = discover.next().now_or_never() {
            fleet.update(set, Instant::now());
        }
        let fleet = fleet.clone();
        tokio::spawn(async move { fleet.follow(discover).await })
    })
}
