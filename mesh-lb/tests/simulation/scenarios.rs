//! The scenarios, one a file, and what they share.

mod all_replaced;
mod cold_start;
mod failing_fast;
mod flapping;
mod hanging;
mod one_slow;
mod restart;
mod trials;
mod zone_lost;

use std::time::Duration;

use mesh_lb::{FleetPolicy, LeastConnections, PeakEwma, RoundRobin};

use crate::client::Strategy;

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A large world for optimized builds and if `SIMULATION=large`, else a small one.
pub(crate) fn sized<T>(large: T, small: T) -> T {
    let is_told = || std::env::var_os("SIMULATION").is_some_and(|size| size == "large");
    if cfg!(debug_assertions) && !is_told() {
        small
    } else {
        large
    }
}

pub(crate) const PLAIN: &str = "plain round robin";
pub(crate) const TOWER: &str = "tower p2c peak ewma";

pub(crate) fn p2c_ewma(policy: FleetPolicy) -> Strategy {
    Strategy::Meshed {
        name: "p2c_ewma",
        balancer: || Box::new(PeakEwma::new()),
        policy: Box::new(policy),
    }
}

pub(crate) fn ours(policy: &FleetPolicy) -> [Strategy; 3] {
    let round_robin = Strategy::Meshed {
        name: "round_robin",
        balancer: || Box::new(RoundRobin::new()),
        policy: Box::new(policy.clone()),
    };
    let least_connections = Strategy::Meshed {
        name: "least_connections",
        balancer: || Box::new(LeastConnections::new()),
        policy: Box::new(policy.clone()),
    };
    [round_robin, least_connections, p2c_ewma(policy.clone())]
}

/// The rivals, and ours as they are by default.
pub(crate) fn all() -> Vec<Strategy> {
    let rivals = [Strategy::Plain, Strategy::Tower];
    rivals.into_iter().chain(ours(&FleetPolicy::default())).collect()
}
