//! A fleet and a chooser of it, held together as `Balance` holds them, without its tasks and its sockets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_core::backoff::Backoff;
use mesh_core::{EndpointId, EndpointSet, ErrorKind, Live, Outcome};
use mesh_lb::fleet::{Chooser, EndpointState, Link, Roster, Unjudged};
use mesh_lb::load::InFlight;
use mesh_lb::{Fleet, FleetPolicy, LoadBalancer, PickContext};
use tokio::time::Instant;

use super::{Choice, Client, Held, Place, server};

pub(super) struct Meshed {
    fleet: Fleet,
    balancer: Box<dyn LoadBalancer>,
    live: Live<Roster>,
    /// What the chooser was built of.
    roster: Arc<Roster>,
    chooser: Chooser<Arc<Rest>>,
    seeds: fastrand::Rng,
}

/// An attempt that is under way.
pub(crate) struct Begun {
    attempt: Unjudged,
    _in_flight: InFlight,
    rest: Arc<Rest>,
}

/// How an endpoint rests after a connection to it failed: as a pool of connections lets it.
struct Rest {
    origin: Instant,
    /// In nanoseconds since `origin`; 0: it does not.
    until: AtomicU64,
    backoff: Mutex<(Backoff, fastrand::Rng)>,
}

impl Rest {
    fn new(now: Instant, seed: u64) -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        Self {
            origin: now,
            until: AtomicU64::new(0),
            backoff: Mutex::new((backoff, fastrand::Rng::with_seed(seed))),
        }
    }

    fn failed(&self, now: Instant) {
        if self.is_resting(now) {
            return;
        }
        let (backoff, random) = &mut *self.backoff.lock().expect("one thread");
        let until = now + backoff.next(random) - self.origin;
        self.until.store(until.as_nanos() as u64, Ordering::Relaxed);
    }

    fn succeeded(&self) {
        if self.until.swap(0, Ordering::Relaxed) != 0 {
            self.backoff.lock().expect("one thread").0.reset();
        }
    }
}

impl Link for Rest {
    fn is_resting(&self, now: Instant) -> bool {
        ((now - self.origin).as_nanos() as u64) < self.until.load(Ordering::Relaxed)
    }
}

impl Meshed {
    pub(super) fn new(policy: FleetPolicy, balancer: Box<dyn LoadBalancer>, seed: u64) -> Self {
        let fleet = Fleet::new("orders".parse().expect("a name"), policy);
        let live = fleet.roster();
        Self {
            roster: live.load_full(),
            live,
            fleet,
            balancer,
            chooser: Chooser::default(),
            seeds: fastrand::Rng::with_seed(seed),
        }
    }

    /// Builds the chooser anew if the roster is another. Endpoints that stay keep what leads to them.
    fn follow(&mut self, now: Instant) {
        let roster = self.live.load_full();
        if Arc::ptr_eq(&roster, &self.roster) {
            return;
        }
        self.roster = roster;
        let known: HashMap<EndpointId, Arc<Rest>> = self
            .chooser
            .links()
            .map(|(endpoint, rest)| (endpoint.id().clone(), Arc::clone(rest)))
            .collect();
        let seeds = &mut self.seeds;
        self.chooser = self.fleet.chooser(&*self.balancer, now, |slot| {
            let known = known.get(slot.endpoint.id()).map(Arc::clone);
            known.unwrap_or_else(|| Arc::new(Rest::new(now, seeds.u64(..))))
        });
    }

    fn id(server: usize) -> EndpointId {
        Place { server, zone: None }.endpoint().id().clone()
    }
}

impl Client for Meshed {
    fn update(&mut self, places: &[Place], now: Instant) {
        self.fleet
            .update(EndpointSet::new(places.iter().map(Place::endpoint)), now);
        self.follow(now);
    }

    fn choose(&mut self, random: u64, tried: &[usize], now: Instant) -> Option<Choice> {
        let tried: Vec<EndpointId> = tried.iter().map(|server| Self::id(*server)).collect();
        let chosen = self
            .chooser
            .choose(None, PickContext::new(random, now), &tried)
            .ok()?;
        Some(Choice {
            server: server(chosen.endpoint),
            trial: chosen.attempt.is_trial(),
            rests: chosen.link.is_resting(now),
            held: Held::Meshed(Begun {
                attempt: chosen.attempt,
                _in_flight: chosen.in_flight,
                rest: Arc::clone(chosen.link),
            }),
        })
    }

    fn ended(&mut self, attempt: Held, outcome: Outcome, now: Instant) {
        let Held::Meshed(begun) = attempt else {
            panic!("an attempt of another client");
        };
        match outcome {
            Outcome::Refused(ErrorKind::UpstreamConnect) => begun.rest.failed(now),
            _ => begun.rest.succeeded(),
        }
        self.fleet.judge(begun.attempt, outcome, now);
    }

    fn report(&mut self, server: usize, healthy: bool, now: Instant) {
        let health = if healthy {
            Ok(())
        } else {
            Err("its check failed".into())
        };
        self.fleet.report(&Self::id(server), health, now);
    }

    fn keep(&mut self, now: Instant) {
        self.fleet.tick(now);
        self.follow(now);
    }

    fn ejected(&self, now: Instant) -> usize {
        let status = self.fleet.status(now);
        status
            .iter()
            .filter(|status| status.state == EndpointState::Ejected)
            .count()
    }
}
