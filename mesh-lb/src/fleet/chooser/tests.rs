use mesh_core::EndpointSet;
use mesh_core::breaker::State;
use tokio::time::Instant;

use super::{Chooser, Link};
use crate::balancer::PickContext;
use crate::fleet::tests::{SECOND, endpoint, fail, fleet, member};
use crate::fleet::{Fleet, FleetPolicy};
use crate::policy::RoundRobin;

fn chooser(fleet: &Fleet, now: Instant) -> Chooser {
    fleet.chooser(&RoundRobin::new(), now, |_| ())
}

/// The ports of so many choices, each with another random number.
fn ports<L: Link>(chooser: &Chooser<L>, count: u64, now: Instant, tried: &[u16]) -> Vec<u16> {
    let tried: Vec<_> = tried.iter().map(|port| endpoint(*port).id().clone()).collect();
    let mut random = fastrand::Rng::with_seed(7);
    (0..count)
        .map(|_| {
            let cx = PickContext::new(random.u64(..), now);
            let chosen = chooser.choose(None, cx, &tried).expect("somebody takes it");
            chosen
                .endpoint
                .id()
                .to_string()
                .rsplit_once(':')
                .expect("a port")
                .1
                .parse()
                .expect("a number")
        })
        .collect()
}

#[test]
fn the_last_endpoint_takes_requests_while_the_fleet_finds_out_that_it_cannot_be_spared() {
    let now = Instant::now();
    let (fleet, _) = fleet(1..=1, FleetPolicy::default(), now);
    let chooser = chooser(&fleet, now);
    let member = member(&fleet, 1);
    // Its fifth failure was counted, and the fleet is about to say that it has no other.
    let breaker = member.breaker().expect("it has one");
    let opened = breaker.trip(now).expect("it opened");
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(ports(&chooser, 1, now, &[]), [1]);
    fleet.changed(&member, &opened, "five failures".into(), now);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_trial_that_is_lost_after_the_roster_changed_is_made_up_for_within_a_second() {
    let now = Instant::now();
    let (fleet, _) = fleet(1..=6, FleetPolicy::default(), now);
    fail(&fleet, 1, 5, now);
    fleet.tick(now);
    let later = now + 30 * SECOND;
    let first = chooser(&fleet, later);
    let trial = first
        .choose(None, PickContext::new(3, later), &[])
        .expect("chosen");
    assert!(trial.attempt.is_trial());
    // While it is under way another endpoint is ejected: there is a new roster.
    fail(&fleet, 2, 5, later);
    fleet.tick(later);
    let second = chooser(&fleet, later);
    drop(trial);

    let soon = later + SECOND;
    let tried = (0..3).any(|random| {
        let chosen = second
            .choose(None, PickContext::new(random, soon), &[])
            .expect("chosen");
        chosen.attempt.is_trial() && chosen.endpoint.id() == endpoint(1).id()
    });
    assert!(
        tried,
        "nobody asks the first endpoint before the trial of the second"
    );
}

/// A link that rests, or does not.
struct Resting(bool);

impl Link for Resting {
    fn is_resting(&self, _: Instant) -> bool {
        self.0
    }
}

#[test]
fn however_many_rest_one_that_does_not_is_found() {
    let now = Instant::now();
    let (fleet, _) = fleet(1..=60, FleetPolicy::default(), now);
    let chooser = fleet.chooser(&RoundRobin::new(), now, |slot| {
        Resting(slot.endpoint.id() != endpoint(60).id())
    });
    assert!(ports(&chooser, 200, now, &[]).iter().all(|port| *port == 60));
}

#[test]
fn when_all_in_the_own_zone_rest_the_others_are_used() {
    let now = Instant::now();
    let policy = FleetPolicy {
        zone: Some("near".into()),
        ..FleetPolicy::default()
    };
    let (fleet, _) = fleet(1..=1, policy, now);
    let zoned = |port: u16| endpoint(port).with_zone(Some(if port <= 3 { "near" } else { "far" }.into()));
    fleet.update(EndpointSet::new((1..=6).map(zoned)), now);
    let chooser = fleet.chooser(&RoundRobin::new(), now, |slot| {
        Resting(slot.endpoint.zone.as_deref() == Some("near"))
    });
    assert!(ports(&chooser, 200, now, &[]).iter().all(|port| *port > 3));
}

#[test]
fn of_one_that_was_tried_and_others_that_are_full_none_is_tried_twice_before_all_were() {
    let now = Instant::now();
    let mut policy = FleetPolicy::default();
    policy.limits.max_requests_per_endpoint = 1;
    let (fleet, _) = fleet(1..=12, policy, now);
    let chooser = chooser(&fleet, now);
    let _full: Vec<_> = (2..=11)
        .map(|port| fleet.load(endpoint(port).id()).expect("known").begin())
        .collect();
    assert!(ports(&chooser, 100, now, &[1]).iter().all(|port| *port == 12));
}
