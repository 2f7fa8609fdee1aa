//! From the targets of an answer to endpoints.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use mesh_core::endpoint::Readiness;
use mesh_core::{Endpoint, EndpointSet};

/// One name of an answer, with what it resolved to. For A and AAAA there is one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    /// Each once.
    pub(super) addresses: Vec<IpAddr>,
}

/// What a weight is cut into for the addresses of its target: divisible by every number up to 8.
const SHARES: u64 = 840;

const MAX_WEIGHT: u64 = 1_000_000;

/// The endpoints of these targets, sorted by priority and address and at most this many.
pub(super) fn endpoints(targets: &[Target], most: usize) -> EndpointSet {
    // The lowest priority and the weight of each address.
    let mut found: BTreeMap<SocketAddr, (u16, u64)> = BTreeMap::new();
    for target in targets {
        let weight = u64::from(target.weight.max(1)) * SHARES;
        let share = weight / (target.addresses.len() as u64).max(1);
        for address in &target.addresses {
            let at = SocketAddr::new(*address, target.port);
            let (priority, weight) = found.entry(at).or_insert((target.priority, 0));
            match target.priority.cmp(priority) {
                std::cmp::Ordering::Less => (*priority, *weight) = (target.priority, share),
                std::cmp::Ordering::Equal => *weight = weight.saturating_add(share),
                std::cmp::Ordering::Greater => {}
            }
        }
    }
    let mut found: Vec<(u16, SocketAddr, u64)> = found
        .into_iter()
        .map(|(address, (priority, weight))| (priority, address, weight.max(1)))
        .collect();
    found.sort_unstable();
    if found.len() > most {
        tracing::warn!(
            found = found.len(),
            taken = most,
            "a DNS answer has too many addresses; the rest is left out"
        );
        found.truncate(most);
    }
    // The smallest numbers with the same proportions, so that equal weights are 1 however they were written.
    let divisor = found
        .iter()
        .fold(0, |divisor, (_, _, weight)| gcd(*weight, divisor))
        .max(1);
    let largest = found
        .iter()
        .map(|(_, _, weight)| weight / divisor)
        .max()
        .unwrap_or(1);
    let first = found.first().map(|(priority, _, _)| *priority);
    let endpoint = |(priority, address, weight): (u16, SocketAddr, u64)| {
        let mut weight = weight / divisor;
        if largest > MAX_WEIGHT {
            weight = (weight.saturating_mul(MAX_WEIGHT) / largest).max(1);
        }
        let readiness = match first == Some(priority) {
            true => Readiness::Ready,
            false => Readiness::Terminating,
        };
        Endpoint::new(address.into())
            .with_weight(u32::try_from(weight).unwrap_or(u32::MAX))
            .with_readiness(readiness)
    };
    found.into_iter().map(endpoint).collect()
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(priority: u16, weight: u16, port: u16, addresses: &[&str]) -> Target {
        Target {
            priority,
            weight,
            port,
            addresses: addresses.iter().map(|a| a.parse().expect(a)).collect(),
        }
    }

    /// Address, weight, and whether it is ready.
    fn found(targets: &[Target]) -> Vec<(String, u32, bool)> {
        let set = endpoints(targets, 1024);
        let endpoints = set.endpoints.iter();
        endpoints
            .map(|e| (e.address.to_string(), e.weight, e.readiness == Readiness::Ready))
            .collect()
    }

    fn ready(address: &str, weight: u32) -> (String, u32, bool) {
        (address.into(), weight, true)
    }

    #[test]
    fn addresses_are_sorted_whatever_the_order_of_the_answer() {
        let sorted = [
            ready("10.0.0.1:80", 1),
            ready("10.0.0.2:80", 1),
            ready("[2001:db8::1]:80", 1),
        ];
        assert_eq!(
            found(&[target(0, 0, 80, &["10.0.0.2", "2001:db8::1", "10.0.0.1"])]),
            sorted
        );
        assert_eq!(
            found(&[target(0, 0, 80, &["2001:db8::1", "10.0.0.1", "10.0.0.2"])]),
            sorted
        );
    }

    #[test]
    fn only_the_lowest_priority_is_ready_and_the_others_are_the_last_resort() {
        let targets = [
            target(20, 1, 80, &["10.0.0.3"]),
            target(10, 1, 80, &["10.0.0.1"]),
            target(30, 1, 80, &["10.0.0.2"]),
        ];
        let expected = [
            ready("10.0.0.1:80", 1),
            ("10.0.0.3:80".into(), 1, false),
            ("10.0.0.2:80".into(), 1, false),
        ];
        assert_eq!(found(&targets), expected);
    }

    #[test]
    fn a_priority_without_addresses_leaves_its_place_to_the_next() {
        let targets = [target(10, 1, 80, &[]), target(20, 1, 80, &["10.0.0.3"])];
        assert_eq!(found(&targets), [ready("10.0.0.3:80", 1)]);
    }

    #[test]
    fn weights_keep_their_proportions_in_the_smallest_numbers() {
        let weighted = |a, b| {
            let set = found(&[target(0, a, 80, &["10.0.0.1"]), target(0, b, 80, &["10.0.0.2"])]);
            (set[0].1, set[1].1)
        };
        assert_eq!(weighted(33, 33), (1, 1));
        assert_eq!(weighted(100, 300), (1, 3));
        assert_eq!(weighted(65_535, 65_534), (65_535, 65_534));
    }

    #[test]
    fn a_weight_of_zero_is_a_small_chance_next_to_others_and_an_equal_one_among_its_like() {
        let weighted = |a, b| {
            let set = found(&[target(0, a, 80, &["10.0.0.1"]), target(0, b, 80, &["10.0.0.2"])]);
            (set[0].1, set[1].1)
        };
        assert_eq!(weighted(0, 0), (1, 1));
        assert_eq!(weighted(0, 99), (1, 99));
    }

    #[test]
    fn the_weight_of_a_target_is_shared_by_its_addresses() {
        let targets = [
            target(0, 10, 80, &["10.0.0.1", "2001:db8::1"]),
            target(0, 10, 80, &["10.0.0.2"]),
        ];
        let expected = [
            ready("10.0.0.1:80", 1),
            ready("10.0.0.2:80", 2),
            ready("[2001:db8::1]:80", 1),
        ];
        assert_eq!(found(&targets), expected);
    }

    #[test]
    fn an_address_of_two_targets_is_one_endpoint_with_both_weights() {
        let targets = [
            target(0, 1, 80, &["10.0.0.1"]),
            target(0, 2, 80, &["10.0.0.1"]),
            target(0, 1, 80, &["10.0.0.2"]),
        ];
        assert_eq!(
            found(&targets),
            [ready("10.0.0.1:80", 3), ready("10.0.0.2:80", 1)]
        );
    }

    #[test]
    fn an_address_of_two_priorities_belongs_to_the_lower_and_of_two_ports_is_two_endpoints() {
        let targets = [
            target(1, 9, 80, &["10.0.0.1"]),
            target(0, 1, 80, &["10.0.0.1"]),
            target(0, 1, 81, &["10.0.0.1"]),
        ];
        assert_eq!(
            found(&targets),
            [ready("10.0.0.1:80", 1), ready("10.0.0.1:81", 1)]
        );
    }

    #[test]
    fn more_addresses_than_allowed_are_left_out_last_resorts_first() {
        let targets = [
            target(1, 1, 80, &["10.0.0.1"]),
            target(0, 1, 80, &["10.0.0.3", "10.0.0.2"]),
        ];
        let of = |most| {
            let set = endpoints(&targets, most);
            set.endpoints
                .iter()
                .map(|e| e.address.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(2), ["10.0.0.2:80", "10.0.0.3:80"]);
        assert_eq!(of(1), ["10.0.0.2:80"]);
        assert!(endpoints(&[], 10).endpoints.is_empty());
    }

    proptest! {
        #[test]
        fn every_endpoint_takes_requests_and_the_order_of_targets_means_nothing(
            targets in proptest::collection::vec(
                (0..3_u16, any::<u16>(), 1..3_u16, proptest::collection::btree_set(0..20_u8, 0..9)),
                0..12,
            ),
            seed: u64,
        ) {
            let mut targets: Vec<Target> = targets
                .into_iter()
                .map(|(priority, weight, port, hosts)| Target {
                    priority,
                    weight,
                    port,
                    addresses: hosts.iter().map(|host| IpAddr::from([10, 0, 0, *host])).collect(),
                })
                .collect();
            let set = endpoints(&targets, 1024);
            prop_assert!(set.endpoints.iter().all(|e| (1..=1_000_000).contains(&e.weight)));
            let is_ready = |e: &&std::sync::Arc<Endpoint>| e.readiness == Readiness::Ready;
            prop_assert_eq!(set.endpoints.iter().any(|e| is_ready(&e)), !set.endpoints.is_empty());
            fastrand::Rng::with_seed(seed).shuffle(&mut targets);
            prop_assert_eq!(endpoints(&targets, 1024), set);
        }
    }
}
