//! Which endpoints a client knows, when it should not connect to all.
//!
//! A thousand clients of a thousand endpoints are a million connections. A subset bounds them. Each client takes
//! the endpoints that rank highest for it by a hash of both names (rendezvous hashing): nobody has to agree with
//! anybody, the same client always takes the same ones, and an endpoint that comes or goes changes one place.
//!
//! The price is that the subsets are chosen by chance, so endpoints are known to different numbers of clients: of
//! 100 clients that take 20 of 1000 endpoints each, an endpoint is known to 2 on average, and hardly one to more than
//! 10.

use mesh_core::Endpoint;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A client's choice.
///
/// Choose from what discovery knows, not from who is healthy: a subset that changes with every ejection would be
/// no bound to the connections.
///
/// ```
/// use mesh_core::Endpoint;
/// use mesh_lb::subset::Subsetting;
///
/// let endpoint = |n: u16| Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], n)).into());
/// let endpoints: Vec<_> = (1..=1000).map(endpoint).collect();
///
/// let mine = Subsetting::new("checkout-7d9f", 20).members(&endpoints);
/// assert_eq!(mine.len(), 20);
/// assert_eq!(Subsetting::new("checkout-7d9f", 20).members(&endpoints), mine);
/// assert_ne!(Subsetting::new("checkout-x2kq", 20).members(&endpoints), mine);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subsetting {
    client: u64,
    size: usize,
}

impl Subsetting {
    /// The subset of the client of this name, which no other client should have; of so many endpoints, at least
    /// one.
    pub fn new(client: &str, size: usize) -> Self {
        Self {
            client: xxh3_64(client.as_bytes()),
            size: size.max(1),
        }
    }

    /// The places of the chosen endpoints, in ascending order: as many as the size says, or all if there are not
    /// more. Weights do not matter here.
    pub fn members<'a>(&self, endpoints: impl IntoIterator<Item = &'a Endpoint>) -> Vec<usize> {
        let ranked = endpoints.into_iter().enumerate().map(|(place, endpoint)| {
            let id = endpoint.id().to_string();
            // The name decides between equal hashes, as the place may be another one for another client.
            (xxh3_64_with_seed(id.as_bytes(), self.client), id, place)
        });
        let mut ranked: Vec<_> = ranked.collect();
        if ranked.len() > self.size {
            ranked.select_nth_unstable(self.size);
            ranked.truncate(self.size);
        }
        let mut members: Vec<usize> = ranked.into_iter().map(|(.., place)| place).collect();
        members.sort_unstable();
        members
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn endpoint(n: u32) -> Endpoint {
        let [_, b, c, d] = n.to_be_bytes();
        Endpoint::new(std::net::SocketAddr::from(([10, b, c, d], 3001)).into())
    }

    fn subset(client: &str, size: usize, all: &[u32]) -> HashSet<u32> {
        let endpoints: Vec<_> = all.iter().map(|n| endpoint(*n)).collect();
        let members = Subsetting::new(client, size).members(&endpoints);
        members.into_iter().map(|place| all[place]).collect()
    }

    #[test]
    fn endpoints_are_known_to_about_equally_many_clients() {
        let all: Vec<u32> = (0..1000).collect();
        let mut known = vec![0_u32; 1000];
        for client in 0..100 {
            for endpoint in subset(&format!("client-{client}"), 20, &all) {
                known[endpoint as usize] += 1;
            }
        }
        assert_eq!(known.iter().sum::<u32>(), 2000);
        let most = known.iter().max().expect("some");
        assert!(*most <= 10, "{most}");
        // Chance leaves out e^-2 of them.
        let unknown = known.iter().filter(|n| **n == 0).count();
        assert!(unknown.abs_diff(135) < 40, "{unknown}");
    }

    #[test]
    fn clients_with_similar_names_choose_independently() {
        let all: Vec<u32> = (0..1000).collect();
        let common: usize = (0..100)
            .map(|n| {
                let one = subset(&format!("client-{n}"), 20, &all);
                let next = subset(&format!("client-{}", n + 1), 20, &all);
                one.intersection(&next).count()
            })
            .sum();
        // 20 * 20 / 1000 each.
        assert!(common.abs_diff(40) < 25, "{common}");
    }

    #[test]
    fn a_client_takes_one_at_least_and_what_there_is_at_most() {
        assert_eq!(subset("c", 0, &[1, 2, 3]).len(), 1);
        assert_eq!(subset("c", 5, &[1, 2, 3]).len(), 3);
        assert!(subset("c", 5, &[]).is_empty());
    }

    #[test]
    fn the_choice_is_the_same_in_every_process_and_build() {
        let mut members: Vec<u32> = subset("orders-0", 3, &(0..50).collect::<Vec<_>>())
            .into_iter()
            .collect();
        members.sort_unstable();
        assert_eq!(members, [2, 36, 48]);
    }

    proptest! {
        #[test]
        fn one_endpoint_more_or_less_changes_at_most_one_other_member(
            all in proptest::collection::hash_set(0..5000_u32, 1..200),
            size in 1..40_usize,
            client in "[a-z0-9-]{1,20}",
        ) {
            let without: Vec<u32> = all.iter().skip(1).copied().collect();
            let with: Vec<u32> = all.iter().copied().collect();
            let changed = with[0];
            let (small, large) = (subset(&client, size, &without), subset(&client, size, &with));
            let lost: Vec<_> = small.difference(&large).collect();
            let won: Vec<_> = large.difference(&small).collect();
            prop_assert!(lost.len() <= 1);
            prop_assert!(won.is_empty() || won == [&changed], "only the new one comes in");
            prop_assert!(lost.is_empty() || !won.is_empty());
        }

        #[test]
        fn the_size_is_kept_and_the_order_of_the_endpoints_does_not_matter(
            all in proptest::collection::hash_set(0..5000_u32, 0..100),
            size in 1..40_usize,
        ) {
            let mut all: Vec<u32> = all.into_iter().collect();
            let one = subset("c", size, &all);
            prop_assert_eq!(one.len(), size.min(all.len()));
            all.sort_unstable();
            prop_assert_eq!(subset("c", size, &all), one);
        }
    }
}
