use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_percentile_is_known_to_a_sixteenth() {
    let start = Instant::now();
    let latencies = Latencies::new(60 * SECOND, start);
    for ms in 1..=1000 {
        latencies.record(millis(ms), start);
    }
    for (percent, ms) in [(50.0, 500.0), (95.0, 950.0), (99.9, 999.0)] {
        let found = latencies
            .percentile(percent, 1, start)
            .expect("a thousand")
            .as_secs_f64()
            * 1000.0;
        assert!(found >= ms && found <= ms * 17.0 / 16.0, "{percent}: {found}");
    }
}

#[test]
fn of_few_nothing_is_said() {
    let start = Instant::now();
    let latencies = Latencies::new(60 * SECOND, start);
    assert_eq!(latencies.percentile(95.0, 1, start), None);
    (0..99).for_each(|_| latencies.record(millis(5), start));
    assert_eq!(latencies.percentile(95.0, 100, start), None);
    latencies.record(millis(5), start);
    assert!(latencies.percentile(95.0, 100, start).is_some());
}

#[test]
fn what_is_older_than_a_window_is_forgotten() {
    let start = Instant::now();
    let latencies = Latencies::new(10 * SECOND, start);
    (0..100).for_each(|_| latencies.record(millis(900), start));
    assert!(latencies.percentile(95.0, 1, start + 9 * SECOND) >= Some(millis(900)));
    assert_eq!(latencies.percentile(95.0, 1, start + 10 * SECOND), None);
    (0..100).for_each(|_| latencies.record(millis(3), start + 10 * SECOND));
    assert!(latencies.percentile(95.0, 1, start + 10 * SECOND) < Some(millis(4)));
}

#[test]
fn threads_lose_nothing() {
    let start = Instant::now();
    let latencies = Latencies::new(10 * SECOND, start);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|ms| latencies.record(millis(ms), start)));
        }
    });
    assert!(latencies.percentile(50.0, 4000, start).is_some());
    assert!(latencies.percentile(50.0, 4001, start).is_none());
}

#[test]
fn the_longest_and_the_shortest_have_a_place() {
    assert_eq!(index(Duration::ZERO), 0);
    assert_eq!(index(Duration::MAX), BUCKETS - 1);
    assert!(upper(BUCKETS - 1) > Duration::from_secs(120));
}

proptest! {
    #[test]
    fn a_latency_is_in_the_first_bucket_that_is_above_it(micros in 0..120_000_000_u64) {
        let latency = Duration::from_micros(micros);
        let at = index(latency);
        prop_assert!(latency < upper(at));
        prop_assert!(at == 0 || upper(at - 1) <= latency);
    }
}
