use divan::Bencher;
use mesh_traffic::{BreakerLayer, ServiceBreaker};
use tokio::time::Instant;
use tower::{Layer, service_fn};
use tower_resilience::circuitbreaker::{CircuitBreakerLayer, DefaultClassifier};

use super::asked::{ask, at_once};

pub(crate) fn layer() -> BreakerLayer {
    let service = "orders".parse().expect("a name");
    BreakerLayer::new(ServiceBreaker::new(service, Default::default(), Instant::now()))
}

pub(crate) fn circuit_breaker() -> CircuitBreakerLayer<DefaultClassifier> {
    CircuitBreakerLayer::builder().build().expect("settings")
}

#[divan::bench]
fn breaker_that_is_closed(bencher: Bencher) {
    ask(bencher, layer().layer(service_fn(at_once)));
}

/// Looks at errors only, and is done with the head.
#[divan::bench]
fn breaker_that_is_closed_tower_resilience(bencher: Bencher) {
    ask(bencher, circuit_breaker().layer(service_fn(at_once)));
}
