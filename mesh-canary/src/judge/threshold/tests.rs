use std::sync::Arc;
use std::time::Duration;

use mesh_core::metric::{Histogram, Traffic};
use proptest::prelude::*;

use super::*;
use crate::analyzer::{Stage, Window};

const EDGES_MS: [u64; 6] = [100, 250, 500, 1000, 2500, 10_000];

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Requests of which so many are slower than the rest; a latency lies just below its edge.
fn traffic(requests: u64, errors: u64, (slow, slower_than_ms): (u64, u64)) -> Traffic {
    let edges: Arc<[Duration]> = EDGES_MS.map(Duration::from_millis).into();
    let mut counts = vec![0; EDGES_MS.len() + 1];
    counts[0] = requests - slow;
    let bucket = EDGES_MS
        .iter()
        .position(|edge| *edge > slower_than_ms)
        .unwrap_or(EDGES_MS.len());
    counts[bucket] += slow;
    Traffic {
        requests,
        errors,
        latency: Histogram::new(edges, counts).expect("a count a bucket"),
        ..Traffic::default()
    }
}

fn healthy(requests: u64) -> Traffic {
    traffic(requests, 0, (0, 0))
}

/// Ticks of five seconds from a moment on, all with this canary.
fn ticks(evidence: &mut Evidence, from: u64, until: u64, canary: &Traffic) {
    for at in (from..until).step_by(5) {
        let window = Window::new(s(at), s(at + 5)).with_weight(5);
        let window = window.with_stable(healthy(950)).with_canary(canary.clone());
        evidence.push(window).expect("in order");
    }
}

fn evidence() -> Evidence {
    Evidence::new(Stage::new(0, 5, s(0)))
}

fn after(seconds: u64, canary: &Traffic) -> Verdict {
    let mut evidence = evidence();
    ticks(&mut evidence, 0, seconds, canary);
    Threshold::default().judge(&evidence)
}

#[test]
fn the_limits_are_strict_on_both_sides() {
    // Of 100 requests a tick: errors, slow ones, slower than, verdict after the whole window.
    let cases = [
        (0, (0, 0), "promote"),
        (1, (0, 0), "promote"),
        (2, (0, 0), "inconclusive"),
        (5, (0, 0), "inconclusive"),
        (6, (0, 0), "rollback"),
        (100, (0, 0), "rollback"),
        (0, (5, 500), "promote"),
        (0, (6, 500), "inconclusive"),
        (0, (5, 1000), "promote"),
        (0, (6, 1000), "rollback"),
        (0, (100, 250), "promote"),
        (0, (100, 500), "inconclusive"),
        (0, (100, 10_000), "rollback"),
        (2, (6, 1000), "rollback"),
    ];
    for (errors, slow, word) in cases {
        let verdict = after(300, &traffic(100, errors, slow));
        assert_eq!(
            verdict.word(),
            word,
            "{errors} errors, {slow:?} slow of 100: {verdict}"
        );
    }
}

#[test]
fn a_rollback_needs_its_whole_window_and_no_more() {
    let bad = traffic(100, 50, (0, 0));
    assert_eq!(after(55, &bad).word(), "continue");
    assert_eq!(after(60, &bad).word(), "rollback");
}

#[test]
fn a_success_needs_its_whole_window() {
    let verdict = after(295, &healthy(100));
    assert_eq!(
        verdict.to_string(),
        "continue: requests 5900 (at least 299, 5900 requests in 4m55s); 5s to go"
    );
    assert_eq!(after(300, &healthy(100)).word(), "promote");
}

#[test]
fn a_minute_of_errors_is_enough_after_an_hour_of_health() {
    let mut evidence = evidence();
    ticks(&mut evidence, 0, 3600, &healthy(100));
    assert_eq!(Threshold::default().judge(&evidence).word(), "promote");
    ticks(&mut evidence, 3600, 3660, &traffic(100, 6, (0, 0)));
    let verdict = Threshold::default().judge(&evidence);
    assert_eq!(
        verdict.to_string(),
        "rollback: error rate 6% (at most 5%, stable 0%, 1200 requests in 1m)"
    );
}

#[test]
fn a_success_of_the_stage_before_is_not_one_of_this_stage() {
    let mut evidence = evidence();
    ticks(&mut evidence, 0, 600, &healthy(100));
    evidence.enter(Stage::new(1, 10, s(600)));
    assert_eq!(Threshold::default().judge(&evidence).word(), "continue");
    ticks(&mut evidence, 600, 895, &healthy(100));
    assert_eq!(Threshold::default().judge(&evidence).word(), "continue");
    ticks(&mut evidence, 895, 900, &healthy(100));
    assert_eq!(Threshold::default().judge(&evidence).word(), "promote");
}

#[test]
fn errors_before_a_stage_began_still_roll_back_in_it() {
    let mut evidence = evidence();
    ticks(&mut evidence, 0, 60, &traffic(100, 50, (0, 0)));
    evidence.enter(Stage::new(1, 10, s(60)));
    assert_eq!(Threshold::default().judge(&evidence).word(), "rollback");
}

#[test]
fn no_evidence_and_no_requests_are_never_a_success() {
    assert_eq!(Threshold::default().judge(&evidence()).word(), "continue");
    let verdict = after(3600, &Traffic::default());
    assert_eq!(
        verdict.to_string(),
        "continue: requests 0 (at least 299, 0 requests in 1h)"
    );
}

#[test]
fn a_canary_that_gets_no_requests_any_more_is_held() {
    let mut evidence = evidence();
    ticks(&mut evidence, 0, 600, &healthy(100));
    ticks(&mut evidence, 600, 900, &Traffic::default());
    let verdict = Threshold::default().judge(&evidence);
    assert_eq!(
        verdict.to_string(),
        "continue: newest requests 0 (at least 1, 0 requests in 5m)"
    );
}

#[test]
fn at_a_low_rate_the_window_grows_until_it_holds_enough_requests() {
    // One request in five seconds: 299 take 1495 s.
    let verdict = after(1490, &healthy(1));
    assert_eq!(
        verdict.to_string(),
        "continue: requests 298 (at least 299, 298 requests in 24m50s); 5s to go"
    );
    assert_eq!(after(1495, &healthy(1)).word(), "promote");
    // And 20 for a rollback take 100 s.
    assert_eq!(after(95, &traffic(1, 1, (0, 0))).word(), "continue");
    assert_eq!(after(100, &traffic(1, 1, (0, 0))).word(), "rollback");
}

#[test]
fn time_in_which_nobody_counted_does_not_fill_a_window() {
    let mut evidence = evidence();
    let bad = traffic(100, 50, (0, 0));
    ticks(&mut evidence, 0, 30, &bad);
    ticks(&mut evidence, 300, 325, &bad);
    assert_eq!(Threshold::default().judge(&evidence).word(), "continue");
    ticks(&mut evidence, 325, 330, &bad);
    assert_eq!(Threshold::default().judge(&evidence).word(), "rollback");
}

#[test]
fn latencies_nobody_measured_are_not_fast() {
    let unmeasured = Traffic {
        requests: 100,
        ..Traffic::default()
    };
    let verdict = after(300, &unmeasured);
    assert_eq!(
        verdict.to_string(),
        "inconclusive, not measured: P95 response time not measured (at most 500ms, stable 95ms, 6000 requests in 5m)"
    );
}

#[test]
fn a_limit_beyond_the_last_edge_is_neither_kept_nor_exceeded_up_there() {
    let judge = Threshold::new(
        Criteria::over(s(300)).response_time(s(20)),
        Criteria::over(s(60)).response_time(s(30)),
    )
    .expect("valid");
    let mut evidence = evidence();
    ticks(&mut evidence, 0, 300, &traffic(100, 0, (6, 10_000)));
    let verdict = judge.judge(&evidence);
    assert!(
        verdict
            .to_string()
            .contains("P95 response time more than 10000ms (at most 20000ms"),
        "{verdict}"
    );
    assert_eq!(verdict.word(), "inconclusive");
}

#[test]
fn criteria_that_cannot_be_are_refused_with_their_key() {
    let good = || Criteria::over(s(60)).error_rate(0.05).response_time(s(1));
    let cases = [
        (
            Criteria::over(s(0)).error_rate(0.01),
            "successCriteria.duration is 0s",
        ),
        (
            Criteria::over(s(60)).error_rate(f64::NAN),
            "successCriteria.errorRate is NaN",
        ),
        (
            Criteria::over(s(60)).error_rate(-0.1),
            "successCriteria.errorRate is -0.1",
        ),
        (
            Criteria::over(s(60)).response_time(s(0)),
            "successCriteria.responseTime is 0s",
        ),
        (
            Criteria::over(s(60)).error_rate(0.01).min_requests(0),
            "successCriteria.minimumRequests is 0",
        ),
        (Criteria::over(s(60)), "successCriteria is without a limit"),
        (
            Criteria::over(s(60)).error_rate(0.06),
            "successCriteria.errorRate is 0.06: expected at most rollbackCriteria.errorRate",
        ),
        (
            Criteria::over(s(60)).response_time(s(2)),
            "successCriteria.responseTime is 2s: expected at most rollbackCriteria.responseTime",
        ),
    ];
    for (success, why) in cases {
        let error = Threshold::new(success, good()).expect_err(why);
        assert!(error.to_string().starts_with(why), "{error}");
    }
    let error = Threshold::new(good(), Criteria::over(s(60))).expect_err("no limit");
    assert_eq!(error.key(), "rollbackCriteria");
}

#[test]
fn the_least_number_of_requests_follows_from_the_rate_that_is_to_be_proven() {
    assert_eq!(proving(0.01), 299);
    assert_eq!(proving(0.05), 59);
    assert_eq!(proving(0.5), FEWEST);
    assert_eq!(proving(1.0), FEWEST);
    assert!(proving(1e-6) > 2_900_000);
    assert_eq!(proving(0.0), 2_995);
}

fn random_ticks() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let tick = (0..200_u64).prop_flat_map(|requests| {
        let few = (0..=requests / 50).boxed();
        let any = (0..=requests).boxed();
        (
            Just(requests),
            prop_oneof![4 => few.clone(), 1 => any.clone()],
            prop_oneof![4 => few, 1 => any],
        )
    });
    proptest::collection::vec(tick, 0..120)
}

fn judged(ticks: &[(u64, u64, u64)], stage_from: u64) -> (Verdict, Evidence) {
    let mut evidence = Evidence::new(Stage::new(1, 5, s(stage_from)));
    for (n, (requests, errors, slow)) in (0..).zip(ticks) {
        let canary = traffic(*requests, *errors, (*slow, 1000));
        evidence
            .push(Window::new(s(5 * n), s(5 * n + 5)).with_canary(canary))
            .expect("in order");
    }
    (Threshold::default().judge(&evidence), evidence)
}

proptest! {
    #[test]
    fn more_errors_never_turn_a_rollback_into_anything_better(
        ticks in random_ticks(),
        at in any::<prop::sample::Index>(),
        more in 1..50_u64,
    ) {
        prop_assume!(!ticks.is_empty());
        let badness = |verdict: &Verdict| match verdict {
            Verdict::Rollback(_) => 2,
            Verdict::Inconclusive(..) => 1,
            Verdict::Promote(_) | Verdict::Continue(_) => 0,
        };
        let mut worse = ticks.clone();
        let tick = &mut worse[at.index(ticks.len())];
        tick.1 = (tick.1 + more).min(tick.0);
        tick.2 = (tick.2 + more).min(tick.0);
        let (before, _) = judged(&ticks, 0);
        let (after, _) = judged(&worse, 0);
        prop_assert!(badness(&after) >= badness(&before), "{} became {}", before, after);
        if matches!(after, Verdict::Promote(_)) {
            prop_assert_eq!(before.word(), "promote");
        }
    }

    #[test]
    fn a_promotion_has_its_time_and_its_requests_in_the_stage(ticks in random_ticks(), stage in 0..60_u64) {
        let (verdict, evidence) = judged(&ticks, stage * 5);
        if matches!(verdict, Verdict::Promote(_)) {
            let seen = evidence.in_stage();
            prop_assert!(seen.span >= s(300) && seen.canary.requests >= 299, "{} in {:?}", verdict, seen);
        }
    }

    #[test]
    fn every_verdict_tells_numbers_unless_nothing_was_seen(ticks in random_ticks()) {
        let (verdict, _) = judged(&ticks, 0);
        prop_assert!(!verdict.reason().findings.is_empty());
    }
}
