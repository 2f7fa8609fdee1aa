//! Whom a fleet's chooser chooses, whatever happens to the fleet: requests that fail, succeed or are given up,
//! health checks, discovery, time, and a chooser that is older than all of it.
//!
//! `PROPTEST_CASES` sets how many sequences are tried; 256 unless told.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use mesh_core::{Endpoint, EndpointId, EndpointSet, ErrorKind, Outcome};
use mesh_lb::fleet::{Chooser, EndpointState, NotChosen, Unjudged};
use mesh_lb::load::InFlight;
use mesh_lb::{
    Fleet, FleetPolicy, LeastConnections, LoadBalancer, PeakEwma, PickContext, Random, RoundRobin,
};
use proptest::prelude::*;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn endpoint(port: u16) -> Endpoint {
    Endpoint::new(SocketAddr::from(([10, 0, 0, 1], port)).into())
}

fn set(count: u16) -> EndpointSet {
    EndpointSet::new((1..=count).map(endpoint))
}

fn fleet(count: u16, policy: FleetPolicy, now: Instant) -> Fleet {
    let fleet = Fleet::new("orders".parse().expect("a name"), policy);
    fleet.update(set(count), now);
    fleet
}

/// Fails requests until the endpoint is ejected, and composes the roster.
fn eject(fleet: &Fleet, port: u16, now: Instant) {
    let chooser = fleet.chooser(&RoundRobin::new(), now, |_| ());
    while state(fleet, endpoint(port).id(), now) != EndpointState::Ejected {
        let chosen = chooser
            .choose(None, PickContext::new(0, now), &[])
            .expect("there are");
        let outcome = match chosen.endpoint.id() == endpoint(port).id() {
            true => Outcome::Failure,
            false => Outcome::Success,
        };
        fleet.judge(chosen.attempt, outcome, now);
    }
    fleet.tick(now);
}

fn state(fleet: &Fleet, id: &EndpointId, now: Instant) -> EndpointState {
    let status = fleet.status(now);
    let known = status.iter().find(|status| status.endpoint.id() == id);
    known.expect("it is in the set").state
}

/// When the chooser makes an attempt at the endpoint its trial, trying every second; at most for ten minutes.
fn next_trial(chooser: &Chooser, from: Instant) -> Option<(Instant, Unjudged)> {
    (0..600).find_map(|n| {
        let now = from + n * SECOND;
        let chosen = chooser.choose(None, PickContext::new(0, now), &[]).ok()?;
        chosen.attempt.is_trial().then_some((now, chosen.attempt))
    })
}

#[test]
fn a_trial_that_was_given_up_is_made_again_soon() {
    let start = Instant::now();
    let fleet = fleet(3, FleetPolicy::default(), start);
    eject(&fleet, 1, start);
    let chooser = fleet.chooser(&RoundRobin::new(), start, |_| ());
    let (due, trial) = next_trial(&chooser, start).expect("its time is over");
    assert_eq!(due, start + EJECTION);
    // As when its client goes away.
    drop(trial);
    let (again, _) = next_trial(&chooser, due).expect("it is tried again");
    assert!(again <= due + 2 * SECOND, "{:?}", again - due);
}

#[test]
fn a_trial_that_says_nothing_about_the_endpoint_is_made_again_by_other_choosers_too() {
    let start = Instant::now();
    let fleet = fleet(3, FleetPolicy::default(), start);
    eject(&fleet, 1, start);
    let [one, another] = [(); 2].map(|()| fleet.chooser(&RoundRobin::new(), start, |_| ()));
    let (due, trial) = next_trial(&one, start).expect("its time is over");
    // The other is refused meanwhile.
    let chosen = another
        .choose(None, PickContext::new(0, due), &[])
        .expect("there are");
    assert!(!chosen.attempt.is_trial());
    fleet.judge(trial, Outcome::Refused(ErrorKind::Overloaded), due);
    let (again, _) = next_trial(&another, due).expect("it is tried again");
    assert!(again <= due + 2 * SECOND, "{:?}", again - due);
}

#[test]
fn an_ejected_endpoint_is_the_last_resort_of_a_request_and_back_if_it_answers() {
    let now = Instant::now();
    let fleet = fleet(2, FleetPolicy::default(), now);
    eject(&fleet, 1, now);
    let chooser = fleet.chooser(&RoundRobin::new(), now, |_| ());
    let choose = |tried: &[u16]| {
        let tried: Vec<_> = tried.iter().map(|port| endpoint(*port).id().clone()).collect();
        chooser
            .choose(None, PickContext::new(0, now), &tried)
            .expect("there are")
    };
    assert_eq!(choose(&[]).endpoint.id(), endpoint(2).id());
    for outcome in [Outcome::Refused(ErrorKind::UpstreamConnect), Outcome::Failure] {
        let last = choose(&[2]);
        assert!(last.attempt.is_last_resort() && !last.attempt.is_trial());
        assert_eq!(last.endpoint.id(), endpoint(1).id());
        fleet.judge(last.attempt, outcome, now);
        assert_eq!(state(&fleet, endpoint(1).id(), now), EndpointState::Ejected);
    }
    assert_eq!(choose(&[1, 2]).endpoint.id(), endpoint(2).id(), "both were tried");
    fleet.judge(choose(&[2]).attempt, Outcome::Success, now);
    assert_eq!(state(&fleet, endpoint(1).id(), now), EndpointState::Healthy);
}

#[test]
fn an_endpoint_that_came_back_is_found_by_a_chooser_that_does_not_know_it_yet() {
    let now = Instant::now();
    let fleet = fleet(2, FleetPolicy::default(), now);
    eject(&fleet, 1, now);
    let old = fleet.chooser(&RoundRobin::new(), now, |_| ());
    let choose = |tried: &[u16]| {
        let tried: Vec<_> = tried.iter().map(|port| endpoint(*port).id().clone()).collect();
        let chosen = old.choose(None, PickContext::new(0, now), &tried);
        chosen.expect("one takes requests")
    };
    fleet.judge(choose(&[2]).attempt, Outcome::Success, now);
    eject(&fleet, 2, now);
    for tried in [&[][..], &[2], &[1, 2]] {
        let chosen = choose(tried);
        assert_eq!(
            chosen.endpoint.id(),
            endpoint(1).id(),
            "the other is ejected; tried: {tried:?}"
        );
        assert!(!chosen.attempt.is_last_resort());
    }
    assert!(choose(&[1]).attempt.is_last_resort());
}

#[test]
fn an_unhealthy_endpoint_is_nobodys_last_resort() {
    let now = Instant::now();
    let fleet = fleet(4, FleetPolicy::default(), now);
    eject(&fleet, 1, now);
    fleet.report(endpoint(1).id(), Err("it answers 503".into()), now);
    fleet.tick(now);
    let chooser = fleet.chooser(&RoundRobin::new(), now, |_| ());
    let tried: Vec<_> = (2..=4).map(|port| endpoint(port).id().clone()).collect();
    for random in 0..20 {
        let chosen = chooser
            .choose(None, PickContext::new(random, now), &tried)
            .expect("there are");
        assert_ne!(chosen.endpoint.id(), endpoint(1).id());
    }
}

#[test]
fn an_unhealthy_endpoint_is_not_tried_until_it_is_well_again() {
    let start = Instant::now();
    let fleet = fleet(3, FleetPolicy::default(), start);
    eject(&fleet, 1, start);
    fleet.report(endpoint(1).id(), Err("it answers 503".into()), start);
    fleet.tick(start);
    let chooser = fleet.chooser(&RoundRobin::new(), start, |_| ());
    assert!(next_trial(&chooser, start).is_none());
    let well = start + 600 * SECOND;
    fleet.report(endpoint(1).id(), Ok(()), well);
    fleet.tick(well);
    let chooser = fleet.chooser(&RoundRobin::new(), well, |_| ());
    assert_eq!(next_trial(&chooser, well).map(|(when, _)| when), Some(well));
}

#[test]
fn a_request_that_found_one_near_endpoint_wanting_is_tried_in_another_zone() {
    let now = Instant::now();
    let mut policy = FleetPolicy::default();
    policy.zone = Some("a".into());
    let fleet = Fleet::new("orders".parse().expect("a name"), policy);
    let zone = |port| if port % 2 == 0 { "a" } else { "b" };
    let endpoints = (1..=8).map(|port| endpoint(port).with_zone(Some(zone(port).into())));
    fleet.update(EndpointSet::new(endpoints), now);
    for balancer in (0..4).map(balancer) {
        let chooser = fleet.chooser(&*balancer, now, |_| ());
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20 {
            let mut choose = |tried: &[EndpointId]| {
                let chosen = chooser.choose(None, PickContext::new(random.u64(..), now), tried);
                let endpoint = chosen.expect("there are").endpoint;
                (endpoint.id().clone(), endpoint.zone.as_deref() == Some("a"))
            };
            let (first, near) = choose(&[]);
            assert!(near, "{first}");
            let (second, near) = choose(std::slice::from_ref(&first));
            assert!(!near, "{second}");
            let (third, near) = choose(&[first, second.clone()]);
            assert!(!near && third != second, "{third}");
            // What failed far away says nothing against those near.
            assert!(choose(&[second]).1);
        }
    }
}

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    /// A request begins that was tried at these already.
    Begins(u64, Vec<u16>),
    /// One of those under way ends so; without an outcome it is given up.
    Ends(usize, Option<Outcome>),
    /// Requests that were tried everywhere else fail here.
    Fails(u16, usize),
    Unhealthy(u16),
    Healthy(u16),
    /// So many endpoints are there from now on.
    Discovered(u16),
    Passes(u64),
    /// The roster is composed and the chooser built anew.
    Keeps,
}

const MOST: u16 = 8;

fn step() -> impl Strategy<Value = Step> {
    let port = || 1..=MOST;
    let outcome = prop_oneof![
        3 => Just(Some(Outcome::Failure)),
        3 => Just(Some(Outcome::Success)),
        2 => Just(Some(Outcome::Refused(ErrorKind::UpstreamConnect))),
        1 => Just(Some(Outcome::Refused(ErrorKind::Overloaded))),
        1 => Just(None),
    ];
    prop_oneof![
        6 => (any::<u64>(), proptest::collection::vec(port(), 0..3)).prop_map(|(r, tried)| Step::Begins(r, tried)),
        5 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::Ends(which, outcome)),
        4 => (port(), 1..4_usize).prop_map(|(port, times)| Step::Fails(port, times)),
        1 => port().prop_map(Step::Unhealthy),
        1 => port().prop_map(Step::Healthy),
        1 => port().prop_map(Step::Discovered),
        3 => (1..40_000_u64).prop_map(Step::Passes),
        4 => Just(Step::Keeps),
    ]
}

fn balancer(which: usize) -> Box<dyn LoadBalancer> {
    match which {
        0 => Box::new(RoundRobin::new()),
        1 => Box::new(Random::new()),
        2 => Box::new(LeastConnections::new()),
        _ => Box::new(PeakEwma::new()),
    }
}

/// A fleet, a chooser of it, and what is under way.
struct World {
    fleet: Fleet,
    balancer: Box<dyn LoadBalancer>,
    chooser: Chooser,
    /// Whether its roster is one of panic.
    panic: bool,
    /// Whether nothing has happened since it was built.
    is_fresh: bool,
    /// Whom it knows.
    known: HashSet<EndpointId>,
    /// Who left since then: if it came back, it is another.
    left: HashSet<EndpointId>,
    now: Instant,
    under_way: Vec<Begun>,
    /// When an endpoint was last seen to take requests.
    well: HashMap<EndpointId, Instant>,
    /// Since when it has been tried. One that takes longer than an ejection is given up on.
    tried: HashMap<EndpointId, Instant>,
}

struct Begun {
    id: EndpointId,
    attempt: Unjudged,
    _in_flight: InFlight,
    /// If it is a trial, since when its endpoint had been tried.
    tried: Option<Instant>,
}

const EJECTION: Duration = Duration::from_secs(30);

impl World {
    fn new(policy: FleetPolicy, balancer: Box<dyn LoadBalancer>) -> Self {
        let now = Instant::now();
        let fleet = fleet(MOST, policy, now);
        Self {
            chooser: fleet.chooser(&*balancer, now, |_| ()),
            fleet,
            balancer,
            panic: false,
            is_fresh: true,
            known: (1..=MOST).map(|port| endpoint(port).id().clone()).collect(),
            left: HashSet::new(),
            now,
            under_way: Vec::new(),
            well: HashMap::new(),
            tried: HashMap::new(),
        }
    }

    fn states(&self) -> HashMap<EndpointId, EndpointState> {
        let status = self.fleet.status(self.now).into_iter();
        status
            .map(|status| (status.endpoint.id().clone(), status.state))
            .collect()
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.now;
        match step {
            Step::Begins(random, tried) => {
                let tried: Vec<_> = tried.iter().map(|port| endpoint(*port).id().clone()).collect();
                self.begin(random, &tried)?;
                return Ok(());
            }
            Step::Ends(which, outcome) if !self.under_way.is_empty() => {
                let which = which % self.under_way.len();
                let begun = self.under_way.swap_remove(which);
                if let Some(outcome) = outcome {
                    self.fleet.judge(begun.attempt, outcome, now);
                }
            }
            Step::Ends(..) => {}
            Step::Fails(port, times) => {
                let others = (1..=MOST).filter(|other| *other != port);
                let others: Vec<_> = others.map(|other| endpoint(other).id().clone()).collect();
                for _ in 0..times {
                    if self.begin(0, &others)? {
                        self.take(Step::Ends(self.under_way.len() - 1, Some(Outcome::Failure)))?;
                    }
                }
            }
            Step::Unhealthy(port) => self.fleet.report(endpoint(port).id(), Err("asked".into()), now),
            Step::Healthy(port) => self.fleet.report(endpoint(port).id(), Ok(()), now),
            Step::Discovered(count) => {
                self.fleet.update(set(count), now);
                let gone = (count + 1..=MOST).map(|port| endpoint(port).id().clone());
                for id in gone {
                    self.tried.remove(&id);
                    self.left.insert(id);
                }
            }
            Step::Passes(millis) => self.now += Duration::from_millis(millis),
            Step::Keeps => {
                self.fleet.tick(now);
                self.chooser = self.fleet.chooser(&*self.balancer, now, |_| ());
                self.left.clear();
                self.known = self.states().into_keys().collect();
                self.panic = self.fleet.roster().load().is_panic();
            }
        }
        self.is_fresh = matches!(step, Step::Keeps);
        let states = self.states().into_iter();
        let well = states.filter(|(_, state)| *state == EndpointState::Healthy);
        self.well.extend(well.map(|(id, _)| (id, self.now)));
        Ok(())
    }

    /// Chooses, and holds that against what is known. Whether a request began.
    fn begin(&mut self, random: u64, tried: &[EndpointId]) -> Result<bool, TestCaseError> {
        let states = self.states();
        let healthy = |state: Option<&EndpointState>| state == Some(&EndpointState::Healthy);
        let chosen = match self
            .chooser
            .choose(None, PickContext::new(random, self.now), tried)
        {
            Ok(chosen) => chosen,
            Err(why) => {
                prop_assert_eq!(why, NotChosen::Nobody, "there is no bound");
                let here = |id: &&EndpointId| self.known.contains(*id) && !self.left.contains(*id);
                let mut here = states.keys().filter(here);
                let unwell = here.all(|id| states.get(id) == Some(&EndpointState::Unhealthy));
                prop_assert!(unwell, "{:?}", states);
                return Ok(false);
            }
        };
        let id = chosen.endpoint.id().clone();
        if self.left.contains(&id) {
            return Ok(false);
        }
        if chosen.attempt.is_trial() {
            prop_assert!(!self.panic, "nobody is on trial in a panic");
            let is_long_ago = |since: &Instant| *since + EJECTION <= self.now;
            prop_assert!(
                self.well.get(&id).is_none_or(is_long_ago),
                "{} is tried too early",
                id
            );
            let tried = self.tried.get(&id).copied().filter(|since| !is_long_ago(since));
            let tried = tried.unwrap_or(self.now);
            let mut under_way = self.under_way.iter();
            prop_assert!(
                !under_way.any(|begun| begun.id == id && begun.tried == Some(tried)),
                "{} is tried twice at once",
                id
            );
            self.tried.insert(id.clone(), tried);
        } else if chosen.attempt.is_last_resort() {
            prop_assert!(!self.panic, "nobody is the last resort in a panic");
            prop_assert_eq!(states.get(&id), Some(&EndpointState::Ejected));
            let mut others = states.iter().filter(|(_, state)| healthy(Some(state)));
            let only = match tried.contains(&id) {
                true => others.next().is_none(),
                false => others.all(|(other, _)| tried.contains(other)),
            };
            prop_assert!(
                !self.is_fresh || only,
                "{} before those that take requests: {:?}",
                id,
                states
            );
        } else if !self.panic {
            prop_assert!(healthy(states.get(&id)), "{} is {:?}", id, states.get(&id));
        }
        self.under_way.push(Begun {
            tried: self.tried.get(&id).copied().filter(|_| chosen.attempt.is_trial()),
            id,
            attempt: chosen.attempt,
            _in_flight: chosen.in_flight,
        });
        Ok(true)
    }
}

fn cases() -> ProptestConfig {
    let told = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if told { default.cases } else { 256 },
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn an_ejected_endpoint_is_chosen_for_its_trial_or_as_the_last_resort_unless_in_a_panic(
        steps in proptest::collection::vec(step(), 1..60),
        which in 0..4_usize,
        panic_threshold in prop_oneof![Just(50.0), Just(0.0), Just(80.0)],
        percent in prop_oneof![Just(50.0), Just(100.0)],
    ) {
        let mut policy = FleetPolicy::default();
        policy.panic_threshold = panic_threshold;
        if let Some(ejection) = &mut policy.ejection {
            ejection.consecutive_failures = Some(2);
            ejection.max_ejection_percent = percent;
        }
        let mut world = World::new(policy, balancer(which));
        for step in steps {
            world.take(step)?;
        }
    }
}
