//! The rate limits in use: kept from one configuration to the next, so that what was counted counts on.

use std::collections::HashMap;
use std::sync::Arc;

use mesh_core::{EventBus, KeyBy, MeshContext, RequestHead};
use mesh_lb::Fleet;
use mesh_traffic::limit::Limited;
use mesh_traffic::{Decision, Quota, RateLimiter};
use tokio::task::JoinHandle;

use crate::config::{self, RateLimiting};

/// A rate limit, as a request meets it.
#[derive(Clone)]
pub struct RateLimit {
    limiter: RateLimiter,
    by: KeyBy,
    dry_run: bool,
    /// If the configuration says how many replicas there are.
    replicas: Option<u32>,
}

/// What a limit belongs to. Of a service and a rule of one name, each has its own.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Whose {
    /// This service.
    Service(Arc<str>),
    /// The rule of this id.
    Rule(Arc<str>),
}

/// The limits of one configuration.
pub struct Compiled(HashMap<Whose, RateLimit>);

/// What came of a request over its limit.
pub enum Over {
    /// It is refused.
    Refused(Limited),
    /// It passes, since the limit only counts.
    Counted,
}

impl Over {
    /// What to refuse it with, if it is refused.
    pub fn refused(self) -> Option<Limited> {
        match self {
            Self::Refused(limited) => Some(limited),
            Self::Counted => None,
        }
    }
}

impl RateLimit {
    /// Counts a request.
    ///
    /// # Errors
    /// It is one too many.
    pub fn check(&self, head: &RequestHead<'_>, context: &MeshContext) -> Result<(), Over> {
        let key = self.by.key_in(head, Some(context));
        let checked = self.limiter.check(key, context.received);
        checked.map_err(|limited| match self.dry_run {
            true => Over::Counted,
            false => Over::Refused(limited),
        })
    }

    /// Whether what was counted under the one means the same under the other.
    fn counts_as(&self, quota: Quota, by: &KeyBy, max_keys: usize) -> bool {
        self.limiter.quota() == quota && self.by == *by && self.limiter.max_keys() == max_keys
    }
}

/// All rate limits.
#[derive(Default)]
pub struct RateLimits {
    running: HashMap<Whose, RateLimit>,
    /// Tells the limits how many replicas there are.
    follow: Option<Task>,
}

impl RateLimits {
    /// The limits of a configuration: those in use where they would count the same. Nothing changes for them before
    /// [`adopt`](Self::adopt).
    pub fn compile(&self, mesh: &config::Mesh, events: &EventBus) -> Compiled {
        let of_service = |service: &config::Service| {
            let whose = Whose::Service(service.name.shared());
            Some((whose, service.rate_limiting.as_ref()?.clone()))
        };
        let of_rule = |rule: &config::Rule| {
            let whose = Whose::Rule((*rule.id).into());
            Some((whose, rule.rate_limiting.as_ref()?.clone()))
        };
        let services = mesh.services.iter().filter_map(of_service);
        let all = services.chain(mesh.rules.iter().filter_map(of_rule));
        Compiled(
            all.map(|(whose, config)| (whose.clone(), self.of(whose, &config, events)))
                .collect(),
        )
    }

    fn of(&self, whose: Whose, config: &RateLimiting, events: &EventBus) -> RateLimit {
        let max_keys = config.max_keys as usize;
        let running = self.running.get(&whose);
        let kept = running.filter(|limit| limit.counts_as(config.quota, &config.key, max_keys));
        let limiter = match kept {
            Some(limit) => limit.limiter.clone(),
            None => RateLimiter::builder(config.quota)
                .max_keys(max_keys)
                .telling(whose.name(), events.clone())
                .build(),
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
        self.running.clone_from(&limits.0);
        let mut following = Vec::new();
        for limit in self.running.values() {
            match limit.replicas {
                Some(replicas) => limit.limiter.set_replicas(replicas),
                None => following.push(limit.limiter.clone()),
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
        met.filter_map(|whose| self.0.get(whose).cloned()).collect()
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
