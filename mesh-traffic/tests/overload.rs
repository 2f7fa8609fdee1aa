//! The simulation of `examples/overload` keeps what the budget promises.

#[path = "../examples/overload/dependency.rs"]
mod dependency;
#[path = "../examples/overload/tree.rs"]
mod tree;

use dependency::overload;
use tree::{Answers, call_tree};

#[tokio::test(start_paused = true)]
async fn with_the_budget_a_dependency_at_twice_its_load_still_does_nine_tenths_of_what_it_can() {
    let without = overload(None).await;
    let within = overload(Some(true)).await;
    assert!(without.goodput > 0.9, "{without:?}");
    assert!(within.goodput > 0.9, "{within:?}");
    assert!(within.asked < 2.0 * 1.21 + 0.06, "{within:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_budget_it_collapses() {
    let unbounded = overload(Some(false)).await;
    assert!(unbounded.goodput < 0.5, "{unbounded:?}");
    assert!(unbounded.asked > 5.0, "{unbounded:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tree_of_three_calls_with_retries_everywhere_sends_at_most_a_third_more() {
    for failing in [0.0, 0.1, 0.5, 1.0] {
        let tree = call_tree(failing, Answers::PassedOn, true).await;
        assert!(tree.all <= 1.3 && tree.leaf <= 1.3, "{failing}: {tree:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_passed_on_the_budgets_bound_what_each_layer_adds() {
    let bounded = call_tree(1.0, Answers::TheirOwn, true).await;
    assert!(bounded.all <= 1.6, "{bounded:?}");
    let unbounded = call_tree(1.0, Answers::TheirOwn, false).await;
    assert!(unbounded.leaf > 20.0, "{unbounded:?}");
}
