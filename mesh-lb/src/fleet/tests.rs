use std::net::SocketAddr;
use std::time::Duration;

use mesh_core::breaker::Permit;
use mesh_core::endpoint::Readiness;
use mesh_core::event::Events;
use mesh_core::{Endpoint, ErrorKind, Outcome, Version};
use proptest::prelude::*;

use super::*;

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn endpoint(port: u16) -> Endpoint {
    Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)).into())
}

pub(super) fn set(ports: std::ops::RangeInclusive<u16>) -> EndpointSet {
    EndpointSet::new(ports.map(endpoint))
}

pub(super) fn fleet(
    ports: std::ops::RangeInclusive<u16>,
    policy: FleetPolicy,
    now: Instant,
) -> (Fleet, Events) {
    let events = EventBus::new(1000);
    let told = events.subscribe();
    let fleet = Fleet::new("orders".parse().expect("a name"), policy).with_events(events);
    fleet.update(set(ports), now);
    (fleet, told)
}

/// A request to the endpoint, if its breaker lets it through. Whether it did.
pub(super) fn request(fleet: &Fleet, port: u16, outcome: Outcome, now: Instant) -> bool {
    let member = member(fleet, port);
    let Ok(admission) = member.breaker().expect("it has one").admit(now) else {
        return false;
    };
    fleet.judge(
        attempt(member, admission.permit, now - SECOND / 100),
        outcome,
        now,
    );
    true
}

pub(super) fn attempt(member: Arc<Member>, permit: Permit, begun: Instant) -> Unjudged {
    Unjudged {
        member,
        permit: Some(permit),
        begun,
        last_resort: false,
    }
}

pub(super) fn fail(fleet: &Fleet, port: u16, times: usize, now: Instant) {
    for _ in 0..times {
        request(fleet, port, Outcome::Failure, now);
    }
}

pub(super) fn member(fleet: &Fleet, port: u16) -> Arc<Member> {
    let state = fleet.0.state.lock();
    Arc::clone(state.members.get(endpoint(port).id()).expect("it is known"))
}

pub(super) fn weights(fleet: &Fleet) -> Vec<u32> {
    let roster = fleet.0.roster.current();
    roster.groups[0].seats.iter().map(|seat| seat.weight).collect()
}

pub(super) fn told(events: &mut Events) -> Vec<String> {
    use futures_util::FutureExt as _;
    std::iter::from_fn(|| events.next().now_or_never().flatten())
        .map(|event| event.to_string())
        .collect()
}

#[test]
fn an_endpoint_that_fails_five_times_in_a_row_is_ejected_until_one_trial_succeeds() {
    let now = Instant::now();
    let (fleet, mut events) = fleet(1..=3, FleetPolicy::default(), now);
    fail(&fleet, 1, 4, now);
    request(&fleet, 1, Outcome::Success, now);
    fail(&fleet, 1, 4, now);
    fleet.tick(now);
    assert_eq!(weights(&fleet), [1, 1, 1]);
    fail(&fleet, 1, 1, now);
    fleet.tick(now);
    assert_eq!(weights(&fleet), [0, 1, 1]);
    assert!(!request(&fleet, 1, Outcome::Success, now + 29 * SECOND));

    let later = now + 30 * SECOND;
    let trial = member(&fleet, 1)
        .breaker()
        .expect("it has one")
        .admit(later)
        .expect("a trial");
    assert!(
        !request(&fleet, 1, Outcome::Success, later),
        "one trial at a time"
    );
    let member = member(&fleet, 1);
    fleet.judge(
        attempt(member, trial.permit, later - SECOND),
        Outcome::Success,
        later,
    );
    fleet.tick(later);
    assert_eq!(weights(&fleet), [1, 1, 1]);
    assert_eq!(
        told(&mut events),
        [
            "10.0.0.1:1 of orders is ejected for 30s: 5 consecutive failures",
            "10.0.0.1:1 of orders is back",
        ]
    );
}

#[test]
fn each_ejection_in_a_row_lasts_longer_up_to_the_limit() {
    let mut now = Instant::now();
    let (fleet, _) = fleet(1..=3, FleetPolicy::default(), now);
    fail(&fleet, 1, 5, now);
    for minutes in [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300] {
        let due = member(&fleet, 1)
            .breaker()
            .and_then(|b| b.due())
            .expect("it is ejected");
        assert_eq!(due - now, minutes * SECOND);
        now = due;
        assert!(request(&fleet, 1, Outcome::Failure, now), "its trial");
    }
}

#[test]
fn what_a_caller_did_wrong_says_nothing_about_the_endpoint() {
    let now = Instant::now();
    let (fleet, _) = fleet(1..=3, FleetPolicy::default(), now);
    for _ in 0..100 {
        request(
            &fleet,
            1,
            Outcome::of_status(http::StatusCode::TOO_MANY_REQUESTS),
            now,
        );
        request(&fleet, 1, Outcome::Refused(ErrorKind::Overloaded), now);
    }
    fleet.tick(now);
    assert_eq!(weights(&fleet), [1, 1, 1]);
}

#[test]
fn what_was_under_way_at_an_ejection_can_be_told_from_what_came_after() {
    let now = Instant::now();
    let (fleet, _) = fleet(1..=3, FleetPolicy::default(), now);
    fail(&fleet, 1, 4, now + SECOND);
    assert!(!fleet.has_ejected_since(now));
    fail(&fleet, 1, 1, now + SECOND);
    assert!(fleet.has_ejected_since(now));
    assert!(!fleet.has_ejected_since(now + 2 * SECOND));
    // There is no other to spare.
    fail(&fleet, 2, 5, now + 3 * SECOND);
    assert!(!fleet.has_ejected_since(now + 2 * SECOND));
    // A trial that fails is an ejection again.
    assert!(request(&fleet, 1, Outcome::Failure, now + 31 * SECOND));
    assert!(fleet.has_ejected_since(now + 30 * SECOND));
}

#[test]
fn the_last_endpoint_is_never_ejected() {
    let now = Instant::now();
    for count in 1..=4 {
        let (fleet, _) = fleet(1..=count, FleetPolicy::default(), now);
        for port in 1..=count {
            fail(&fleet, port, 20, now);
        }
        let states = fleet.status(now);
        let ejected = states
            .iter()
            .filter(|e| e.state == EndpointState::Ejected)
            .count();
        assert_eq!(ejected, usize::from(count / 2), "of {count}");
    }
}

#[test]
fn a_version_of_one_endpoint_keeps_it_whatever_the_others_are() {
    let now = Instant::now();
    let v = |name: &str| -> Option<Version> { Some(name.parse().expect("a version")) };
    let policy = FleetPolicy {
        stable: v("v1"),
        ..FleetPolicy::default()
    };
    let fleet = Fleet::new("orders".parse().expect("a name"), policy);
    let endpoints = (1..=4).map(|port| endpoint(port).with_version(v(if port == 4 { "v2" } else { "v1" })));
    fleet.update(EndpointSet::new(endpoints), now);
    fail(&fleet, 4, 20, now);
    fail(&fleet, 1, 20, now);
    let states: Vec<_> = fleet.status(now).iter().map(|e| e.state.as_str()).collect();
    assert_eq!(states, ["ejected", "healthy", "healthy", "healthy"]);
}

#[test]
fn an_unhealthy_endpoint_gets_nothing_and_says_since_when() {
    let now = Instant::now();
    let (fleet, mut events) = fleet(1..=3, FleetPolicy::default(), now);
    fleet.report(endpoint(2).id(), Err("GET /health answered 503".into()), now);
    fleet.tick(now);
    assert_eq!(weights(&fleet), [1, 0, 1]);
    let status = &fleet.status(now + 12 * SECOND)[1];
    assert_eq!(
        status.trouble.as_deref(),
        Some("unhealthy for 12s: GET /health answered 503")
    );
    fleet.report(endpoint(2).id(), Ok(()), now + 20 * SECOND);
    fleet.tick(now + 20 * SECOND);
    assert_eq!(weights(&fleet), [1, 1, 1]);
    assert_eq!(told(&mut events).len(), 2);
}

#[test]
fn below_the_panic_threshold_all_take_requests_and_it_is_told() {
    let now = Instant::now();
    let (fleet, mut events) = fleet(1..=4, FleetPolicy::default(), now);
    for port in 1..=2 {
        fleet.report(endpoint(port).id(), Err("gone".into()), now);
    }
    fleet.tick(now);
    assert_eq!(weights(&fleet), [0, 0, 1, 1], "half are left, which is enough");
    fleet.report(endpoint(3).id(), Err("gone".into()), now);
    fleet.tick(now);
    assert_eq!(weights(&fleet), [1, 1, 1, 1]);
    fleet.report(endpoint(1).id(), Ok(()), now);
    fleet.tick(now);
    assert_eq!(weights(&fleet), [1, 0, 0, 1]);
    let told = told(&mut events);
    let panics: Vec<_> = told
        .iter()
        .filter(|event| event.contains("requests go to"))
        .collect();
    assert_eq!(panics.len(), 2, "{told:?}");
}

#[test]
fn a_new_endpoint_starts_slowly_and_the_others_do_not_notice() {
    let now = Instant::now();
    let policy = FleetPolicy {
        slow_start: Some(30 * SECOND),
        ..FleetPolicy::default()
    };
    let (fleet, _) = fleet(1..=2, policy, now);
    let later = now + 60 * SECOND;
    fleet.tick(later);
    assert_eq!(weights(&fleet), [1, 1]);
    fleet.update(set(1..=3), later);
    let share = |fleet: &Fleet| {
        let weights = weights(fleet);
        assert_eq!(weights[0], weights[1]);
        f64::from(weights[2]) / f64::from(weights[0])
    };
    assert!((share(&fleet) - 0.1).abs() < 0.01, "{}", share(&fleet));
    let next = fleet.tick(later).expect("it changes by itself");
    assert!(next <= later + 2 * SECOND);
    let half = later + 15 * SECOND;
    fleet.tick(half);
    assert!((share(&fleet) - 0.5).abs() < 0.01, "{}", share(&fleet));
    fleet.tick(later + 30 * SECOND);
    assert_eq!(weights(&fleet), [1, 1, 1]);
}

#[test]
fn who_comes_back_from_ejection_starts_slowly() {
    let now = Instant::now();
    let policy = FleetPolicy {
        slow_start: Some(30 * SECOND),
        ..FleetPolicy::default()
    };
    let (fleet, _) = fleet(1..=3, policy, now);
    let now = now + 60 * SECOND;
    fail(&fleet, 1, 5, now);
    let later = now + 31 * SECOND;
    assert!(request(&fleet, 1, Outcome::Success, later), "its trial");
    fleet.tick(later);
    let weights = weights(&fleet);
    assert!(weights[0] > 0 && weights[0] * 5 < weights[1], "{weights:?}");
}

#[test]
fn terminating_endpoints_are_the_last_resort() {
    let now = Instant::now();
    let fleet = Fleet::new("orders".parse().expect("a name"), FleetPolicy::default());
    let leaves = || endpoint(1).with_readiness(Readiness::Terminating);
    fleet.update(EndpointSet::new([leaves(), endpoint(2)]), now);
    assert_eq!(fleet.0.roster.current().groups[0].seats.len(), 1);
    fleet.update(
        EndpointSet::new([leaves(), endpoint(2).with_readiness(Readiness::NotReady)]),
        now,
    );
    let roster = fleet.0.roster.current();
    assert_eq!(roster.groups[0].seats[0].endpoint.id(), endpoint(1).id());
}

#[test]
fn what_was_held_against_an_endpoint_survives_an_update_and_goes_with_the_endpoint() {
    let now = Instant::now();
    let (fleet, _) = fleet(1..=3, FleetPolicy::default(), now);
    fail(&fleet, 1, 5, now);
    fleet.update(set(1..=4), now);
    assert_eq!(weights(&fleet), [0, 1, 1, 1]);
    fleet.update(set(2..=4), now);
    fleet.update(set(1..=4), now);
    assert_eq!(weights(&fleet), [1, 1, 1, 1]);
}

#[test]
fn what_an_endpoint_carries_outlives_its_absence() {
    let now = Instant::now();
    let (fleet, _) = fleet(1..=2, FleetPolicy::default(), now);
    let guard = fleet.load(endpoint(1).id()).expect("it is known").begin();
    fleet.update(set(2..=2), now);
    fleet.update(set(1..=2), now);
    assert_eq!(fleet.in_flight(endpoint(1).id()), 1);
    let successor = fleet.succeeded_by(FleetPolicy::default());
    successor.update(set(1..=2), now);
    assert_eq!(successor.in_flight(endpoint(1).id()), 1);
    drop(guard);
    assert_eq!(successor.in_flight(endpoint(1).id()), 0);
}

#[test]
fn who_succeeds_less_often_than_its_peers_is_ejected() {
    let now = Instant::now();
    let mut policy = FleetPolicy::default();
    if let Some(ejection) = &mut policy.ejection {
        // Alone, its failures would be too few.
        ejection.error_rate = None;
        ejection.consecutive_failures = None;
    }
    let (fleet, mut events) = fleet(1..=10, policy, now);
    fleet.tick(now);
    for port in 1..=10 {
        for n in 0..200 {
            let failed = port == 7 && n % 4 == 0;
            let outcome = if failed {
                Outcome::Failure
            } else {
                Outcome::Success
            };
            request(&fleet, port, outcome, now + SECOND);
        }
    }
    fleet.tick(now + 9 * SECOND);
    assert!(told(&mut events).is_empty(), "the interval is not over");
    fleet.tick(now + 10 * SECOND);
    let told = told(&mut events);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("10.0.0.1:7 of orders is ejected for 30s"),
        "{told:?}"
    );
    assert_eq!(weights(&fleet)[6], 0);
}

/// What may happen to a fleet.
#[derive(Clone, Debug)]
enum Step {
    Fails(u16),
    Succeeds(u16),
    Unhealthy(u16),
    Healthy(u16),
    Replaced(u16),
    Passes(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..=8_u16).prop_map(Step::Fails),
        2 => (1..=8_u16).prop_map(Step::Succeeds),
        1 => (1..=8_u16).prop_map(Step::Unhealthy),
        1 => (1..=8_u16).prop_map(Step::Healthy),
        1 => (1..=8_u16).prop_map(Step::Replaced),
        2 => (1..=40_000_u64).prop_map(Step::Passes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn ejections_stay_within_the_cap_and_somebody_always_takes_requests(
        steps in proptest::collection::vec(step(), 1..120),
        percent in 0_u8..=100,
    ) {
        let mut now = Instant::now();
        let mut policy = FleetPolicy::default();
        if let Some(ejection) = &mut policy.ejection {
            ejection.max_ejection_percent = f64::from(percent);
            ejection.consecutive_failures = Some(2);
        }
        let (fleet, _) = fleet(1..=8, policy, now);
        let mut count = 8_usize;
        for step in steps {
            match step {
                Step::Fails(port) if usize::from(port) <= count => {
                    let before = member(&fleet, port).is_ejected();
                    let ejected = |fleet: &Fleet| fleet.status(now).iter().filter(|e| e.state == EndpointState::Ejected).count();
                    fail(&fleet, port, 1, now);
                    if !before && member(&fleet, port).is_ejected() {
                        let ejected = ejected(&fleet);
                        prop_assert!(ejected == 1 || ejected * 100 <= count * usize::from(percent), "{} of {}", ejected, count);
                        let left = fleet.status(now).iter().filter(|e| e.state == EndpointState::Healthy).count();
                        prop_assert!(left > 0);
                    }
                }
                Step::Succeeds(port) if usize::from(port) <= count => { request(&fleet, port, Outcome::Success, now); }
                Step::Unhealthy(port) => fleet.report(endpoint(port).id(), Err("asked".into()), now),
                Step::Healthy(port) => fleet.report(endpoint(port).id(), Ok(()), now),
                Step::Replaced(last) => {
                    count = usize::from(last);
                    fleet.update(set(1..=last), now);
                }
                Step::Passes(millis) => now += Duration::from_millis(millis),
                _ => {}
            }
            fleet.tick(now);
            let roster = fleet.0.roster.current();
            let group = &roster.groups[0];
            prop_assert!(weights(&fleet).iter().any(|w| *w > 0), "somebody takes requests");
            for seat in &group.seats {
                prop_assert!(group.panic || seat.weight == 0 || seat.member.takes_requests());
            }
            prop_assert_eq!(group.panic, group.available * 2 < group.total);
        }
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(128)
}
