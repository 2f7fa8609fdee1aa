//! Who sends requests: a process with a view of its own of which endpoints are well.

mod meshed;
mod plain;
mod towers;

use std::net::SocketAddr;

use mesh_core::endpoint::Address;
use mesh_core::{Endpoint, Outcome};
use mesh_lb::{FleetPolicy, LoadBalancer};
use tokio::time::Instant;

use crate::scenarios::{PLAIN, TOWER};

/// An endpoint as discovery tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Which of the servers.
    pub(crate) server: usize,
    pub(crate) zone: Option<&'static str>,
}

impl Place {
    fn endpoint(&self) -> Endpoint {
        let [_, a, b, c] = (self.server as u32).to_be_bytes();
        let address = SocketAddr::from(([10, a, b, c], 3001));
        Endpoint::new(address.into()).with_zone(self.zone.map(Into::into))
    }
}

/// The server behind an endpoint.
fn server(endpoint: &Endpoint) -> usize {
    match endpoint.id().address() {
        Address::Socket(SocketAddr::V4(address)) => {
            let [_, a, b, c] = address.ip().octets();
            u32::from_be_bytes([0, a, b, c]) as usize
        }
        other => panic!("{other} is no endpoint of this world"),
    }
}

/// A way to balance.
pub(crate) trait Client {
    /// The endpoints are these from now on.
    fn update(&mut self, places: &[Place], now: Instant);

    /// The server for an attempt of a request that was tried at these already.
    fn choose(&mut self, random: u64, tried: &[usize], now: Instant) -> Option<Choice>;

    /// How an attempt ended.
    fn ended(&mut self, attempt: Held, outcome: Outcome, now: Instant);

    /// What a health check found out.
    fn report(&mut self, _server: usize, _healthy: bool, _now: Instant) {}

    /// Now and then.
    fn keep(&mut self, _now: Instant) {}

    /// How many endpoints it has ejected.
    fn ejected(&self, _now: Instant) -> usize {
        0
    }
}

/// Where an attempt goes.
pub(crate) struct Choice {
    pub(crate) server: usize,
    /// Whether it tries an ejected endpoint.
    pub(crate) trial: bool,
    /// Whether connecting failed a moment ago, so that it is not even tried.
    pub(crate) rests: bool,
    pub(crate) held: Held,
}

/// What is held while an attempt is under way.
pub(crate) enum Held {
    Nothing,
    Meshed(meshed::Begun),
    Tower(#[expect(dead_code, reason = "its drop is the end of the request")] tower::load::peak_ewma::Handle),
}

/// How a client balances.
#[derive(Clone)]
pub(crate) enum Strategy {
    /// In turn over all, come what may.
    Plain,
    /// Tower's choice of two by peak EWMA.
    Tower,
    /// A fleet and a chooser of it, as `Balance` has.
    Meshed {
        name: &'static str,
        balancer: fn() -> Box<dyn LoadBalancer>,
        policy: Box<FleetPolicy>,
    },
}

impl Strategy {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain => PLAIN,
            Self::Tower => TOWER,
            Self::Meshed { name, .. } => name,
        }
    }

    /// By another name.
    pub(crate) fn named(mut self, new: &'static str) -> Self {
        if let Self::Meshed { name, .. } = &mut self {
            *name = new;
        }
        self
    }

    /// A client in a zone, told of these endpoints.
    pub(crate) fn client(
        &self,
        zone: Option<&'static str>,
        places: &[Place],
        seed: u64,
        now: Instant,
    ) -> Box<dyn Client> {
        let mut client: Box<dyn Client> = match self {
            Self::Plain => Box::new(plain::Plain::default()),
            Self::Tower => Box::new(towers::Tower::new(seed)),
            Self::Meshed { balancer, policy, .. } => {
                let mut policy = (**policy).clone();
                policy.zone = zone.map(Into::into);
                Box::new(meshed::Meshed::new(policy, balancer(), seed))
            }
        };
        client.update(places, now);
        client
    }
}
