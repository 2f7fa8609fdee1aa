use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy(percent: f64, min_per_second: u32, ttl: Duration) -> BudgetPolicy {
    let config = BudgetConfig {
        percent,
        min_per_second,
        ttl,
    };
    config.try_into().expect("makes sense")
}

fn spend_all(budget: &RetryBudget, now: Instant) -> usize {
    (0..10_000).take_while(|_| budget.try_spend(now)).count()
}

#[test]
fn a_fifth_of_the_requests_may_be_tried_again_and_ten_a_second_in_any_case() {
    let start = Instant::now();
    let budget = RetryBudget::new(BudgetPolicy::default(), start);
    assert_eq!(budget.remaining(start), 10);
    assert_eq!(spend_all(&budget, start), 10);
    (0..1000).for_each(|_| budget.on_request(start));
    assert_eq!(budget.remaining(start), 190);
    assert_eq!(spend_all(&budget, start), 190);
    assert_eq!(spend_all(&budget, start + SECOND / 10), 1);
    assert_eq!(spend_all(&budget, start + SECOND), 9);
    assert_eq!(budget.remaining(start + SECOND), 0);
}

#[test]
fn requests_and_retries_are_forgotten_after_the_ttl() {
    let start = Instant::now();
    let budget = RetryBudget::new(policy(50.0, 0, 10 * SECOND), start);
    (0..10).for_each(|_| budget.on_request(start));
    assert_eq!(spend_all(&budget, start + SECOND), 5);
    let later = start + 10 * SECOND;
    assert_eq!(budget.remaining(later), 0, "the requests are forgotten");
    (0..10).for_each(|_| budget.on_request(later));
    assert_eq!(spend_all(&budget, later), 0, "the retries are not");
    assert_eq!(spend_all(&budget, start + 12 * SECOND), 5);
}

#[test]
fn a_budget_of_nothing_grants_nothing() {
    let start = Instant::now();
    let budget = RetryBudget::new(policy(0.0, 0, SECOND), start);
    (0..1000).for_each(|_| budget.on_request(start));
    assert_eq!(spend_all(&budget, start), 0);
}

#[test]
fn a_retry_that_was_refused_leaves_nothing_behind() {
    let start = Instant::now();
    let budget = RetryBudget::new(policy(20.0, 0, SECOND), start);
    assert_eq!((0..100).filter(|_| budget.try_spend(start)).count(), 0);
    (0..5).for_each(|_| budget.on_request(start));
    assert_eq!(spend_all(&budget, start), 1);
}

#[test]
fn a_clock_far_away_does_no_harm() {
    let start = Instant::now();
    let budget = RetryBudget::new(BudgetPolicy::default(), start + SECOND);
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    for now in [start, start + century, start] {
        budget.on_request(now);
        let _either = budget.try_spend(now);
        assert!(budget.remaining(now) <= 100);
    }
}

#[test]
fn threads_that_spend_together_never_spend_too_much() {
    let start = Instant::now();
    for _ in 0..50 {
        let budget = RetryBudget::new(policy(10.0, 0, SECOND), start);
        (0..1000).for_each(|_| budget.on_request(start));
        let spend = || (0..200).filter(|_| budget.try_spend(start)).count();
        let spent: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(spend)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .sum()
        });
        // The last ones may have been refused to all that asked at the same moment.
        assert_eq!(spent + spend_all(&budget, start), 100);
    }
}

#[test]
fn threads_whose_clocks_differ_never_spend_too_much() {
    let start = Instant::now();
    for round in 0..50_u32 {
        let budget = RetryBudget::new(policy(10.0, 0, 20 * SECOND), start);
        let border = start + 20 * SECOND + round * 20 * SECOND;
        (0..1000).for_each(|_| budget.on_request(border));
        let spend = |thread: u32| {
            // On either side of the end of a slot.
            let now = |n: u32| border + SECOND * ((thread + n) % 2);
            (0..200).filter(|n| budget.try_spend(now(*n))).count()
        };
        let spent: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || spend(thread))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .sum()
        });
        assert!(spent <= 100, "{spent}");
    }
}

/// The rule as it is written: everything is kept, and counted exactly.
#[derive(Default)]
struct Plain {
    requests: Vec<Duration>,
    retries: Vec<Duration>,
}

impl Plain {
    /// Whether one more may be made by the rule, if a window of requests is `short` by so much, and one of retries
    /// longer.
    fn allows(&self, policy: &BudgetPolicy, now: Duration, short: Duration) -> bool {
        let config = policy.config();
        let within =
            |times: &[Duration], ttl: Duration| times.iter().filter(|at| **at + ttl > now).count() as f64;
        let requests = within(&self.requests, config.ttl.saturating_sub(short));
        let retries = within(&self.retries, config.ttl + short);
        let reserve = f64::from(config.min_per_second) * config.ttl.as_secs_f64();
        retries < (requests * config.percent / 100.0).floor() + reserve.floor()
    }

    /// The same without what is given out a second.
    fn is_in_share(&self, policy: &BudgetPolicy, now: Duration, short: Duration) -> bool {
        let mut config = *policy.config();
        config.min_per_second = 0;
        self.allows(&config.try_into().expect("makes sense"), now, short)
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Wait(Duration),
    Requests(u8),
    Retries(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..3_000_u64).prop_map(|ms| Event::Wait(Duration::from_millis(ms))),
        (0..100_u8).prop_map(Event::Requests),
        (0..50_u8).prop_map(Event::Retries),
    ]
}

proptest! {
    #[test]
    fn what_is_granted_keeps_the_rule_and_what_is_well_within_it_is_granted(
        percent in 0.0..=100.0_f64,
        min_per_second in 0..20_u32,
        ttl in 1_000..12_000_u64,
        events in prop::collection::vec(event(), 1..40),
    ) {
        let ttl = Duration::from_millis(ttl);
        let policy = policy(percent, min_per_second, ttl);
        let start = Instant::now();
        let budget = RetryBudget::new(policy, start);
        let step = ttl / STEPS as u32 + Duration::from_nanos(STEPS);
        let (mut plain, mut now) = (Plain::default(), Duration::ZERO);
        for event in events {
            match event {
                Event::Wait(time) => now += time,
                Event::Requests(n) => for _ in 0..n {
                    budget.on_request(start + now);
                    plain.requests.push(now);
                },
                Event::Retries(n) => for _ in 0..n {
                    let is_left = budget.remaining(start + now) > 0;
                    let granted = budget.try_spend(start + now);
                    prop_assert_eq!(granted, is_left);
                    if granted {
                        prop_assert!(plain.allows(&policy, now, Duration::ZERO));
                        plain.retries.push(now);
                    } else {
                        prop_assert!(!plain.is_in_share(&policy, now, step));
                    }
                },
            }
        }
    }
}
