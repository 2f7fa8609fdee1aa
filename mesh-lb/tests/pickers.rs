//! What every picker keeps to, and what each kind of them does, tried with sets, weights and loads at random.
//!
//! `PROPTEST_CASES` sets how many of them; 32 unless told.

use std::collections::HashMap;
use std::sync::Arc;

use http::Request;
use mesh_core::{Endpoint, EndpointId, KeyBy, RequestHead};
use mesh_lb::load::InFlight;
use mesh_lb::policy::LoadBound;
use mesh_lb::{
    LeastConnections, LoadBalancer, Maglev, PeakEwma, PickContext, Picker, Random, RingHash, RoundRobin,
    SlotView, Weighted,
};
use proptest::prelude::*;
use tokio::time::Instant;

/// What a picker promises of weights.
#[derive(Clone, Copy, Debug)]
enum Shares {
    /// All get the same, as chance has it.
    Equal,
    /// To the request, in every round.
    ByTurn,
    /// As chance has it.
    ByChance,
    /// Of the requests that it carries at a time, when none ends.
    OfLoad,
    /// As the points on the ring have it.
    ByPoints,
    /// To a place of the table.
    ByPlaces,
}

struct Algorithm {
    name: &'static str,
    balancer: Box<dyn LoadBalancer>,
    shares: Shares,
}

fn by_header() -> KeyBy {
    "header:x-key".parse().expect("a key")
}

fn algorithms() -> Vec<Algorithm> {
    fn algorithm(name: &'static str, balancer: impl LoadBalancer, shares: Shares) -> Algorithm {
        Algorithm {
            name,
            balancer: Box::new(balancer),
            shares,
        }
    }
    vec![
        algorithm("round_robin", RoundRobin::new(), Shares::ByTurn),
        algorithm("least_connections", LeastConnections::new(), Shares::OfLoad),
        algorithm("random", Random::new(), Shares::Equal),
        algorithm("weighted", Weighted::new(), Shares::ByChance),
        algorithm("p2c_ewma", PeakEwma::new(), Shares::OfLoad),
        algorithm("ring_hash", RingHash::new(by_header()), Shares::ByPoints),
        algorithm("maglev", Maglev::new(by_header()), Shares::ByPlaces),
    ]
}

/// Those that keep a key at one endpoint.
fn by_key(bound: LoadBound) -> [(&'static str, Box<dyn LoadBalancer>); 2] {
    [
        ("ring_hash", Box::new(RingHash::new(by_header()).bound(bound))),
        ("maglev", Box::new(Maglev::new(by_header()).bound(bound))),
    ]
}

fn cases() -> ProptestConfig {
    let told = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if told { default.cases } else { 32 },
        failure_persistence: None,
        ..default
    }
}

fn slots(weights: &[u32]) -> Vec<SlotView> {
    let slot = |(i, weight): (usize, &u32)| {
        let address = std::net::SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 3001));
        let endpoint = Endpoint::new(address.into()).with_weight(*weight);
        SlotView::new(Arc::new(endpoint), Arc::default())
    };
    weights.iter().enumerate().map(slot).collect()
}

fn request(key: impl std::fmt::Display) -> Request<()> {
    let request = Request::get("/").header("x-key", key.to_string());
    request.body(()).expect("a request")
}

/// Requests at a slot until it is dropped.
fn begin(slots: &[SlotView], slot: usize, requests: u32) -> Vec<InFlight> {
    (0..requests).map(|_| slots[slot].load.begin()).collect()
}

/// The endpoints that keys `0..keys` belong to.
fn homes(picker: &dyn Picker, slots: &[SlotView], keys: u32) -> Vec<EndpointId> {
    let now = Instant::now();
    let home = |key| {
        let request = request(key);
        let cx = PickContext::new(fastrand::u64(..), now).for_request(RequestHead::of(&request));
        let slot = picker.pick(&cx).expect("there are slots");
        slots[slot].endpoint.id().clone()
    };
    (0..keys).map(home).collect()
}

/// How many of `picks` picks each slot gets; without a key, so that all of a table is seen.
fn counts(algorithm: &Algorithm, slots: &[SlotView], picks: u32) -> Vec<u32> {
    let picker = algorithm.balancer.picker(slots);
    let hold = matches!(algorithm.shares, Shares::OfLoad);
    let (mut random, now) = (fastrand::Rng::with_seed(11), Instant::now());
    let mut held = Vec::new();
    let mut counts = vec![0; slots.len()];
    for _ in 0..picks {
        let slot = picker
            .pick(&PickContext::new(random.u64(..), now))
            .expect("there are slots");
        counts[slot] += 1;
        if hold {
            held.push(slots[slot].load.begin());
        }
    }
    counts
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn weights_are_met(weights in proptest::collection::vec(0_u32..=8, 1..20)) {
        let all: u32 = weights.iter().sum();
        prop_assume!(all > 0);
        let usable = weights.iter().filter(|w| **w > 0).count() as f64;
        // Whole rounds of round robin.
        let picks = (4_000 / all + 1) * all;
        for algorithm in algorithms() {
            let counts = counts(&algorithm, &slots(&weights), picks);
            for (weight, count) in weights.iter().zip(&counts) {
                if *weight == 0 {
                    prop_assert_eq!(*count, 0, "{} picks a weight of zero", algorithm.name);
                    continue;
                }
                let share = match algorithm.shares {
                    Shares::Equal => 1.0 / usable,
                    _ => f64::from(*weight) / f64::from(all),
                };
                let want = share * f64::from(picks);
                // Five standard deviations of a count by chance.
                let chance = 5.0 * want.sqrt() + 1.0;
                let off = match algorithm.shares {
                    Shares::ByTurn => 1e-6 * want,
                    Shares::Equal | Shares::ByChance => chance,
                    Shares::OfLoad => 0.02 * want + 8.0,
                    Shares::ByPoints => {
                        let points = share * 384.0 * usable;
                        chance + 5.0 * want / points.sqrt()
                    }
                    Shares::ByPlaces => chance + f64::from(picks) / 65_537.0,
                };
                let name = algorithm.name;
                prop_assert!(
                    (f64::from(*count) - want).abs() <= off,
                    "{name}: {count} instead of {want} ± {off} of {picks}: {counts:?}"
                );
            }
        }
    }

    #[test]
    fn a_tried_endpoint_is_picked_only_if_there_is_no_other(
        weights in proptest::collection::vec(prop_oneof![0_u32..3, 0..=u32::MAX], 0..12),
        busy in proptest::collection::vec(0_u32..4, 12),
        tried in proptest::collection::vec(0_usize..14, 0..6),
        random in any::<u64>(),
        key in proptest::option::of("[a-z]{0,9}"),
    ) {
        let slots = slots(&weights);
        let _busy: Vec<_> = (0..slots.len()).map(|slot| begin(&slots, slot, busy[slot])).collect();
        let usable = |slot: usize| weights[slot] > 0;
        let request = key.map(request);
        for Algorithm { name, balancer, .. } in algorithms() {
            let mut cx = PickContext::new(random, Instant::now()).avoiding(&tried);
            if let Some(request) = &request {
                cx = cx.for_request(RequestHead::of(request));
            }
            let picker = balancer.picker(&slots);
            for _ in 0..4 {
                match picker.pick(&cx) {
                    None => prop_assert!(!(0..slots.len()).any(usable), "{name} finds none"),
                    Some(slot) => {
                        prop_assert!(usable(slot), "{name} picks a weight of zero");
                        let another = (0..slots.len()).any(|slot| usable(slot) && !cx.was_tried(slot));
                        prop_assert!(!(another && cx.was_tried(slot)), "{name} picks {slot} again");
                    }
                }
            }
        }
    }

    #[test]
    fn an_endpoint_that_goes_moves_its_own_keys_and_few_others(endpoints in 2_usize..50, gone in 0_usize..50) {
        let (all, gone) = (slots(&vec![1; endpoints]), gone % endpoints);
        let mut rest = all.clone();
        let gone = rest.remove(gone).endpoint.id().clone();
        const KEYS: u32 = 1_000;
        for (name, balancer) in by_key(LoadBound::default()) {
            let before = homes(&*balancer.picker(&all), &all, KEYS);
            let after = homes(&*balancer.picker(&rest), &rest, KEYS);
            let own = before.iter().filter(|home| **home == gone).count() as f64;
            let others = before.iter().zip(&after).filter(|(b, a)| **b != gone && b != a).count();
            let fair = f64::from(KEYS) / endpoints as f64;
            prop_assert!(own <= 1.5 * fair + 5.0 * fair.sqrt(), "{name}: {own} were its own, {fair} are fair");
            let allowed = if name == "maglev" { KEYS as usize / 20 } else { 0 };
            prop_assert!(others <= allowed, "{name}: {others} of {KEYS} others moved, of {endpoints} endpoints");
        }
    }

    #[test]
    fn where_a_key_belongs_does_not_depend_on_the_order_of_discovery(
        weights in proptest::collection::vec(0_u32..5, 2..30),
        seed in any::<u64>(),
    ) {
        prop_assume!(weights.iter().any(|w| *w > 0));
        let all = slots(&weights);
        let mut shuffled = all.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        for (name, balancer) in by_key(LoadBound::default()) {
            let (a, b) = (balancer.picker(&all), balancer.picker(&shuffled));
            prop_assert_eq!(homes(&*a, &all, 300), homes(&*b, &shuffled, 300), "{}", name);
        }
    }

    #[test]
    fn an_endpoint_beyond_the_bound_takes_no_request(
        weights in proptest::collection::vec(1_u32..=6, 1..=32),
        percent in 100_u32..200,
        keys in 1_u32..5,
    ) {
        let bound = LoadBound::of_percent(percent).expect("at least 100");
        let all: u32 = weights.iter().sum();
        for (name, balancer) in by_key(bound) {
            let slots = slots(&weights);
            let picker = balancer.picker(&slots);
            let mut held = Vec::new();
            for key in 0..300 {
                let request = request(key % keys);
                let cx = PickContext::new(0, Instant::now()).for_request(RequestHead::of(&request));
                let slot = picker.pick(&cx).expect("there are slots");
                let carried = f64::from(slots[slot].load.in_flight());
                let fair = (held.len() as f64 + 1.0) * f64::from(weights[slot]) / f64::from(all);
                prop_assert!(carried < f64::from(percent) / 100.0 * fair + 1e-9, "{name}: {carried} of {fair}");
                held.push(slots[slot].load.begin());
            }
        }
    }
}

#[test]
fn a_key_stays_at_its_endpoint_while_that_is_not_the_busiest() {
    for (name, balancer) in by_key(LoadBound::default()) {
        let slots = slots(&[1; 8]);
        let picker = balancer.picker(&slots);
        let idle = homes(&*picker, &slots, 200);
        let _busy: Vec<_> = (0..8).map(|slot| begin(&slots, slot, 10)).collect();
        assert_eq!(homes(&*picker, &slots, 200), idle, "{name}");
        let _busier = begin(&slots, 3, 10);
        let busy = homes(&*picker, &slots, 200);
        let relieved = slots[3].endpoint.id();
        for (before, after) in idle.iter().zip(&busy) {
            assert!(after == before || before == relieved, "{name}");
            assert_ne!(after, relieved, "{name}");
        }
    }
}

#[test]
fn without_a_bound_a_key_stays_whatever_its_endpoint_carries() {
    for (name, balancer) in by_key(LoadBound::NONE) {
        let slots = slots(&[1, 1]);
        let picker = balancer.picker(&slots);
        let before = homes(&*picker, &slots, 50);
        let _busy = begin(&slots, 0, 1_000);
        assert_eq!(homes(&*picker, &slots, 50), before, "{name}");
    }
}

#[test]
fn one_popular_key_does_not_overload_one_of_many_endpoints() {
    for (name, balancer) in by_key(LoadBound::default()) {
        let slots = slots(&[1; 500]);
        let picker = balancer.picker(&slots);
        let (request, mut random) = (request("popular"), fastrand::Rng::with_seed(1));
        let mut held = Vec::new();
        for _ in 0..5_000 {
            let cx = PickContext::new(random.u64(..), Instant::now()).for_request(RequestHead::of(&request));
            held.push(slots[picker.pick(&cx).expect("there are slots")].load.begin());
        }
        // What all carry is estimated, and so is the bound of 12.5.
        let most = slots.iter().map(|slot| slot.load.in_flight()).max();
        assert!(most.is_some_and(|most| most <= 25), "{name}: {most:?}");
    }
}

#[test]
fn a_weight_that_changes_moves_few_keys() {
    for (name, balancer) in by_key(LoadBound::default()) {
        let (before, after) = (slots(&[64; 10]), slots(&[64, 64, 64, 64, 64, 64, 64, 64, 64, 6]));
        let (a, b) = (balancer.picker(&before), balancer.picker(&after));
        let (a, b) = (homes(&*a, &before, 2_000), homes(&*b, &after, 2_000));
        let moved = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        // A tenth of the keys belonged to the one that became lighter.
        assert!((100..300).contains(&moved), "{name}: {moved}");
    }
}

#[test]
fn processes_of_two_versions_agree_where_a_key_belongs() {
    let slots = slots(&[1, 1, 2, 1, 3]);
    let places: HashMap<&EndpointId, usize> = slots
        .iter()
        .enumerate()
        .map(|(i, slot)| (slot.endpoint.id(), i))
        .collect();
    let found = by_key(LoadBound::default()).map(|(_, balancer)| {
        let homes = homes(&*balancer.picker(&slots), &slots, 12);
        homes.iter().map(|home| places[home]).collect::<Vec<_>>()
    });
    let expected = [
        [4, 3, 0, 3, 4, 2, 4, 2, 1, 4, 4, 4],
        [0, 2, 4, 2, 2, 4, 4, 0, 4, 3, 4, 4],
    ];
    assert_eq!(
        found, expected,
        "a change here sends every user to another endpoint once"
    );
}

#[test]
fn no_number_of_endpoints_is_too_small_or_too_large() {
    let request = request("k");
    for n in [0, 1, 2, 10_000] {
        let mixed: Vec<u32> = (0..n)
            .map(|i| if i % 7 == 0 { 0 } else { 1 << (i % 32) })
            .collect();
        for weights in [
            vec![1; n as usize],
            vec![0; n as usize],
            vec![u32::MAX; n as usize],
            mixed,
        ] {
            let slots = slots(&weights);
            let _busy: Vec<_> = (0..slots.len())
                .step_by(3)
                .map(|slot| slots[slot].load.begin())
                .collect();
            for Algorithm { name, balancer, .. } in algorithms() {
                let picker = balancer.picker(&slots);
                let mut tried = Vec::new();
                for random in [0, 1, u64::MAX, u64::MAX / 3, 1 << 63, 1 << 32] {
                    let cx = PickContext::new(random, Instant::now()).avoiding(&tried);
                    for cx in [cx, cx.for_request(RequestHead::of(&request))] {
                        let slot = picker.pick(&cx);
                        assert_eq!(slot.is_some(), weights.iter().any(|w| *w > 0), "{name} of {n}");
                        assert!(slot.is_none_or(|slot| weights[slot] > 0), "{name} of {n}");
                    }
                    tried.extend(picker.pick(&cx));
                }
            }
        }
    }
}
