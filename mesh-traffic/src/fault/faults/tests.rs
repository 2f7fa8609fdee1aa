use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use proptest::prelude::{any, prop_assert_eq, proptest};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn percent(percent: f64) -> Chance {
    Chance::percent(percent).expect("0 to 100")
}

fn abort(status: u16) -> Abort {
    Abort::new(status).expect("a status")
}

fn rate(bytes_per_second: u64) -> NonZeroU64 {
    NonZeroU64::new(bytes_per_second).expect("a rate")
}

/// All four, with these chances.
fn all(chances: [f64; 4], ends: Instant) -> Faults {
    Faults::until(ends)
        .delay(percent(chances[0]), Delay::fixed(Duration::from_secs(1)))
        .abort(percent(chances[1]), abort(503))
        .reset(percent(chances[2]), 10)
        .throttle(percent(chances[3]), rate(1_000))
}

fn asked(name: &'static str, value: &'static str) -> Asked {
    let field = (HeaderName::from_static(name), HeaderValue::from_static(value));
    Asked::of(&HeaderMap::from_iter([field])).expect("it asks")
}

#[test]
fn ten_percent_wait_and_five_fail_and_neither_depends_on_the_other() {
    const ASKED: u32 = 100_000;
    let now = Instant::now();
    let faults = Faults::until(now + HOUR)
        .delay(percent(10.0), Delay::fixed(Duration::from_secs(1)))
        .abort(percent(5.0), abort(503));
    let mut random = fastrand::Rng::with_seed(11);
    let (mut delayed, mut aborted, mut both) = (0, 0, 0);
    for _ in 0..ASKED {
        let fault = faults.decide(None, random.u64(..), now).unwrap_or_default();
        delayed += u32::from(fault.delay.is_some());
        aborted += u32::from(fault.abort.is_some());
        both += u32::from(fault.delay.is_some() && fault.abort.is_some());
    }
    // Five standard deviations of the binomial distribution: once in three million runs of other seeds.
    for (found, share) in [(delayed, 0.10), (aborted, 0.05), (both, 0.005)] {
        let expected = f64::from(ASKED) * share;
        let deviation = (expected * (1.0 - share)).sqrt();
        let off = (f64::from(found) - expected).abs();
        assert!(off < 5.0 * deviation, "{found} of {ASKED}, expected {expected}");
    }
}

#[test]
fn numbers_in_a_row_are_as_good_as_random_ones() {
    let now = Instant::now();
    let faults = all([50.0, 0.0, 50.0, 0.0], now + HOUR);
    let mut combined = [0_i32; 4];
    for random in 0..40_000_u64 {
        let fault = faults.decide(None, random, now).unwrap_or_default();
        combined[usize::from(fault.delay.is_some()) * 2 + usize::from(fault.reset.is_some())] += 1;
    }
    for count in combined {
        assert!((count - 10_000).abs() < 450, "{combined:?}");
    }
}

#[test]
fn it_is_over_when_it_ends() {
    let now = Instant::now();
    let faults = all([100.0; 4], now + HOUR);
    assert!(
        faults
            .decide(None, 1, now + HOUR - Duration::from_nanos(1))
            .is_some()
    );
    assert_eq!(faults.decide(None, 1, now + HOUR), None);
    let asking = faults.on_request(true);
    let wish = asked("x-mesh-fault-abort", "500");
    assert_eq!(asking.decide(Some(&wish), 1, now + HOUR), None);
}

#[test]
fn what_is_ended_has_no_body_to_break_or_to_slow_down() {
    let now = Instant::now();
    let fault = all([100.0; 4], now + HOUR).decide(None, 1, now).expect("certain");
    let kinds: Vec<_> = fault.kinds().collect();
    assert_eq!(kinds, [FaultKind::Delay, FaultKind::Abort]);
    let fault = all([100.0, 0.0, 100.0, 100.0], now + HOUR)
        .decide(None, 1, now)
        .expect("certain");
    assert_eq!(fault.kinds().count(), 3);
}

#[test]
fn a_request_that_asks_is_heard_only_if_that_is_allowed() {
    let now = Instant::now();
    let wish = asked("x-mesh-fault-abort", "500");
    let deaf = all([0.0; 4], now + HOUR);
    assert_eq!(deaf.decide(Some(&wish), 1, now), None);
    let fault = deaf
        .on_request(true)
        .decide(Some(&wish), 1, now)
        .expect("asked for");
    assert_eq!(fault.abort, Some(abort(500)));
    assert_eq!(fault.delay, None);
}

#[test]
fn what_is_asked_for_takes_the_place_of_chance() {
    let now = Instant::now();
    let faults = all([100.0, 0.0, 0.0, 100.0], now + HOUR).on_request(true);
    let wish = asked("x-mesh-fault-delay", "7ms");
    let fault = faults.decide(Some(&wish), 1, now).expect("certain");
    assert_eq!(fault.delay, Some(Duration::from_millis(7)));
    assert_eq!(fault.throttle, Some(rate(1_000)));
}

proptest! {
    #[test]
    fn nothing_but_the_arguments_decides(
        chances in [0.0..=100.0, 0.0..=100.0, 0.0..=100.0, 0.0..=100.0_f64],
        random in any::<u64>(),
    ) {
        let now = Instant::now();
        let faults = all(chances, now + HOUR);
        let fault = faults.decide(None, random, now);
        prop_assert_eq!(fault, faults.clone().decide(None, random, now));
        // One kind more or less does not change the others.
        let alone = Faults { abort: None, ..faults.clone() };
        let without = alone.decide(None, random, now).unwrap_or_default();
        prop_assert_eq!(without.delay, fault.unwrap_or_default().delay);
    }
}
