use std::sync::Arc;

use mesh_core::metric::{Histogram, Refusals, Repeats, Traffic};
use proptest::prelude::*;

use super::*;
use crate::analyzer::{Stage, Window};

const EDGES_MS: [u64; 5] = [50, 100, 500, 1000, 5000];

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Requests that took less than 100 ms, except for some that took longer than an edge.
fn traffic(requests: u64, errors: u64, (slow, slower_than_ms): (u64, u64)) -> Traffic {
    let edges: Arc<[Duration]> = EDGES_MS.map(Duration::from_millis).into();
    let mut counts = vec![0; EDGES_MS.len() + 1];
    counts[1] = requests - slow;
    let bucket = EDGES_MS.iter().position(|edge| *edge > slower_than_ms);
    counts[bucket.unwrap_or(EDGES_MS.len())] += slow;
    Traffic {
        requests,
        errors,
        latency: Histogram::new(edges, counts).expect("a count a bucket"),
        ..Traffic::default()
    }
}

fn good(requests: u64) -> Traffic {
    traffic(requests, 0, (0, 0))
}

fn evidence() -> Evidence {
    Evidence::new(Stage::new(0, 10, s(0))).with_planned(s(1800))
}

/// Ticks of five seconds in which the canary is to get 10 %.
fn ticks(evidence: &mut Evidence, from: u64, until: u64, stable: &Traffic, canary: &Traffic) {
    for at in (from..until).step_by(5) {
        let window = Window::new(s(at), s(at + 5)).with_weight(10);
        let window = window.with_stable(stable.clone()).with_canary(canary.clone());
        evidence.push(window).expect("in order");
    }
}

fn after(seconds: u64, stable: &Traffic, canary: &Traffic) -> Verdict {
    let mut evidence = evidence();
    ticks(&mut evidence, 0, seconds, stable, canary);
    Sequential::default().judge(&evidence)
}

#[test]
fn no_evidence_and_no_requests_are_never_a_success() {
    let judge = Sequential::default();
    assert_eq!(judge.judge(&evidence()).word(), "continue");
    assert_eq!(after(600, &good(0), &good(0)).word(), "continue");
    assert_eq!(
        after(3600, &good(900), &good(0)).to_string(),
        "inconclusive, the traffic was not split as configured: the canary's share of the requests 0% (at least \
         10%, 647100 requests in 59m55s); evidence 1.0"
    );
}

#[test]
fn a_good_canary_is_promoted_once_it_is_proven_and_the_time_is_over() {
    let verdict = after(295, &good(90), &good(10));
    assert_eq!(verdict.word(), "continue", "{verdict}");
    assert_eq!(verdict.reason().wait, Some(s(5)));
    let verdict = after(300, &good(90), &good(10));
    assert_eq!(
        verdict.to_string(),
        "promote: error rate 0% (at most 1%, stable 0%, 600 requests in 5m); P95 response time 97.5ms (at most 500ms, \
         stable 97.5ms, 600 requests in 5m); evidence 0.8"
    );
}

#[test]
fn too_few_requests_are_held_until_they_prove_something() {
    // One request of the canary a tick: 60 after five minutes.
    let verdict = after(300, &good(9), &good(1));
    let Verdict::Continue(reason) = &verdict else {
        panic!("{verdict}")
    };
    let wait = reason.wait.expect("at this rate it can be told");
    assert!((s(1950)..s(2050)).contains(&wait), "{verdict}");
    assert_eq!(
        after(300 + wait.as_secs() / 5 * 5 - 5, &good(9), &good(1)).word(),
        "continue"
    );
    assert_eq!(
        after(300 + wait.as_secs() / 5 * 5 + 5, &good(9), &good(1)).word(),
        "promote"
    );
}

#[test]
fn what_proves_nothing_in_an_hour_is_for_somebody_to_look_at() {
    let mut evidence = evidence();
    // A request of the canary in every ten seconds.
    for at in (0..3600).step_by(10) {
        ticks(&mut evidence, at, at + 5, &good(5), &good(1));
        ticks(&mut evidence, at + 5, at + 10, &good(4), &good(0));
        let verdict = Sequential::default().judge(&evidence);
        let word = if at + 10 < 3600 {
            "continue"
        } else {
            "inconclusive"
        };
        assert_eq!(verdict.word(), word, "after {at} s: {verdict}");
    }
}

#[test]
fn a_canary_that_fails_more_often_is_rolled_back_long_before_any_limit_is_exceeded() {
    let verdict = after(30, &traffic(900, 1, (0, 0)), &traffic(100, 3, (0, 0)));
    assert!(
        verdict.to_string().starts_with(
            "rollback: error rate 3% (significantly more than the stable version, stable 0.111%"
        ),
        "{verdict}"
    );
    assert!(
        verdict
            .reason()
            .evidence
            .is_some_and(|evidence| evidence >= 100.0)
    );
}

#[test]
fn a_slower_canary_is_rolled_back() {
    let verdict = after(60, &good(900), &traffic(100, 0, (20, 100)));
    assert!(
        verdict.to_string().starts_with("rollback: P95 response time"),
        "{verdict}"
    );
}

#[test]
fn a_canary_that_exceeds_a_limit_alone_is_rolled_back_even_without_a_stable_version() {
    let verdict = after(60, &good(0), &traffic(100, 12, (0, 0)));
    assert!(
        verdict
            .to_string()
            .starts_with("rollback: error rate 12% (at most 5%"),
        "{verdict}"
    );
    let verdict = after(60, &good(0), &traffic(100, 0, (12, 1000)));
    assert!(
        verdict.to_string().starts_with("rollback: P95 response time"),
        "{verdict}"
    );
}

#[test]
fn what_fails_with_both_versions_is_not_blamed_on_the_canary() {
    let mut evidence = evidence();
    let judge = Sequential::default();
    ticks(&mut evidence, 0, 300, &good(90), &good(10));
    ticks(
        &mut evidence,
        300,
        360,
        &traffic(90, 45, (0, 0)),
        &traffic(10, 5, (0, 0)),
    );
    let verdict = judge.judge(&evidence);
    assert!(
        verdict.to_string().starts_with(
            "inconclusive, the stable version fails too: error rate 50% (at most 5%, stable 50%"
        ),
        "{verdict}"
    );
    // It is over: the stage goes on, and nothing is held against the canary later.
    ticks(&mut evidence, 360, 420, &good(90), &good(10));
    assert_eq!(judge.judge(&evidence).word(), "continue");
    ticks(&mut evidence, 420, 1800, &good(90), &good(10));
    assert!(!matches!(judge.judge(&evidence), Verdict::Rollback(_)));
}

#[test]
fn a_canary_that_is_much_worse_than_a_failing_stable_version_is_rolled_back() {
    let verdict = after(60, &traffic(90, 9, (0, 0)), &traffic(10, 9, (0, 0)));
    assert_eq!(verdict.word(), "rollback", "{verdict}");
}

#[test]
fn a_canary_that_repairs_a_failing_stable_version_is_promoted() {
    let verdict = after(300, &traffic(90, 20, (0, 0)), &good(10));
    assert_eq!(verdict.word(), "promote", "{verdict}");
}

#[test]
fn a_canary_between_success_and_rollback_that_is_no_worse_is_for_somebody_to_look_at() {
    let verdict = after(600, &traffic(900, 27, (0, 0)), &traffic(100, 3, (0, 0)));
    assert!(
        verdict
            .to_string()
            .starts_with("inconclusive, between good and bad: error rate 3% (at most 1%, stable 3%"),
        "{verdict}"
    );
}

#[test]
fn an_alarm_stays_one_and_tells_what_was_seen_then() {
    let mut evidence = evidence();
    ticks(&mut evidence, 0, 60, &good(900), &traffic(100, 12, (0, 0)));
    let then = Sequential::default().judge(&evidence);
    ticks(&mut evidence, 60, 6000, &traffic(900, 10, (0, 0)), &good(100));
    let now = Sequential::default().judge(&evidence);
    assert_eq!(now.word(), "rollback");
    assert_eq!(now.reason().findings, then.reason().findings);
}

#[test]
fn a_stage_does_not_live_on_the_health_of_the_one_before() {
    let judge = Sequential::default();
    let mut evidence = evidence();
    ticks(&mut evidence, 0, 600, &good(90), &good(10));
    evidence.enter(Stage::new(1, 20, s(600)));
    for at in (600..1200).step_by(5) {
        let verdict = judge.judge(&evidence);
        let word = if at < 900 { "continue" } else { "promote" };
        assert_eq!(verdict.word(), word, "after {at} s: {verdict}");
        let window = Window::new(s(at), s(at + 5)).with_weight(20);
        evidence
            .push(window.with_stable(good(80)).with_canary(good(20)))
            .expect("in order");
    }
}

#[test]
fn a_split_that_is_not_as_it_was_to_be_blames_nobody() {
    let verdict = after(300, &good(500), &good(500));
    assert!(
        verdict.to_string().starts_with("inconclusive, the traffic was not split as configured: the canary's share of the requests 50% (at most 10%"),
        "{verdict}"
    );
    let verdict = after(300, &good(895), &good(105));
    assert_eq!(verdict.word(), "promote", "{verdict}");
}

#[test]
fn latencies_that_nobody_measured_are_not_fast() {
    let unmeasured = |requests| Traffic {
        requests,
        ..Traffic::default()
    };
    let verdict = after(300, &unmeasured(900), &unmeasured(100));
    assert!(
        verdict
            .to_string()
            .starts_with("inconclusive, not measured: P95 response time not measured"),
        "{verdict}"
    );
}

#[test]
fn a_rollback_by_refusals_names_them() {
    let refused = |requests, circuit_open| Traffic {
        refusals: Refusals {
            circuit_open,
            ..Refusals::default()
        },
        ..traffic(requests, circuit_open, (0, 0))
    };
    let told = after(60, &refused(900, 0), &refused(100, 60)).to_string();
    assert!(told.starts_with("rollback: error rate 60%"), "{told}");
    assert!(told.contains(" errors are circuit_open)"), "{told}");
}

#[test]
fn errors_that_one_user_repeats_are_no_share_of_all_requests() {
    let judge = Sequential::default().sticky(true);
    let counted = |requests, errors| Traffic {
        failed_users: Some(0),
        ..traffic(requests, errors, (0, 0))
    };
    let judged = |repeats| {
        let mut evidence = evidence();
        let canary = Traffic {
            repeats,
            ..counted(150, 53)
        };
        ticks(&mut evidence, 0, 60, &counted(900, 0), &canary);
        judge.judge(&evidence)
    };
    assert_eq!(judged(Repeats::default()).word(), "rollback");
    let one_user = Repeats {
        requests: 50,
        errors: 50,
    };
    assert_eq!(judged(one_user).word(), "continue");
}

#[test]
fn users_that_stay_have_to_be_counted() {
    let judge = Sequential::default().sticky(true);
    let mut evidence = evidence();
    ticks(&mut evidence, 0, 300, &good(900), &good(100));
    assert_eq!(
        judge.judge(&evidence).to_string(),
        "inconclusive, not measured: users with errors not measured (at most 100%); evidence 0.8"
    );
}

#[test]
fn users_that_stay_are_compared_by_their_first_errors() {
    let judge = Sequential::default().sticky(true);
    let users = |traffic: Traffic, failed| Traffic {
        failed_users: Some(failed),
        ..traffic
    };
    let judged = |canary_users| {
        let mut evidence = evidence();
        // The canary's errors are many, but of how many users?
        let stable = users(traffic(900, 9, (0, 0)), 9);
        ticks(
            &mut evidence,
            0,
            20,
            &stable,
            &users(traffic(100, 4, (0, 0)), canary_users),
        );
        judge.judge(&evidence)
    };
    assert_eq!(judged(1).word(), "continue");
    let verdict = judged(4);
    assert!(
        verdict
            .to_string()
            .starts_with("rollback: share of the users with errors 30.769% (significantly more than its share of 10%); error rate 4%"),
        "{verdict}"
    );
}

#[test]
fn a_share_of_false_rollbacks_that_cannot_be_is_refused() {
    for share in [0.0, -0.1, 1.0, f64::NAN] {
        let error = Sequential::default().false_rollback(share).expect_err("refused");
        assert_eq!(error.key(), "analysis.falseRollback");
    }
}

#[test]
fn the_default_has_the_documented_criteria() {
    let success = Criteria::over(s(300))
        .error_rate(0.01)
        .response_time(Duration::from_millis(500));
    let rollback = Criteria::over(s(60)).error_rate(0.05).response_time(s(1));
    assert_eq!(
        Sequential::new(success, rollback).expect("valid"),
        Sequential::default()
    );
}

fn random_ticks() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let tick = (0..100_u64).prop_flat_map(|requests| {
        let few = (0..=requests / 30).boxed();
        let any = (0..=requests).boxed();
        let part = || prop_oneof![6 => few.clone(), 1 => any.clone()];
        (Just(requests), part(), part())
    });
    proptest::collection::vec(tick, 0..100)
}

fn judged(ticks: &[(u64, u64, u64)]) -> Verdict {
    let mut evidence = Evidence::new(Stage::new(0, 10, s(0)));
    for (n, (requests, errors, slow)) in (0..).zip(ticks) {
        let window = Window::new(s(5 * n), s(5 * n + 5)).with_weight(10);
        let window = window.with_stable(traffic(500, 5, (5, 100)));
        let canary = traffic(*requests, *errors, (*slow, 1000));
        evidence.push(window.with_canary(canary)).expect("in order");
    }
    Sequential::default().judge(&evidence)
}

proptest! {
    #[test]
    fn a_worse_canary_is_never_judged_better(
        ticks in random_ticks(),
        at in any::<prop::sample::Index>(),
        more in 1..50_u64,
    ) {
        prop_assume!(!ticks.is_empty());
        let mut worse = ticks.clone();
        let tick = &mut worse[at.index(ticks.len())];
        tick.1 = (tick.1 + more).min(tick.0);
        tick.2 = (tick.2 + more).min(tick.0);
        let (before, after) = (judged(&ticks), judged(&worse));
        if matches!(before, Verdict::Rollback(_)) {
            prop_assert_eq!(after.word(), "rollback", "{} became {}", before, after);
        }
        if matches!(after, Verdict::Promote(_)) {
            prop_assert_eq!(before.word(), "promote", "{} became {}", before, after);
        }
    }
}
