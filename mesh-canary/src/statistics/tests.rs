use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_beta_function_has_its_known_values() {
    let cases = [
        (1.0, 1.0, 1.0_f64),
        (2.0, 3.0, 1.0 / 12.0),
        (0.5, 0.5, std::f64::consts::PI),
        (10.0, 20.0, 1.0 / 200_300_100.0),
    ];
    for (a, b, value) in cases {
        let found = special::ln_beta(a, b);
        assert!(
            (found - value.ln()).abs() < 1e-9,
            "B({a}, {b}): {found} is not ln {value}"
        );
    }
}

#[test]
fn bounds_have_the_known_values() {
    let confidence = Confidence::new(0.05);
    for (bad, of, upper) in [(0, 300, 0.029), (0, 1000, 0.0099), (10, 1000, 0.028)] {
        let found = confidence.upper(Tally::new(bad, of));
        assert!(
            (found / upper - 1.0).abs() < 0.03,
            "{bad} of {of}: {found}, not {upper}"
        );
    }
}

#[test]
fn nothing_seen_bounds_nothing() {
    let confidence = Confidence::new(0.05);
    assert_eq!(
        (
            confidence.lower(Tally::default()),
            confidence.upper(Tally::default())
        ),
        (0.0, 1.0)
    );
    assert!(!confidence.proves_at_most(0.5, Tally::default()));
    assert!(!confidence.proves_more_than(0.0, Tally::default()));
}

#[test]
fn what_is_needed_is_what_proves_it() {
    let confidence = Confidence::of_at_most(0.01, 0.05);
    let needed = confidence
        .needed(0.01, Tally::new(0, 1))
        .expect("without failures");
    assert!(confidence.proves_at_most(0.01, Tally::new(0, needed)));
    assert!(!confidence.proves_at_most(0.01, Tally::new(0, needed - 2)));
    assert!((299..=400).contains(&needed), "{needed}");
    let with_failures = confidence
        .needed(0.01, Tally::new(5, 1000))
        .expect("half of the limit");
    assert!(confidence.proves_at_most(
        0.01,
        Tally::new(with_failures.div_ceil(200), with_failures.div_ceil(200) * 200)
    ));
    assert!(with_failures > 3 * needed);
    assert_eq!(confidence.needed(0.01, Tally::new(10, 1000)), None);
    assert_eq!(confidence.needed(0.01, Tally::new(11, 1000)), None);
}

#[test]
fn the_first_failure_exceeds_a_limit_of_nothing() {
    let mut guard = Guard::from_the_start(0.0);
    guard.observe(Tally::new(0, 100), s(5));
    assert!(guard.evidence() <= 1.0);
    guard.observe(Tally::new(1, 100), s(5));
    assert!(guard.evidence() > 100.0, "{}", guard.evidence());
}

#[test]
fn nothing_exceeds_a_limit_of_everything() {
    for limit in [1.0, 2.0] {
        let mut guard = Guard::at_any_time(limit, s(60));
        guard.observe(Tally::new(100, 100), s(5));
        assert!((guard.evidence() - 1.0).abs() < 1e-12);
    }
}

#[test]
fn one_failure_of_each_at_equal_shares_never_speaks_against_the_canary() {
    let mut comparison = Comparison::from_the_start();
    let mut before = comparison.evidence();
    for _ in 0..100 {
        comparison.observe(0.5, 1, 1, s(5));
        assert!(comparison.evidence() <= before);
        before = comparison.evidence();
    }
}

#[test]
fn what_has_no_control_and_what_has_no_failures_says_nothing() {
    let mut comparison = Comparison::at_any_time(s(60));
    for (share, canary, stable) in [(0.0, 0, 9), (1.0, 9, 0), (f64::NAN, 1, 1), (0.5, 0, 0)] {
        comparison.observe(share, canary, stable, s(5));
        assert!((comparison.evidence() - 1.0).abs() < 1e-12, "{share}");
    }
}

#[test]
fn evidence_without_end_stays_a_number() {
    let mut comparison = Comparison::at_any_time(s(60));
    let mut guard = Guard::at_any_time(0.05, s(60));
    for _ in 0..1000 {
        comparison.observe(0.05, 1_000_000, 0, s(5));
        guard.observe(Tally::new(1_000_000, 1_000_000), s(5));
        assert!(comparison.evidence().is_finite() && guard.evidence().is_finite());
    }
}

#[test]
fn who_ails_is_forgiven_as_soon_as_it_is_well() {
    let odds = Odds::above(0.05);
    let mut ailing = Ailing::new(100.0);
    for _ in 0..1000 {
        ailing.observe(odds.ratios(Tally::new(50, 100)));
    }
    assert!(ailing.evidence() >= 100.0);
    (0..5).for_each(|_| ailing.observe(odds.ratios(Tally::new(1, 100))));
    assert!(ailing.evidence() < 10.0, "{}", ailing.evidence());
}

/// Windows: the canary's requests and failures, and the stable version's.
fn windows() -> impl Strategy<Value = Vec<(u64, u64, u64, u64)>> {
    let window =
        (1..100_u64, 1..100_u64).prop_flat_map(|(n, m)| (Just(n), 0..=n.min(5), Just(m), 0..=m.min(5)));
    proptest::collection::vec(window, 1..40)
}

fn plain(windows: &[(u64, u64, u64, u64)], length: Duration) -> f64 {
    let mut comparison = Comparison::from_the_start();
    for (n, bad, m, worse) in windows {
        comparison.observe(*n as f64 / (n + m) as f64, *bad, *worse, length);
    }
    comparison.evidence()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

proptest! {
    #[test]
    fn the_order_of_windows_does_not_matter_to_a_plain_comparison(
        (before, after) in windows().prop_flat_map(|w| (Just(w.clone()), Just(w).prop_shuffle())),
    ) {
        prop_assert!(close(plain(&before, s(5)), plain(&after, s(5))));
    }

    #[test]
    fn two_windows_of_one_share_are_one(windows in windows()) {
        // Each window twice is each window with twice the counts.
        let twice: Vec<_> = windows.iter().flat_map(|w| [*w, *w]).collect();
        let merged: Vec<_> = windows.iter().map(|(n, b, m, w)| (2 * n, 2 * b, 2 * m, 2 * w)).collect();
        prop_assert!(close(plain(&twice, s(5)), plain(&merged, s(5))));
    }

    #[test]
    fn the_length_of_a_window_says_nothing(windows in windows()) {
        prop_assert_eq!(plain(&windows, s(5)), plain(&windows, s(500)));
    }

    #[test]
    fn one_more_failure_of_the_canary_never_speaks_for_it(
        windows in windows(), at in any::<prop::sample::Index>(),
    ) {
        let mut worse = windows.clone();
        let window = &mut worse[at.index(windows.len())];
        window.1 = (window.1 + 1).min(window.0);
        prop_assert!(plain(&worse, s(5)) >= plain(&windows, s(5)) * (1.0 - 1e-12));
    }

    #[test]
    fn a_share_lies_between_its_bounds(bad in 0..200_u64, more in 1..10_000_u64) {
        let seen = Tally::new(bad, bad + more);
        let share = seen.share().expect("of something");
        let confidence = Confidence::new(0.05);
        let (lower, upper) = (confidence.lower(seen), confidence.upper(seen));
        prop_assert!(lower <= share && share <= upper, "{} {} {}", lower, share, upper);
        prop_assert!(!confidence.proves_at_most(upper * 0.99, seen));
        prop_assert!(confidence.proves_at_most((upper * 1.01).min(1.0), seen));
        prop_assert!(!confidence.proves_more_than(lower * 1.01, seen));
        if lower > 0.0 {
            prop_assert!(confidence.proves_more_than(lower * 0.99, seen));
        }
    }
}
