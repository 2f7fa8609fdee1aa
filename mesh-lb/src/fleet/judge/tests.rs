use mesh_core::Outcome;
use mesh_core::breaker::State;
use tokio::time::Instant;

use crate::fleet::FleetPolicy;
use crate::fleet::tests::{SECOND, attempt, fail, fleet, member, told};

#[test]
fn a_trial_that_fails_as_its_endpoint_is_taken_back_does_not_eject_it_for_ever() {
    let now = Instant::now();
    let (fleet, _) = fleet(1..=3, FleetPolicy::default(), now);
    fail(&fleet, 1, 5, now);
    let later = now + 30 * SECOND;
    let member = member(&fleet, 1);
    let breaker = member.breaker().expect("it has one");
    let trial = breaker.admit(later).expect("a trial");
    let opened = breaker
        .record(trial.permit, Outcome::Failure, later)
        .expect("it opened");

    // Before the fleet hears of that, another thread takes the endpoint back.
    let _ = breaker.reset(later);
    assert!(member.take_back(later));
    fleet.changed(&member, &opened, "a trial failed".into(), later);

    assert_eq!((breaker.state(), member.is_ejected()), (State::Closed, false));
}

#[test]
fn a_trial_that_succeeds_as_its_endpoint_is_ejected_anew_does_not_bring_it_back() {
    let now = Instant::now();
    let (fleet, mut events) = fleet(1..=3, FleetPolicy::default(), now);
    fail(&fleet, 1, 5, now);
    let later = now + 30 * SECOND;
    let member = member(&fleet, 1);
    let breaker = member.breaker().expect("it has one");
    let trial = breaker.admit(later).expect("a trial");
    let closed = breaker
        .record(trial.permit, Outcome::Success, later)
        .expect("it closed");

    let opened = breaker.trip(later).expect("it opened");
    fleet.changed(&member, &opened, "its peers are better".into(), later);
    fleet.changed(&member, &closed, "a trial succeeded".into(), later);

    assert_eq!((breaker.state(), member.is_ejected()), (State::Open, true));
    let told = told(&mut events);
    assert!(!told.iter().any(|event| event.ends_with("is back")), "{told:?}");
}

#[test]
fn a_result_from_before_an_ejection_changes_nothing() {
    let now = Instant::now();
    let (fleet, _) = fleet(1..=3, FleetPolicy::default(), now);
    let member = member(&fleet, 1);
    let early = member.breaker().expect("it has one").admit(now).expect("closed");
    fail(&fleet, 1, 5, now);
    fleet.judge(attempt(member.clone(), early.permit, now), Outcome::Success, now);
    assert!(member.is_ejected());
}

#[test]
fn an_outlier_config_that_makes_no_sense_ejects_nobody_and_breaks_nothing() {
    let now = Instant::now();
    for (interval, base) in [
        (std::time::Duration::MAX, SECOND),
        (SECOND, std::time::Duration::ZERO),
    ] {
        let mut policy = FleetPolicy::default();
        if let Some(ejection) = &mut policy.ejection {
            ejection.interval = interval;
            ejection.base_ejection = base;
        }
        let (fleet, _) = fleet(1..=3, policy, now);
        assert_eq!(fleet.tick(now), None);
        assert!(member(&fleet, 1).breaker().is_none());
    }
}

#[test]
fn success_rates_are_compared_a_hundred_times_a_second_at_most() {
    let now = Instant::now();
    let mut policy = FleetPolicy::default();
    if let Some(ejection) = &mut policy.ejection {
        ejection.interval = std::time::Duration::ZERO;
    }
    let (fleet, _) = fleet(1..=3, policy, now);
    assert_eq!(fleet.tick(now), Some(now + SECOND / 100));
    fail(&fleet, 1, 5, now);
    assert!(member(&fleet, 1).is_ejected());
}
