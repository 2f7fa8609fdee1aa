use divan::{Bencher, black_box};
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_traffic::retry::BudgetPolicy;
use mesh_traffic::{RetryBudget, RetryLayer, RetryPolicy};
use tokio::time::Instant;
use tower::{Layer, ServiceBuilder, service_fn};
use tower_resilience::retry::RetryBudgetBuilder;

use super::asked::{ask, at_once};
use super::stock::{Copied, Fifth};

pub(crate) fn layer() -> RetryLayer {
    let budget = RetryBudget::new(BudgetPolicy::default(), Instant::now());
    RetryLayer::new(RetryPolicy::default(), budget)
}

/// Its budget is a bucket of tokens. It copies every request.
pub(crate) fn stock_retry<E>() -> tower_resilience::retry::RetryLayer<Copied, Response<Body>, E> {
    let budget = RetryBudgetBuilder::new()
        .token_bucket()
        .build()
        .expect("a budget");
    tower_resilience::retry::RetryLayer::builder()
        .max_attempts(3)
        .budget(budget)
        .retry_on_response(|response: &Response<Body>| response.status().is_server_error())
        .build()
}

#[divan::bench]
fn retries_that_do_not_happen(bencher: Bencher) {
    ask(bencher, layer().layer(service_fn(at_once)));
}

#[divan::bench]
fn retries_that_do_not_happen_tower(bencher: Bencher) {
    let layer = tower::retry::RetryLayer::new(Fifth::default());
    ask(bencher, layer.layer(service_fn(at_once)));
}

#[divan::bench]
fn retries_that_do_not_happen_tower_resilience(bencher: Bencher) {
    let inner = stock_retry().layer(service_fn(|Copied(request): Copied| at_once(request)));
    let stack = ServiceBuilder::new().map_request(|request: Request<Body>| Copied(request));
    ask(bencher, stack.service(inner));
}

/// What every request adds to a budget, from all threads.
#[divan::bench(threads = [1, 2, 4])]
fn count_in_a_budget(bencher: Bencher) {
    let now = Instant::now();
    let budget = RetryBudget::new(BudgetPolicy::default(), now);
    bencher.bench(|| budget.on_request(black_box(now)));
}
