use divan::Bencher;
use mesh_core::body::Body;
use mesh_traffic::hedge::{HedgeLayer, HedgePolicy};
use mesh_traffic::retry::{BudgetPolicy, RetryBudget};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use super::asked::{ask, at_once, request, runtime};

/// Enough is measured for a second request, and the answer is there before it.
#[divan::bench]
fn hedges_that_do_not_happen(bencher: Bencher) {
    let now = Instant::now();
    let budget = RetryBudget::new(BudgetPolicy::default(), now);
    let layer = HedgeLayer::new(HedgePolicy::default(), budget, now);
    let service = layer.layer(service_fn(at_once::<Body>));
    runtime().block_on(async {
        while layer.hedges().delay(Instant::now()).is_none() {
            let answer = service.clone().oneshot(request(now)).await;
            assert!(answer.is_ok());
        }
    });
    ask(bencher, service);
}
