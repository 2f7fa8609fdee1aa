use super::*;
use crate::error::ErrorKind;

const SECOND: Duration = Duration::from_secs(1);

fn breaker(change: impl FnOnce(&mut BreakerConfig)) -> (Breaker, Instant) {
    let mut config = BreakerConfig::default();
    change(&mut config);
    let start = Instant::now();
    (
        Breaker::new(BreakerPolicy::try_from(config).expect("sensible"), start),
        start,
    )
}

fn send(breaker: &Breaker, outcome: Outcome, now: Instant) -> Option<Transition> {
    let admission = breaker.admit(now).expect("admitted");
    breaker.record(admission.permit, outcome, now)
}

/// Opens it and returns the transition.
fn fail_until_open(breaker: &Breaker, now: Instant) -> Transition {
    (0..100)
        .find_map(|_| send(breaker, Outcome::Failure, now))
        .expect("it opens")
}

#[test]
fn it_opens_at_the_fifth_failure_in_a_row() {
    let (breaker, now) = breaker(|_| {});
    for _ in 0..4 {
        assert_eq!(send(&breaker, Outcome::Failure, now), None);
    }
    let opened = send(&breaker, Outcome::Failure, now).expect("the fifth");
    assert_eq!(
        opened.to_string(),
        "closed -> open: 5 consecutive failures, open for 30s"
    );
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.due(), Some(now + 30 * SECOND));
}

#[test]
fn a_success_in_between_starts_the_count_again() {
    let (breaker, now) = breaker(|c| c.error_rate = None);
    for _ in 0..20 {
        for _ in 0..4 {
            assert_eq!(send(&breaker, Outcome::Failure, now), None);
        }
        assert_eq!(send(&breaker, Outcome::Success, now), None);
    }
}

#[test]
fn it_opens_when_half_of_the_window_failed() {
    let (breaker, now) = breaker(|c| c.consecutive_failures = None);
    for n in 0..10 {
        let at = now + n * SECOND / 2;
        assert_eq!(send(&breaker, Outcome::Success, at), None);
        let opened = send(&breaker, Outcome::Failure, at);
        assert_eq!(
            opened.map(|t| t.cause),
            (n == 9).then_some(Cause::ErrorRate {
                failed: 10,
                requests: 20
            })
        );
    }
}

#[test]
fn failures_that_left_the_window_do_not_count() {
    let (breaker, now) = breaker(|c| c.consecutive_failures = None);
    for _ in 0..19 {
        assert_eq!(send(&breaker, Outcome::Failure, now), None);
    }
    assert_eq!(send(&breaker, Outcome::Failure, now + 10 * SECOND), None);
}

#[test]
fn an_open_breaker_refuses_until_its_time_and_says_how_long() {
    let (breaker, now) = breaker(|_| {});
    let _opened = fail_until_open(&breaker, now);
    let refused = breaker.admit(now + 12 * SECOND).expect_err("open");
    assert_eq!((refused.state, refused.retry_after), (State::Open, 18 * SECOND));
    assert_eq!(
        refused.to_string(),
        "the circuit breaker is open; it tries again in 18s"
    );
    let shown = breaker
        .admit(now + Duration::from_nanos(1_234_567))
        .expect_err("open")
        .to_string();
    assert!(shown.ends_with("in 29999ms"), "{shown}");
    assert!(breaker.admit(now + 30 * SECOND).expect("due").permit.is_trial());
}

#[test]
fn a_half_open_breaker_lets_only_its_trials_through() {
    let (breaker, now) = breaker(|_| {});
    let _opened = fail_until_open(&breaker, now);
    let later = now + 30 * SECOND;
    let trials: Vec<Admission> = (0..3).map(|_| breaker.admit(later).expect("a trial")).collect();
    let told: Vec<bool> = trials.iter().map(|t| t.transition.is_some()).collect();
    assert_eq!(told, [true, false, false]);
    let refused = breaker.admit(later).expect_err("all under way");
    assert_eq!(
        (refused.state, refused.retry_after),
        (State::HalfOpen, 30 * SECOND)
    );
}

#[test]
fn three_trials_that_succeed_close_it() {
    let (breaker, now) = breaker(|_| {});
    let _opened = fail_until_open(&breaker, now);
    let later = now + 30 * SECOND;
    assert_eq!(send(&breaker, Outcome::Success, later), None);
    assert_eq!(send(&breaker, Outcome::Success, later), None);
    let closed = send(&breaker, Outcome::Success, later).expect("the third");
    assert_eq!(closed.to_string(), "half_open -> closed: 3 trials succeeded");
}

#[test]
fn one_trial_that_fails_opens_it_again() {
    let (breaker, now) = breaker(|_| {});
    let _opened = fail_until_open(&breaker, now);
    let later = now + 30 * SECOND;
    let _other = breaker.admit(later).expect("a trial");
    let opened = send(&breaker, Outcome::Failure, later).expect("it opens");
    assert_eq!(
        opened.to_string(),
        "half_open -> open: a trial failed, open for 30s"
    );
    assert!(breaker.admit(later).is_err());
}

#[test]
fn a_trial_that_is_dropped_makes_room_for_another() {
    let (breaker, now) = breaker(|c| c.half_open_requests = 1);
    let _opened = fail_until_open(&breaker, now);
    let later = now + 30 * SECOND;
    for _ in 0..10 {
        drop(breaker.admit(later).expect("a trial"));
    }
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn a_refusal_by_the_mesh_itself_is_no_proof_of_health() {
    let (breaker, now) = breaker(|c| c.half_open_requests = 1);
    let _opened = fail_until_open(&breaker, now);
    let later = now + 30 * SECOND;
    assert_eq!(
        send(&breaker, Outcome::Refused(ErrorKind::RateLimited), later),
        None
    );
    assert_eq!(breaker.state(), State::HalfOpen);
    assert!(send(&breaker, Outcome::Refused(ErrorKind::Timeout), later).is_some());
}

#[test]
fn trials_that_never_end_give_way_after_a_while() {
    let (breaker, now) = breaker(|_| {});
    let _opened = fail_until_open(&breaker, now);
    let later = now + 30 * SECOND;
    let stuck: Vec<Admission> = (0..3).map(|_| breaker.admit(later).expect("a trial")).collect();
    assert!(breaker.admit(later + 29 * SECOND).is_err());

    let much_later = later + 30 * SECOND;
    let fresh = breaker.admit(much_later).expect("a new round");
    assert_eq!(fresh.transition, None);
    for old in stuck {
        assert_eq!(
            breaker.record(old.permit, Outcome::Failure, much_later),
            None,
            "it no longer counts"
        );
    }
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn a_trial_that_took_the_place_of_a_lost_one_has_all_the_time_for_itself() {
    let (breaker, now) = breaker(|c| c.half_open_requests = 1);
    let _opened = fail_until_open(&breaker, now);
    let later = now + 30 * SECOND;
    drop(breaker.admit(later).expect("a trial"));
    let _second = breaker.admit(later + 29 * SECOND).expect("another");
    let refused = breaker.admit(later + 30 * SECOND).expect_err("one at a time");
    assert_eq!(refused.retry_after, 29 * SECOND);
    assert!(breaker.admit(later + 59 * SECOND).is_ok());
}

#[test]
fn a_result_from_before_it_opened_does_not_count_after_it_closed() {
    let (breaker, now) = breaker(|c| c.consecutive_failures = Some(1));
    let old = breaker.admit(now).expect("closed");
    let _opened = fail_until_open(&breaker, now);
    let _told = breaker.reset(now);
    assert_eq!(breaker.record(old.permit, Outcome::Failure, now), None);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_closed_breaker_starts_with_a_clean_slate() {
    let (breaker, now) = breaker(|_| {});
    let _opened = fail_until_open(&breaker, now);
    let _told = breaker.reset(now);
    for _ in 0..4 {
        assert_eq!(send(&breaker, Outcome::Failure, now), None);
    }
}

#[test]
fn openings_in_a_row_last_longer_up_to_the_limit() {
    let (breaker, mut now) = breaker(|c| c.max_open_for = 75 * SECOND);
    let mut lengths = vec![fail_until_open(&breaker, now).open_for];
    for _ in 0..3 {
        now = breaker.due().expect("open");
        lengths.push(fail_until_open(&breaker, now).open_for);
    }
    assert_eq!(lengths, [30, 60, 75, 75].map(|s| Some(s * SECOND)));
}

#[test]
fn time_spent_closed_forgives() {
    let (breaker, mut now) = breaker(|c| {
        c.max_open_for = 300 * SECOND;
        c.half_open_requests = 1;
    });
    for _ in 0..4 {
        now = breaker.due().unwrap_or(now);
        let _opened = fail_until_open(&breaker, now);
    }
    now = breaker.due().expect("open");
    assert!(send(&breaker, Outcome::Success, now).is_some());
    // Four openings; three times 30 s forgive three of them; this one is the second.
    assert_eq!(
        fail_until_open(&breaker, now + 95 * SECOND).open_for,
        Some(60 * SECOND)
    );
}

#[test]
fn its_owner_can_trip_and_reset_it() {
    let (breaker, now) = breaker(|_| {});
    let tripped = breaker.trip(now).expect("it was closed");
    assert_eq!(
        (tripped.from, tripped.to, tripped.cause),
        (State::Closed, State::Open, Cause::Ordered)
    );
    assert_eq!(breaker.trip(now), None);
    assert!(breaker.admit(now).is_err());
    assert_eq!(breaker.reset(now).map(|t| t.to), Some(State::Closed));
    assert_eq!(breaker.reset(now), None);
    assert!(breaker.admit(now).is_ok());
}

#[test]
fn a_clock_that_reads_earlier_than_the_start_is_taken_as_the_start() {
    let start = Instant::now() + 100 * SECOND;
    let breaker = Breaker::new(BreakerPolicy::default(), start);
    let opened = fail_until_open(&breaker, start - 50 * SECOND);
    assert_eq!(opened.open_for, Some(30 * SECOND));
    assert_eq!(breaker.due(), Some(start + 30 * SECOND));
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    type Change = fn(&mut BreakerConfig);
    let cases: [(&str, Change); 9] = [
        ("consecutiveFailures", |c| c.consecutive_failures = Some(0)),
        ("errorRate", |c| c.error_rate = Some(0.0)),
        ("errorRate", |c| c.error_rate = Some(1.1)),
        ("errorRate", |c| c.error_rate = Some(f64::NAN)),
        ("minimumRequests", |c| c.minimum_requests = 0),
        ("window", |c| c.window = Duration::from_millis(9)),
        ("openFor", |c| c.open_for = Duration::ZERO),
        ("maxOpenFor", |c| c.max_open_for = Duration::from_secs(29)),
        ("halfOpenRequests", |c| c.half_open_requests = 0),
    ];
    for (key, change) in cases {
        let mut config = BreakerConfig::default();
        change(&mut config);
        let error = BreakerPolicy::try_from(config).expect_err(key);
        assert_eq!(error.key(), key);
        assert!(error.to_string().contains("expected"), "{error}");
    }
    assert_eq!(
        BreakerPolicy::try_from(BreakerConfig::default()),
        Ok(BreakerPolicy::default())
    );
}

#[test]
fn of_many_threads_that_see_it_fail_one_tells() {
    let (breaker, now) = breaker(|_| {});
    let permits: Vec<Permit> = (0..64)
        .map(|_| breaker.admit(now).expect("closed").permit)
        .collect();
    let told = std::thread::scope(|scope| {
        let threads: Vec<_> = permits
            .into_iter()
            .map(|permit| scope.spawn(|| breaker.record(permit, Outcome::Failure, now)))
            .collect();
        threads
            .into_iter()
            .filter_map(|t| t.join().expect("no panic"))
            .count()
    });
    assert_eq!(told, 1);
}

#[test]
fn of_many_threads_no_more_than_three_try_at_once() {
    let (breaker, now) = breaker(|_| {});
    let _opened = fail_until_open(&breaker, now);
    let later = now + 30 * SECOND;
    let trials = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|_| scope.spawn(|| breaker.admit(later).ok()))
            .collect();
        let admitted: Vec<_> = threads
            .into_iter()
            .filter_map(|t| t.join().expect("no panic"))
            .collect();
        admitted.len()
    });
    assert_eq!(trials, 3);
}

#[test]
fn it_crosses_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<Breaker>();
    crosses::<Permit>();
    crosses::<Window>();
}
