use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn histogram(counts: [u64; 4]) -> Histogram {
    Histogram::new([ms(10), ms(100), ms(1000)].into(), counts.into()).expect("four counts for three edges")
}

fn traffic(requests: u64, errors: u64, counts: [u64; 4]) -> Traffic {
    Traffic {
        requests,
        errors,
        failed_users: Some(errors),
        pinned: errors,
        users: Some(requests),
        refusals: Refusals {
            circuit_open: errors,
            no_healthy_endpoint: errors,
        },
        repeats: Repeats {
            requests: errors,
            errors,
        },
        latency: histogram(counts),
        covered: ms(requests),
    }
}

#[test]
fn edges_that_do_not_rise_or_do_not_fit_are_refused() {
    assert_eq!(Histogram::new([ms(10), ms(10)].into(), vec![0; 3]), None);
    assert_eq!(Histogram::new([ms(10), ms(5)].into(), vec![0; 3]), None);
    assert_eq!(Histogram::new([ms(10)].into(), vec![0; 3]), None);
}

#[test]
fn slower_than_answers_only_at_an_edge() {
    let histogram = histogram([4, 3, 2, 1]);
    assert_eq!(histogram.slower_than(ms(10)), Some(6));
    assert_eq!(histogram.slower_than(ms(1000)), Some(1));
    assert_eq!(histogram.slower_than(ms(500)), None);
    assert_eq!(histogram.nearest_edge(ms(500)), Some(ms(100)));
    assert_eq!(histogram.nearest_edge(ms(55)), Some(ms(10)), "the lower of two");
}

#[test]
fn a_quantile_lies_between_the_edges_of_its_rank() {
    let histogram = histogram([50, 40, 0, 10]);
    assert_eq!(histogram.quantile(0.0), Some(ms(0)));
    assert_eq!(histogram.quantile(0.25), Some(ms(5)));
    assert_eq!(histogram.quantile(0.5), Some(ms(10)));
    assert_eq!(histogram.quantile(0.7), Some(ms(55)));
    assert_eq!(histogram.quantile(0.9), Some(ms(100)));
    assert_eq!(histogram.quantile(0.95), Some(ms(1000)), "above the last edge");
}

#[test]
fn nothing_counted_has_no_quantile() {
    assert_eq!(histogram([0; 4]).quantile(0.5), None);
    assert_eq!(Histogram::default().quantile(0.5), None);
    assert_eq!(histogram([1; 4]).quantile(1.5), None);
    assert_eq!(histogram([1; 4]).quantile(f64::NAN), None);
}

#[test]
fn without_requests_there_is_no_error_rate() {
    assert_eq!(Traffic::default().error_rate(), None);
    assert_eq!(traffic(200, 3, [0; 4]).error_rate(), Some(0.015));
}

#[test]
fn a_difference_holds_what_was_added() {
    let earlier = traffic(10, 1, [9, 1, 0, 0]);
    let later = traffic(15, 3, [9, 2, 3, 1]);
    assert_eq!(later.since(&earlier), Some(traffic(5, 2, [0, 1, 3, 1])));
}

#[test]
fn a_source_that_began_anew_gives_no_difference() {
    let earlier = traffic(10, 1, [9, 1, 0, 0]);
    assert_eq!(traffic(3, 0, [3, 0, 0, 0]).since(&earlier), None);
    assert_eq!(
        traffic(12, 0, [10, 1, 0, 1]).since(&earlier),
        None,
        "errors went back"
    );
    let other_edges = Traffic {
        latency: Histogram::default(),
        ..traffic(12, 1, [0; 4])
    };
    assert_eq!(other_edges.since(&earlier), None);
}

#[test]
fn only_silence_is_worth_asking_again() {
    for (kind, transient) in [
        (MetricErrorKind::Unavailable, true),
        (MetricErrorKind::Rejected, false),
        (MetricErrorKind::Malformed, false),
        (MetricErrorKind::Unsupported, false),
    ] {
        assert_eq!(MetricError::new(kind, "x").is_transient(), transient);
    }
}

proptest! {
    #[test]
    fn a_difference_and_what_was_before_are_the_whole(
        before in proptest::array::uniform4(0..1000_u64),
        added in proptest::array::uniform4(0..1000_u64),
    ) {
        let (before, added) = (histogram(before), histogram(added));
        let whole = before.plus(&added).expect("same edges");
        let slow = |h: &Histogram| h.slower_than(ms(100)).expect("an edge");
        prop_assert_eq!(slow(&whole), slow(&before) + slow(&added));
        prop_assert_eq!(whole.since(&before), Some(added));
    }

    #[test]
    fn quantiles_never_fall(
        counts in proptest::array::uniform4(0..1000_u64),
        a in 0.0..=1.0_f64,
        b in 0.0..=1.0_f64,
    ) {
        let histogram = histogram(counts);
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        prop_assert!(histogram.quantile(low) <= histogram.quantile(high));
        prop_assert_eq!(histogram.quantile(low).is_none(), histogram.count() == 0);
    }

    #[test]
    fn no_counts_overflow(counts in proptest::array::uniform4(any::<u64>()), q in 0.0..=1.0_f64) {
        let histogram = Histogram::new(Arc::from([ms(1), ms(2), Duration::MAX]), counts.into()).expect("fits");
        prop_assert!(histogram.count() >= counts[0]);
        for q in [q, 0.0, 1.0] {
            prop_assert!(histogram.quantile(q).is_some() || histogram.count() == 0);
        }
        prop_assert!(histogram.plus(&histogram).is_some());
    }
}
