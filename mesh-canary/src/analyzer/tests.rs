use std::sync::Arc;
use std::time::Duration;

use mesh_core::metric::{Histogram, Traffic};
use proptest::prelude::*;

use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn counted(requests: u64, errors: u64) -> Traffic {
    Traffic {
        requests,
        errors,
        ..Traffic::default()
    }
}

fn fast(edge: u64, count: u64) -> Traffic {
    Traffic {
        requests: count,
        latency: Histogram::new([s(edge)].into(), vec![count, 0]).expect("two counts for one edge"),
        ..Traffic::default()
    }
}

fn evidence() -> Evidence {
    Evidence::new(Stage::new(0, 5, s(0)))
}

#[test]
fn a_window_that_was_seen_counts_once() {
    let mut evidence = evidence();
    let window = Window::new(s(0), s(5)).with_canary(counted(10, 1));
    evidence.push(window.clone()).expect("the first");
    let error = evidence.push(window).expect_err("again");
    assert_eq!(*error.kind(), EvidenceErrorKind::Overlap { after: s(5) });
    assert_eq!(
        error.to_string(),
        "the window from 0s to 5s was seen already: expected one that begins at 5s or later"
    );
    assert_eq!(evidence.total().canary.requests, 10);
}

#[test]
fn a_window_that_cannot_be_is_refused_and_nothing_of_it_stays() {
    let mut evidence = evidence();
    let cases = [
        (Window::new(s(5), s(5)), "has no length"),
        (Window::new(s(5), s(1)), "has no length"),
        (Window::new(s(0), s(5)).with_weight(101), "gives the canary 101%"),
        (
            Window::new(s(0), s(5)).with_canary(counted(1, 2)),
            "has 2 errors among 1 requests",
        ),
        (
            Window::new(s(0), s(5)).with_stable(counted(0, 1)),
            "has 1 errors among 0 requests",
        ),
        (
            Window::new(s(0), s(5))
                .with_stable(fast(1, 1))
                .with_canary(fast(2, 1)),
            "other edges",
        ),
    ];
    for (window, why) in cases {
        let error = evidence.push(window).expect_err(why);
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(evidence, self::evidence());
    }
}

#[test]
fn latencies_between_other_edges_are_refused_but_none_at_all_are_not() {
    let mut evidence = evidence();
    evidence
        .push(Window::new(s(0), s(5)).with_canary(fast(1, 7)))
        .expect("the first edges");
    evidence
        .push(Window::new(s(5), s(10)).with_canary(counted(3, 0)))
        .expect("no latencies");
    let error = evidence
        .push(Window::new(s(10), s(15)).with_canary(fast(2, 7)))
        .expect_err("other edges");
    assert_eq!(*error.kind(), EvidenceErrorKind::Edges);
    evidence
        .push(Window::new(s(10), s(15)).with_canary(fast(1, 5)))
        .expect("the same edges");
    assert_eq!(evidence.total().canary.latency.count(), 12);
    assert_eq!(evidence.total().canary.requests, 15);
}

#[test]
fn a_window_that_began_in_an_earlier_stage_is_evidence_but_not_of_this_stage() {
    let mut evidence = evidence();
    evidence
        .push(Window::new(s(0), s(10)).with_canary(counted(1, 0)))
        .expect("first");
    evidence.enter(Stage::new(1, 10, s(12)));
    evidence
        .push(Window::new(s(10), s(20)).with_canary(counted(2, 0)))
        .expect("over the edge");
    assert_eq!(evidence.stage_windows(), []);
    evidence
        .push(Window::new(s(20), s(30)).with_canary(counted(4, 0)))
        .expect("in the stage");
    assert_eq!(evidence.in_stage().canary.requests, 4);
    assert_eq!(evidence.total().canary.requests, 7);
    assert_eq!(evidence.total().span, s(30));
}

#[test]
fn gaps_count_neither_as_time_nor_as_requests() {
    let mut evidence = evidence();
    for from in [0, 100] {
        evidence
            .push(Window::new(s(from), s(from + 5)).with_canary(counted(1, 0)))
            .expect("in order");
    }
    assert_eq!((evidence.total().span, evidence.elapsed()), (s(10), s(105)));
    assert_eq!(evidence.total().canary.covered, s(10));
}

#[test]
fn failed_users_add_up_only_if_every_window_knows_them() {
    let known = |users| Traffic {
        failed_users: Some(users),
        ..counted(10, 5)
    };
    let total = |arms: [Traffic; 2]| {
        let mut evidence = evidence();
        for (n, arm) in (0..).zip(arms) {
            evidence
                .push(Window::new(s(n), s(n + 1)).with_canary(arm))
                .expect("in order");
        }
        evidence.total().canary.failed_users
    };
    assert_eq!(total([known(2), known(1)]), Some(3));
    assert_eq!(total([known(2), counted(10, 5)]), None);
    assert_eq!(total([counted(10, 5), known(1)]), None);
}

#[test]
fn a_verdict_tells_its_word_its_doubt_and_its_numbers() {
    let finding = Finding::at_most("error rate", Number::Ratio(0.0525), Number::Ratio(0.05));
    let reason = Reason::from(finding)
        .with_evidence(123.456)
        .with_wait(Duration::from_millis(89_001));
    assert_eq!(
        Verdict::Inconclusive(Doubt::BaselineUnhealthy, reason).to_string(),
        "inconclusive, the stable version fails too: error rate 5.25% (at most 5%); evidence 123.5; 90s to go"
    );
    assert_eq!(
        Verdict::Continue(Reason::default()).to_string(),
        "continue: nothing seen yet"
    );
    let unmeasured = Finding::at_least("success rate", None, Number::Plain(99.0));
    assert_eq!(
        Verdict::Promote(unmeasured.into()).to_string(),
        "promote: success rate not measured (at least 99)"
    );
}

#[test]
fn numbers_show_as_much_as_matters() {
    let shown = [
        (Number::Ratio(0.0), "0%"),
        (Number::Ratio(1.0 / 3.0), "33.333%"),
        (Number::Latency(Duration::from_micros(1_000_400)), "1000.4ms"),
        (Number::LatencyAtLeast(s(10)), "more than 10000ms"),
        (Number::Count(7), "7"),
        (Number::Plain(f64::NAN), "NaN"),
    ];
    for (number, text) in shown {
        assert_eq!(number.to_string(), text);
    }
}

#[test]
fn a_shared_analyzer_is_an_analyzer() {
    struct Never;
    impl CanaryAnalyzer for Never {
        fn judge(&self, _: &Evidence) -> Verdict {
            Verdict::Rollback(Reason::default())
        }
    }
    fn word(analyzer: &impl CanaryAnalyzer) -> &'static str {
        analyzer.judge(&evidence()).word()
    }
    let stored: Arc<dyn CanaryAnalyzer> = Arc::new(Never);
    assert_eq!(word(&stored), "rollback");
}

proptest! {
    #[test]
    fn a_sum_over_windows_is_the_sum_of_what_is_in_them(
        counts in proptest::collection::vec((1..20_u64, 0..1000_u64, 0..=100_u64), 0..30),
    ) {
        let mut evidence = evidence();
        let mut at = 0;
        for (length, requests, percent) in &counts {
            let errors = requests * percent / 100;
            evidence
                .push(Window::new(s(at), s(at + length)).with_stable(counted(*requests, errors)))
                .expect("in order");
            at += length;
        }
        let total = evidence.total();
        prop_assert_eq!(total.stable.requests, counts.iter().map(|c| c.1).sum::<u64>());
        prop_assert_eq!(total.stable.errors, counts.iter().map(|c| c.1 * c.2 / 100).sum::<u64>());
        prop_assert_eq!(total.span, s(at));
        prop_assert_eq!(evidence.elapsed(), s(at));
    }
}
