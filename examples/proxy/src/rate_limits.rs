//! The rate limits in use: kept from one configuration to the next, so that what was counted counts on.

use std::collections::HashMap;
use std::sync::Arc;

use mesh_core::{EventBus, KeyBy, MeshContext, RequestHead};
use mesh_lb::Fleet;
use mesh_telemetry::Telemetry;
use mesh_traffic::limit::{Limited, RedisStore, SharedKey, SharedLimiter};
use mesh_traffic::{Decision, RateLimiter};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::{self, LimitStore, RateLimiting};

/// A rate limit, as a request meets it.
#[derive(Clone)]
pub struct RateLimit {
    limiter: Limiter,
    by: KeyBy,
    dry_run: bool,
    /// If the configuration says how many replicas there are.
    replicas: Option<u32>,
}

/// Where it is counted.
#[derive(Clone)]
enum Limiter {
    /// Here.
    Own(RateLimiter),
    /// By all replicas together.
    Shared(SharedLimiter),
}

/// What a limit belongs to. Of a service and a rule of one name, each has its own.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Whose {
    /// This service.
    Service(Arc<str>),
    /// The rule of this id.
    Rule(Arc<str>),
}

/// A request that the store of shared limits is to be asked about.
pub struct Question {
    limit: RateLimit,
    key: SharedKey,
}

/// What came of counting a request.
pub enum Counted {
    /// It passes.
    Passed,
    /// It is over the limit, which only counts.
    Noted,
    /// It is over the limit and is refused.
    Refused(Limited),
    /// It is not counted here.
    Asked(Question),
}

impl RateLimit {
    /// Counts a request.
    pub fn check(&self, head: &RequestHead<'_>, context: &MeshContext) -> Counted {
        let key = self.by.key_in(head, Some(context));
        match &self.limiter {
            Limiter::Own(limiter) => self.judge(limiter.check(key, context.received)),
            Limiter::Shared(_) => Counted::Asked(Question {
                limit: self.clone(),
                key: SharedKey::of(key),
            }),
        }
    }

    fn judge(&self, checked: Result<(), Limited>) -> Counted {
        match checked {
            Ok(()) => Counted::Passed,
            Err(_) if self.dry_run => Counted::Noted,
            Err(limited) => Counted::Refused(limited),
        }
    }

    /// The limiter of this process: its only one, or the one for when the store does not answer.
    fn own(&self) -> &RateLimiter {
        match &self.limiter {
            Limiter::Own(limiter) => limiter,
            Limiter::Shared(shared) => shared.local(),
        }
    }

    /// Whether what was counted under the one means the same under the other.
    fn counts_as(&self, config: &RateLimiting) -> bool {
        let own = self.own();
        own.quota() == config.quota && self.by == config.key && own.max_keys() == config.max_keys as usize
    }
}

impl Question {
    /// Counts the request, of a limit that is counted by all replicas together.
    pub async fn ask(&self, received: Instant, telemetry: &Telemetry) -> Counted {
        let Limiter::Shared(shared) = &self.limit.limiter else {
            return Counted::Passed;
        };
        let checked = shared.check(&self.key, received).await;
        if !shared.is_shared() {
            telemetry.process().rate_limit_alone();
        }
        self.limit.judge(checked)
    }
}

/// The limits of one configuration.
pub struct Compiled {
    all: HashMap<Whose, RateLimit>,
    store: Option<Store>,
}

/// Where shared limits are counted. Those of one configuration are one.
#[derive(Clone)]
struct Store {
    made_from: LimitStore,
    redis: RedisStore,
}

impl Store {
    fn of(config: &LimitStore) -> Result<Self, String> {
        let redis = RedisStore::with_timeout(config.redis.reveal(), config.timeout);
        Ok(Self {
            made_from: config.clone(),
            redis: redis.map_err(|error| format!("limitStore: {error}"))?,
        })
    }
}

impl PartialEq for Store {
    fn eq(&self, other: &Self) -> bool {
        self.made_from == other.made_from
    }
}

/// All rate limits.
#[derive(Default)]
pub struct RateLimits {
    running: HashMap<Whose, RateLimit>,
    store: Option<Store>,
    /// Tells the limits how many replicas there are.
    follow: Option<Task>,
}

impl RateLimits {
    /// The limits of a configuration: those in use where they would count the same. Nothing changes for them before
    /// [`adopt`](Self::adopt).
    ///
    /// # Errors
    /// The store's URL is none: the configuration was not checked as it should have been.
    pub fn compile(&self, mesh: &config::Mesh, events: &EventBus) -> Result<Compiled, String> {
        let of_service = |service: &config::Service| {
            let whose = Whose::Service(service.name.shared());
            Some((whose, service.rate_limiting.as_ref()?.clone()))
        };
        let of_rule = |rule: &config::Rule| {
            let whose = Whose::Rule((*rule.id).into());
            Some((whose, rule.rate_limiting.as_ref()?.clone()))
        };
        let store = match (&mesh.limit_store, &self.store) {
            (Some(config), Some(running)) if running.made_from == *config => Some(running.clone()),
            (Some(config), _) => Some(Store::of(config)?),
            (None, _) => None,
        };
        let services = mesh.services.iter().filter_map(of_service);
        let written = services.chain(mesh.rules.iter().filter_map(of_rule));
        let all = written.map(|(whose, config)| {
            let limit = self.of(&whose, &config, store.as_ref(), events);
            (whose, limit)
        });
        Ok(Compiled {
            all: all.collect(),
            store,
        })
    }

    fn of(
        &self,
        whose: &Whose,
        config: &RateLimiting,
        store: Option<&Store>,
        events: &EventBus,
    ) -> RateLimit {
        let running = self.running.get(whose).filter(|limit| limit.counts_as(config));
        let own = || match running {
            Some(limit) => limit.own().clone(),
            None => RateLimiter::builder(config.quota)
                .max_keys(config.max_keys as usize)
                .telling(whose.name(), events.clone())
                .build(),
        };
        let keeps_store = store == self.store.as_ref();
        let limiter = match (
            store.filter(|_| config.shared),
            running.map(|limit| &limit.limiter),
        ) {
            (Some(_), Some(Limiter::Shared(shared))) if keeps_store => Limiter::Shared(shared.clone()),
            (Some(store), _) => {
                let store = store.redis.clone();
                Limiter::Shared(SharedLimiter::new(whose.name(), own(), store, events.clone()))
            }
            (None, _) => Limiter::Own(own()),
        };
        RateLimit {
            limiter,
            by: config.key.clone(),
            dry_run: config.dry_run,
            replicas: config.replicas,
        }
    }

    /// Keeps these limits and no others, and divides them among the replicas of this process: as many as the
    /// configuration says, or as this fleet has endpoints.
    pub fn adopt(&mut self, limits: &Compiled, own: Option<&Fleet>) {
        self.running.clone_from(&limits.all);
        self.store.clone_from(&limits.store);
        let mut following = Vec::new();
        for limit in self.running.values() {
            match limit.replicas {
                Some(replicas) => limit.own().set_replicas(replicas),
                None => following.push(limit.own().clone()),
            }
        }
        self.follow = match own {
            Some(own) => Some(Task(tokio::spawn(follow(own.clone(), following)))),
            None => {
                following.iter().for_each(|limiter| limiter.set_replicas(1));
                None
            }
        };
    }
}

impl Compiled {
    /// What the requests of a decision meet: the limit of its rule, then that of its service.
    pub fn met_by(&self, decision: &Decision) -> Box<[RateLimit]> {
        let rule = decision.rule().map(|id| Whose::Rule(id.into()));
        let service = decision.target();
        let service = service.map(|target| Whose::Service(target.service.shared()));
        let met = rule.iter().chain(&service);
        met.filter_map(|whose| self.all.get(whose).cloned()).collect()
    }
}

impl Whose {
    fn name(&self) -> Arc<str> {
        match self {
            Self::Service(name) => Arc::clone(name),
            Self::Rule(id) => format!("rule {id}").into(),
        }
    }
}

/// Divides limits among the endpoints of a fleet, whenever they change.
async fn follow(fleet: Fleet, limiters: Vec<RateLimiter>) {
    let mut roster = fleet.roster();
    loop {
        let replicas = fleet.endpoints().endpoints.len().max(1);
        let replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
        limiters.iter().for_each(|limiter| limiter.set_replicas(replicas));
        roster.changed().await;
    }
}

/// A task that ends when this is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
