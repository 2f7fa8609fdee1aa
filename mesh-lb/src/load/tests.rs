use proptest::prelude::*;

use super::latency::{CEILING, DECAY, INITIAL};
use super::*;

const MILLI: Duration = Duration::from_millis(1);

/// Within the tick that times are rounded to, and a float's precision.
fn about(a: Duration, b: Duration) -> bool {
    a.abs_diff(b) <= b.mul_f64(1e-3) + Duration::from_nanos(100)
}

#[test]
fn a_request_is_counted_until_its_guard_is_dropped() {
    let load = Arc::new(EndpointLoad::new(Instant::now()));
    let guard = load.begin();
    assert_eq!(load.in_flight(), 1);
    assert!(load.begin_within(1).is_none());
    drop(guard);
    assert_eq!(load.in_flight(), 0);
    assert!(load.begin_within(1).is_some());
}

#[test]
fn an_endpoint_that_has_not_answered_is_taken_for_slow_and_then_forgotten() {
    let start = Instant::now();
    let load = EndpointLoad::new(start);
    assert!(about(load.latency(start), INITIAL));
    assert!(about(
        load.latency(start + DECAY),
        INITIAL.div_f64(std::f64::consts::E)
    ));
    assert_eq!(load.latency(start + 100 * DECAY), Duration::ZERO);
}

#[test]
fn a_peak_counts_at_once_and_is_forgotten_with_time() {
    let start = Instant::now();
    let load = EndpointLoad::new(start);
    load.record_latency(800 * MILLI, start);
    load.record_latency(MILLI, start);
    assert!(about(load.latency(start), 800 * MILLI));
    let later = start + DECAY;
    load.record_latency(MILLI, later);
    let left = MILLI + (799 * MILLI).div_f64(std::f64::consts::E);
    assert!(about(load.latency(later), left), "{:?}", load.latency(later));
}

#[test]
fn samples_in_quick_succession_come_down_as_fast_as_rare_ones() {
    let start = Instant::now();
    let (busy, rare) = (EndpointLoad::new(start), EndpointLoad::new(start));
    busy.record_latency(100 * MILLI, start);
    rare.record_latency(100 * MILLI, start);
    let mut now = start;
    while now < start + DECAY {
        now += Duration::from_micros(100);
        busy.record_latency(MILLI, now);
    }
    rare.record_latency(MILLI, now);
    let (busy, rare) = (busy.latency(now), rare.latency(now));
    assert!(busy.abs_diff(rare) < rare / 100, "{busy:?} {rare:?}");
}

#[test]
fn an_average_of_equal_samples_reaches_them() {
    let start = Instant::now();
    let load = EndpointLoad::new(start);
    let mut now = start;
    for _ in 0..100_000 {
        now += 2 * MILLI;
        load.record_latency(MILLI, now);
    }
    assert!(about(load.latency(now), MILLI), "{:?}", load.latency(now));
}

#[test]
fn a_fast_failure_never_looks_fast() {
    let start = Instant::now();
    let load = EndpointLoad::new(start);
    load.penalise(MILLI, start);
    assert_eq!(load.latency(start), EndpointLoad::PENALTY);
    load.penalise(Duration::from_secs(60), start);
    assert!(about(load.latency(start), Duration::from_secs(60)));
    load.penalise(Duration::MAX, start);
    assert!(about(load.latency(start), CEILING));
}

#[test]
fn an_estimate_is_forgotten_over_weeks_and_a_late_sample_is_not_taken_for_one_of_next_month() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let start = Instant::now();
    let load = EndpointLoad::new(start);
    let mut now = start;
    for days in [1, 20, 30, 40, 50] {
        now += days * DAY;
        load.record_latency(Duration::from_secs(1), now);
        assert!(about(load.latency(now), Duration::from_secs(1)));
        let minutes = Duration::from_secs(15 * 60);
        load.record_latency(MILLI, now - minutes);
        assert!(
            about(load.latency(now), Duration::from_secs(1)),
            "after {days} days"
        );
        assert!(about(load.latency(now - minutes), Duration::from_secs(1)));
        assert!(load.latency(now + days * DAY) < MILLI, "after {days} days");
    }
}

proptest! {
    #[test]
    fn the_estimate_is_never_below_the_last_peak_forgotten_nor_above_the_highest(
        samples in proptest::collection::vec((0_u64..20_000, 0_u64..400_000_000), 1..100),
    ) {
        let start = Instant::now();
        let load = EndpointLoad::new(start);
        let (mut now, mut peaks) = (start, vec![(INITIAL, start)]);
        for (wait, micros) in samples {
            now += Duration::from_millis(wait);
            let sample = Duration::from_micros(micros).min(CEILING);
            load.record_latency(sample, now);
            peaks.push((sample, now));
            let read = load.latency(now).as_secs_f64();
            for (peak, at) in &peaks {
                let left = peak.as_secs_f64() * (-(now - *at).as_secs_f64() / DECAY.as_secs_f64()).exp();
                prop_assert!(read >= left * 0.999 - 1e-6, "{} < {}", read, left);
            }
            let highest = peaks.iter().map(|(peak, _)| *peak).max().unwrap_or_default();
            prop_assert!(read <= highest.as_secs_f64() * 1.001);
        }
    }
}

#[test]
fn what_was_waited_for_in_vain_counts_if_it_was_longer_than_expected() {
    let start = Instant::now();
    let load = EndpointLoad::new(start);
    let later = start + Duration::from_secs(60);
    load.record_latency(Duration::from_millis(40), later);
    let before = load.latency(later);
    load.waited_in_vain(Duration::from_millis(20), later);
    assert_eq!(load.latency(later), before);
    load.waited_in_vain(Duration::from_millis(700), later);
    assert_eq!(load.latency(later), Duration::from_millis(700));
}
