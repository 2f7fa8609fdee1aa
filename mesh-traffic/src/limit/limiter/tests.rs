use std::collections::HashMap;
use std::time::Duration;

use mesh_core::EventBus;
use proptest::prelude::*;

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

fn quota(per_second: u32, burst: u32) -> Quota {
    Quota::per_second(per_second)
        .and_then(|quota| quota.burst(burst))
        .expect("a quota")
}

fn number(number: usize) -> Option<RequestKey<'static>> {
    Some(RequestKey::number(number as u128))
}

/// How many of so many requests at once pass.
fn passed(limiter: &RateLimiter, key: Option<RequestKey<'_>>, now: Instant, requests: usize) -> usize {
    (0..requests).filter(|_| limiter.check(key, now).is_ok()).count()
}

#[test]
fn a_burst_passes_at_once_and_then_one_an_interval() {
    let limiter = RateLimiter::new(quota(100, 5));
    let start = Instant::now();
    assert_eq!(passed(&limiter, number(1), start, 20), 5);
    assert_eq!(passed(&limiter, number(1), start + 9 * MILLISECOND, 20), 0);
    for round in 1..=3 {
        assert_eq!(
            passed(&limiter, number(1), start + round * 10 * MILLISECOND, 20),
            1
        );
    }
    assert_eq!(
        passed(&limiter, number(1), start + 3600 * 1000 * MILLISECOND, 20),
        5
    );
}

#[test]
fn who_waits_as_long_as_was_told_passes_and_not_before() {
    let limiter = RateLimiter::new(quota(3, 2));
    let start = Instant::now();
    assert_eq!(passed(&limiter, None, start, 2), 2);
    let limited = limiter.check(None, start).expect_err("one too many");
    assert!(
        limiter
            .check(None, start + limited.wait() - Duration::from_nanos(1))
            .is_err()
    );
    assert!(limiter.check(None, start + limited.wait()).is_ok());
}

#[test]
fn keys_do_not_take_from_each_other_and_those_without_one_share() {
    let limiter = RateLimiter::new(quota(1, 2));
    let now = Instant::now();
    let text = RequestKey::text("acme");
    assert_eq!(passed(&limiter, Some(text), now, 9), 2);
    assert_eq!(
        passed(&limiter, Some(RequestKey::bytes(b"acme")), now, 9),
        0,
        "the same key"
    );
    assert_eq!(passed(&limiter, Some(RequestKey::text("acm")), now, 9), 2);
    assert_eq!(passed(&limiter, None, now, 9), 2);
    assert_eq!(passed(&limiter, None, now, 9), 0);
    assert_eq!(limiter.crowded(), 0);
}

#[test]
fn clones_share_what_is_left_and_what_is_counted() {
    let limiter = RateLimiter::new(quota(1, 3));
    let (clone, now) = (limiter.clone(), Instant::now());
    assert_eq!(passed(&limiter, number(1), now, 2), 2);
    assert_eq!(passed(&clone, number(1), now, 2), 1);
    assert_eq!((limiter.limited(), clone.limited()), (1, 1));
}

#[test]
fn a_request_from_before_the_limiter_was_made_is_counted() {
    let before = Instant::now();
    let limiter = RateLimiter::new(quota(1, 1));
    assert!(limiter.check(None, before).is_ok());
    assert!(limiter.check(None, before).is_err());
}

#[test]
fn a_million_keys_take_no_more_room_than_was_given() {
    let limiter = RateLimiter::new(quota(1, 1));
    let now = Instant::now();
    let all = (0..1_000_000).filter(|key| limiter.check(number(*key), now).is_ok());
    // Every part of the table is full, and the shared allowance is used up.
    let kept = all.count() - 1;
    assert_eq!(limiter.keys(), kept);
    assert!((9_900..=RateLimiter::MAX_KEYS).contains(&kept), "{kept}");
    assert_eq!(limiter.crowded(), 1_000_000 - kept as u64);
}

#[tokio::test]
async fn that_there_is_no_room_is_told_at_once_and_then_once_a_minute() {
    let events = EventBus::default();
    let mut told = events.subscribe();
    let limiter = RateLimiter::builder(quota(1, 1))
        .max_keys(0)
        .telling("orders", events.clone())
        .build();
    let start = Instant::now();
    for (after, key) in [(0, 1), (1, 2), (59, 3), (61, 4), (62, 5), (200, 6)] {
        let _ = limiter.check(number(key), start + after * 1000 * MILLISECOND);
    }
    drop((limiter, events));
    let mut count = 0;
    while let Some(event) = told.next().await {
        assert_eq!(event.kind(), "rate_limit_crowded");
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn replicas_give_their_part_and_what_was_counted_counts_on() {
    let limiter = RateLimiter::new(quota(100, 30));
    let start = Instant::now();
    limiter.set_replicas(3);
    assert_eq!(passed(&limiter, number(1), start, 99), 10);
    assert_eq!(passed(&limiter, number(1), start + 29 * MILLISECOND, 99), 0);
    assert_eq!(passed(&limiter, number(1), start + 30 * MILLISECOND, 99), 1);
    // Alone, it may give what the others would have.
    limiter.set_replicas(0);
    assert_eq!(limiter.replicas(), 1);
    assert_eq!(passed(&limiter, number(1), start + 30 * MILLISECOND, 99), 0);
    assert_eq!(passed(&limiter, number(1), start + 40 * MILLISECOND, 99), 1);
    limiter.set_replicas(u32::MAX);
    assert_eq!(limiter.replicas(), RateLimiter::MAX_REPLICAS);
    assert_eq!(
        passed(&limiter, number(2), start, 99),
        1,
        "a part of the burst is one at least"
    );
}

#[test]
fn replicas_together_pass_what_one_would() {
    let start = Instant::now();
    let all: Vec<_> = (0..4)
        .map(|_| RateLimiter::builder(quota(1_000, 40)).replicas(4).build())
        .collect();
    // Twice what may pass, spread evenly, for ten seconds.
    let asked = (0..20_000_u32).filter(|at| {
        let limiter = &all[(at % 4) as usize];
        limiter.check(None, start + *at * MILLISECOND / 2).is_ok()
    });
    let passed = asked.count();
    assert!((9_990..=10_050).contains(&passed), "{passed}");
}

#[test]
fn keys_beyond_the_room_share_one_allowance() {
    let limiter = RateLimiter::with_max_keys(quota(1, 2), 3);
    let now = Instant::now();
    assert_eq!(
        (0..3)
            .map(|key| passed(&limiter, number(key), now, 9))
            .sum::<usize>(),
        6
    );
    assert_eq!(passed(&limiter, number(3), now, 1), 1);
    assert_eq!(passed(&limiter, number(4), now, 9), 1);
    assert_eq!(passed(&limiter, number(5), now, 9), 0);
    assert_eq!((limiter.keys(), limiter.max_keys()), (3, 3));
    assert_eq!(limiter.crowded(), 19);
}

#[test]
fn a_key_is_forgotten_when_its_allowance_is_whole_and_its_room_is_needed() {
    let limiter = RateLimiter::with_max_keys(quota(10, 10), 2);
    let start = Instant::now();
    assert_eq!(passed(&limiter, number(0), start, 1), 1);
    assert_eq!(passed(&limiter, number(1), start, 10), 10);
    let later = start + 100 * MILLISECOND;
    assert_eq!(
        passed(&limiter, number(2), later, 20),
        10,
        "the room of the first"
    );
    assert_eq!(
        passed(&limiter, number(1), later, 20),
        1,
        "the second is remembered"
    );
    assert_eq!((limiter.keys(), limiter.crowded()), (2, 0));
    assert_eq!(passed(&limiter, number(3), later, 1), 1);
    assert_eq!(limiter.crowded(), 1, "no room before one is whole again");
}

#[test]
fn a_limiter_without_room_counts_all_keys_together() {
    let limiter = RateLimiter::with_max_keys(quota(1, 2), 0);
    let now = Instant::now();
    assert_eq!(
        (0..9)
            .map(|key| passed(&limiter, number(key), now, 1))
            .sum::<usize>(),
        2
    );
    assert_eq!(limiter.keys(), 0);
}

#[test]
fn threads_together_pass_no_more_than_the_burst() {
    let limiter = RateLimiter::new(quota(1, 1_000));
    let now = Instant::now();
    for key in [None, number(1)] {
        let total: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| passed(&limiter, key, now, 1_000)))
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("no panic"))
                .sum()
        });
        assert_eq!(total, 1_000);
    }
}

/// A bucket as textbooks draw it: it fills while time passes, and a request takes an interval out of it.
struct Bucket {
    level: u128,
    last: u128,
}

impl Bucket {
    /// Whether a request passes, or how many nanoseconds it should have waited.
    fn ask(&mut self, quota: Quota, now: u128) -> Result<(), u128> {
        let interval = quota.interval().as_nanos();
        let whole = interval * u128::from(quota.burst_size());
        self.level = (self.level + now - self.last).min(whole);
        self.last = now;
        if self.level < interval {
            return Err(interval - self.level);
        }
        self.level -= interval;
        Ok(())
    }

    fn whole(quota: Quota) -> Self {
        Self {
            level: quota.interval().as_nanos() * u128::from(quota.burst_size()),
            last: 0,
        }
    }
}

fn arrivals() -> impl Strategy<Value = Vec<(u64, Option<u8>)>> {
    let pause = prop_oneof![Just(0), 0..2_000_000_u64, 0..3_000_000_000_u64];
    proptest::collection::vec((pause, proptest::option::of(0..4_u8)), 1..300)
}

proptest! {
    #[test]
    fn it_decides_and_waits_as_a_bucket_for_each_key_would(
        per_second in prop_oneof![1..10_u32, 1..5_000_u32, any::<u32>().prop_map(|rate| rate.max(1))],
        burst in prop_oneof![1..20_u32, any::<u32>().prop_map(|burst| burst.max(1))],
        arrivals in arrivals(),
    ) {
        let Ok(quota) = Quota::per_second(per_second).and_then(|quota| quota.burst(burst)) else {
            return Ok(());
        };
        let limiter = RateLimiter::new(quota);
        let start = limiter.0.began;
        let mut buckets = HashMap::new();
        let mut now = 0;
        for (pause, key) in arrivals {
            now += pause;
            let bucket = buckets.entry(key).or_insert_with(|| Bucket::whole(quota));
            let expected = bucket.ask(quota, u128::from(now));
            let found = limiter.check(
                key.map(|key| RequestKey::number(key.into())),
                start + Duration::from_nanos(now),
            );
            prop_assert_eq!(found.map_err(|limited| limited.wait().as_nanos()), expected);
        }
    }

    #[test]
    fn forgetting_is_never_noticed_while_there_is_room_for_those_who_owe(
        burst in 1..5_u32,
        arrivals in proptest::collection::vec((0..400_u64, 0..40_u128), 1..400),
    ) {
        // One request a millisecond for each key; a table so small that keys are forgotten all the time.
        let small = RateLimiter::with_max_keys(quota(1_000, burst), 20);
        let large = RateLimiter::new(quota(1_000, burst));
        let mut now = small.0.began.max(large.0.began);
        for (pause, key) in arrivals {
            now += Duration::from_micros(pause);
            let key = Some(RequestKey::number(key));
            let crowded = small.crowded();
            let found = small.check(key, now);
            prop_assert!(small.keys() <= 20);
            if small.crowded() > crowded {
                return Ok(());
            }
            prop_assert_eq!(found, large.check(key, now));
        }
    }
}
