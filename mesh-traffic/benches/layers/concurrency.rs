use divan::Bencher;
use mesh_traffic::ConcurrencyLayer;
use mesh_traffic::concurrency::{AdaptiveConfig, ConcurrencyLimit, Waiting};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, ServiceBuilder, service_fn};
use tower_resilience::bulkhead::BulkheadLayer;

use super::asked::{ask, at_once};

pub(crate) fn layer() -> ConcurrencyLayer {
    let limit = ConcurrencyLimit::fixed(1024).expect("a limit");
    ConcurrencyLayer::new(limit, Waiting::new(64).expect("a line"))
}

pub(crate) fn bulkhead() -> BulkheadLayer {
    BulkheadLayer::builder()
        .max_concurrent_calls(1024)
        .build()
        .expect("a limit")
}

#[divan::bench]
fn concurrency_with_room(bencher: Bencher) {
    ask(bencher, layer().layer(service_fn(at_once)));
}

#[divan::bench]
fn concurrency_that_follows_latency(bencher: Bencher) {
    let limit = ConcurrencyLimit::adaptive(AdaptiveConfig::default()).expect("settings");
    let layer = ConcurrencyLayer::new(limit, Waiting::new(64).expect("a line"));
    ask(bencher, layer.layer(service_fn(at_once)));
}

/// Does not refuse: who is not ready waits, without an end.
#[divan::bench]
fn concurrency_with_room_tower(bencher: Bencher) {
    let layer = ConcurrencyLimitLayer::new(1024);
    ask(bencher, layer.layer(service_fn(at_once)));
}

#[divan::bench]
fn concurrency_with_room_tower_shedding(bencher: Bencher) {
    let stack = ServiceBuilder::new().load_shed().concurrency_limit(1024);
    ask(bencher, stack.service(service_fn(at_once)));
}

#[divan::bench]
fn concurrency_with_room_tower_resilience(bencher: Bencher) {
    ask(bencher, bulkhead().layer(service_fn(at_once)));
}
