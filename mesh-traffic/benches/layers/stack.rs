//! Whole stacks, in the order of docs/layers.md.

use std::time::Duration;

use divan::Bencher;
use http::Request;
use mesh_core::body::Body;
use mesh_traffic::DeadlineLayer;
use tower::{Layer, ServiceBuilder, service_fn};

use super::asked::{ENOUGH, ask, ask_in_runtime, ask_made, at_once};
use super::stock::{Copied, Fifth};
use super::{breaker, concurrency, deadline, limit, retry, route};

const LIMIT: Duration = Duration::from_secs(3600);
/// What `Buffer` holds.
const HELD: usize = 1024;

#[divan::bench]
fn server(bencher: Bencher) {
    let stack = ServiceBuilder::new()
        .layer(limit::layer())
        .layer(concurrency::layer())
        .layer(DeadlineLayer::at_most(LIMIT));
    ask(bencher, stack.service(service_fn(at_once)));
}

/// With rules, which give the time limit.
#[divan::bench]
fn server_with_routes(bencher: Bencher) {
    let stack = ServiceBuilder::new()
        .layer(route::layer())
        .layer(limit::layer())
        .layer(concurrency::layer())
        .layer(DeadlineLayer::inherited());
    ask(bencher, stack.service(service_fn(at_once)));
}

/// For one task: it is no `Clone`.
#[divan::bench]
fn server_tower(bencher: Bencher) {
    let stack = ServiceBuilder::new()
        .load_shed()
        .rate_limit(ENOUGH.into(), Duration::from_secs(1))
        .concurrency_limit(1024)
        .timeout(LIMIT);
    ask_made(bencher, || stack.service(service_fn(at_once)));
}

/// As a server has it, whose connections share the limits: that of the rate in front of a task.
#[divan::bench]
fn server_in_runtime_tower(bencher: Bencher) {
    ask_in_runtime(bencher, || {
        ServiceBuilder::new()
            .load_shed()
            .buffer(HELD)
            .rate_limit(ENOUGH.into(), Duration::from_secs(1))
            .concurrency_limit(1024)
            .timeout(LIMIT)
            .service(service_fn(at_once))
    });
}

#[divan::bench]
fn server_in_runtime(bencher: Bencher) {
    ask_in_runtime(bencher, || {
        ServiceBuilder::new()
            .layer(limit::layer())
            .layer(concurrency::layer())
            .layer(DeadlineLayer::at_most(LIMIT))
            .service(service_fn(at_once))
    });
}

#[divan::bench]
fn server_tower_resilience(bencher: Bencher) {
    let stack = ServiceBuilder::new()
        .layer(limit::rate_limiter())
        .layer(concurrency::bulkhead())
        .layer(deadline::time_limiter());
    ask(bencher, stack.service(service_fn(at_once)));
}

#[divan::bench]
fn client(bencher: Bencher) {
    let stack = ServiceBuilder::new()
        .layer(DeadlineLayer::at_most(LIMIT))
        .layer(retry::layer())
        .layer(breaker::layer());
    ask(bencher, stack.service(service_fn(at_once)));
}

#[divan::bench]
fn client_with_routes(bencher: Bencher) {
    let stack = ServiceBuilder::new()
        .layer(route::layer())
        .layer(DeadlineLayer::inherited())
        .layer(retry::layer())
        .layer(breaker::layer());
    ask(bencher, stack.service(service_fn(at_once)));
}

#[divan::bench]
fn client_without_breaker(bencher: Bencher) {
    let stack = ServiceBuilder::new()
        .layer(DeadlineLayer::at_most(LIMIT))
        .layer(retry::layer());
    ask(bencher, stack.service(service_fn(at_once)));
}

/// tower has no breaker.
#[divan::bench]
fn client_without_breaker_tower(bencher: Bencher) {
    let stack = ServiceBuilder::new().timeout(LIMIT).retry(Fifth::default());
    ask(bencher, stack.service(service_fn(at_once)));
}

/// The stack that meshes are made of with tower: it sheds, and what balances is no `Clone` and so in a task of its own.
#[divan::bench]
fn client_in_runtime_tower(bencher: Bencher) {
    ask_in_runtime(bencher, || {
        ServiceBuilder::new()
            .load_shed()
            .concurrency_limit(1024)
            .timeout(LIMIT)
            .retry(Fifth::default())
            .buffer(HELD)
            .service(service_fn(at_once))
    });
}

/// All that the one above does, but for the task.
#[divan::bench]
fn client_in_runtime(bencher: Bencher) {
    ask_in_runtime(bencher, || {
        ServiceBuilder::new()
            .layer(concurrency::layer())
            .layer(DeadlineLayer::at_most(LIMIT))
            .layer(retry::layer())
            .layer(breaker::layer())
            .service(service_fn(at_once))
    });
}

#[divan::bench]
fn client_tower_resilience(bencher: Bencher) {
    let inner = ServiceBuilder::new()
        .layer(breaker::circuit_breaker())
        .service(service_fn(|Copied(request): Copied| at_once(request)));
    let stack = ServiceBuilder::new()
        .map_request(|request: Request<Body>| Copied(request))
        .layer(deadline::time_limiter())
        .service(retry::stock_retry().layer(inner));
    ask(bencher, stack);
}
