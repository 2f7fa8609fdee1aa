//! Puts a balancer together.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use mesh_core::connect::{Connect, TcpConnect};
use mesh_core::discovery::Discover;
use mesh_core::{EndpointSet, Live, ServiceName, Version};

use super::attempt::Observer;
use super::driver::{Driver, Rebuild};
use super::{Attempt, Balance, Shared};
use crate::balancer::LoadBalancer;
use crate::discovery::FixedWatch;
use crate::endpoint::{ErasedConnect, Limits, PoolSettings, ServiceLimits, Sweeper};
use crate::load::Loads;
use crate::policy::LeastConnections;
use crate::snapshot::Snapshot;

/// What the balancers of one service share when there are several, as one for each core: the load of each
/// endpoint, and the limits.
#[derive(Clone, Debug)]
pub struct SharedLoad {
    loads: Loads,
    limits: Arc<ServiceLimits>,
}

impl SharedLoad {
    /// No load yet, and these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            loads: Loads::default(),
            limits: ServiceLimits::new(limits),
        }
    }

    /// The same loads under other limits: for a configuration that changed.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self {
            loads: self.loads.clone(),
            limits: ServiceLimits::new(limits),
        }
    }

    /// The load of this endpoint.
    pub fn of(&self, endpoint: &mesh_core::EndpointId) -> Arc<crate::load::EndpointLoad> {
        self.loads.of(endpoint)
    }
}

type Start = Box<dyn FnOnce(Rebuild) -> (Option<Snapshot>, Driver)>;

/// Puts a [`Balance`] together. Everything but the endpoints has a default.
#[must_use = "nothing happens before `start`"]
pub struct BalanceBuilder {
    service: ServiceName,
    start: Start,
    balancer: Arc<dyn LoadBalancer>,
    connect: Arc<dyn ErasedConnect>,
    settings: PoolSettings,
    stable: Option<Version>,
    shared: Option<SharedLoad>,
    observe: Option<Observer>,
    before: Option<Balance>,
}

impl BalanceBuilder {
    pub(super) fn new(service: ServiceName) -> Self {
        Self {
            service,
            start: following(FixedWatch::following(Live::fixed(EndpointSet::default()))),
            balancer: Arc::new(LeastConnections::new()),
            connect: <dyn ErasedConnect>::new(TcpConnect::new()),
            settings: PoolSettings::default(),
            stable: None,
            shared: None,
            observe: None,
            before: None,
        }
    }

    /// These endpoints, for good.
    pub fn endpoints(self, set: EndpointSet) -> Self {
        self.discover(FixedWatch::following(Live::fixed(set)))
    }

    /// The endpoints this discovers. Default: none.
    pub fn discover(mut self, discover: impl Discover) -> Self {
        self.start = following(discover);
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

    /// Which version is the stable one, when endpoints have several.
    pub fn stable_version(mut self, version: Option<Version>) -> Self {
        self.stable = version;
        self
    }

    /// Shares load and limits with other balancers of the service. Its limits take the place of those in the
    /// settings.
    pub fn shared(mut self, shared: SharedLoad) -> Self {
        self.shared = Some(shared);
        self
    }

    /// Takes over the connections of this one to the endpoints both know. Its connector and its settings must
    /// be the same: connections are kept as they are.
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
        let SharedLoad { loads, limits } = self
            .shared
            .unwrap_or_else(|| SharedLoad::new(self.settings.limits));
        let rebuild = Rebuild {
            service: self.service.clone(),
            balancer: self.balancer,
            connect: self.connect,
            settings: self.settings.clone(),
            stable: self.stable,
            loads,
            limits: Arc::clone(&limits),
            snapshot: Arc::new(match &self.before {
                Some(before) => ArcSwap::new(before.shared.snapshot.load_full()),
                None => ArcSwap::from_pointee(Snapshot::default()),
            }),
        };
        let snapshot = Arc::clone(&rebuild.snapshot);
        let (first, driver) = (self.start)(rebuild);
        if let Some(first) = first {
            snapshot.store(Arc::new(first));
        }
        let swept = Arc::downgrade(&snapshot);
        let sweeper = Sweeper::start(&self.settings, move || {
            swept
                .upgrade()
                .map(|snapshot| snapshot.load().pools().into_values().collect())
        });
        Balance {
            shared: Arc::new(Shared {
                service: self.service,
                snapshot,
                limits,
                observe: self.observe,
                _driver: driver,
                _sweeper: sweeper,
            }),
        }
    }
}

/// Asks once without waiting, so that what is known already serves the first request; the rest is the
/// driver's.
fn following(mut discover: impl Discover) -> Start {
    Box::new(move |rebuild| {
        let first = match discover.next().now_or_never() {
            Some(Ok(set)) => Some(rebuild.build(&set)),
            // The driver asks again, and says what is wrong if it still is.
            Some(Err(_)) | None => None,
        };
        (first, Driver::start(discover, rebuild))
    })
}
