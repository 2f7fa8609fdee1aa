use divan::Bencher;
use mesh_traffic::hedge::{HedgeLayer, HedgePolicy};
use mesh_traffic::retry::{BudgetPolicy, RetryBudget};
use tokio::time::Instant;
use tower::{Layer, service_fn};

use super::asked::{ask, at_once};

/// Measured, and ready to be sent a second time.
#[divan::bench]
fn hedges_that_do_not_happen(bencher: Bencher) {
    let now = Instant::now();
    let budget = RetryBudget::new(BudgetPolicy::default(), now);
    let layer = HedgeLayer::new(HedgePolicy::default(), budget, now);
    ask(bencher, layer.layer(service_fn(at_once)));
}
