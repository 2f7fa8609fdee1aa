//! The circuit breakers in use: kept from one configuration to the next, so that a service that rests goes on resting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use mesh_core::breaker::State;
use mesh_core::{BreakerPolicy, EventBus, ServiceName, Version};
use mesh_lb::Fleet;
use mesh_telemetry::metrics::ServiceMetrics;
use mesh_traffic::ServiceBreaker;
use tokio::time::Instant;

/// All breakers of this process: one a service, and one for each of its versions that is not the stable one.
#[derive(Default)]
pub struct Breakers {
    running: HashMap<ServiceName, Watched>,
}

/// The breakers of a service, which all workers share. Each version has its own: a canary that fails keeps no requests from
/// the stable version, and what its breaker refuses was meant for the canary.
#[derive(Clone)]
pub struct Watched {
    breaker: ServiceBreaker,
    /// Those of versions that are not the stable one.
    others: Arc<[ServiceBreaker]>,
    around: Arc<Around>,
}

/// What a breaker's listeners look at: it outlives configurations, and they change.
struct Around {
    /// The fleet that ejects the service's endpoints.
    fleet: ArcSwap<Fleet>,
    /// Another has taken its place, or none: what still ends under it is not news.
    retired: AtomicBool,
    /// How many are open. Held while that is shown, so that what is shown last is true.
    open: Mutex<usize>,
    metrics: Arc<ServiceMetrics>,
    events: EventBus,
}

impl Watched {
    fn new(
        service: &ServiceName,
        policy: BreakerPolicy,
        fleet: &Fleet,
        metrics: &Arc<ServiceMetrics>,
        events: &EventBus,
    ) -> Self {
        let around = Arc::new(Around {
            fleet: ArcSwap::from_pointee(fleet.clone()),
            retired: AtomicBool::new(false),
            open: Mutex::default(),
            metrics: Arc::clone(metrics),
            events: events.clone(),
        });
        Self {
            breaker: around.breaker(service, None, policy),
            others: Arc::default(),
            around,
        }
    }

    /// The same for these versions; those that had a breaker keep it.
    fn with(self, versions: &[Version]) -> Self {
        if self
            .others
            .iter()
            .map(ServiceBreaker::version)
            .eq(versions.iter().map(Some))
        {
            return self;
        }
        let (service, policy) = (self.breaker.service(), *self.breaker.policy());
        let of_version = |version: &Version| {
            let kept = self.others.iter().find(|other| other.version() == Some(version));
            let made = || self.around.breaker(service, Some(version), policy);
            kept.cloned().unwrap_or_else(made)
        };
        let others = versions.iter().map(of_version).collect();
        Self { others, ..self }
    }

    /// The breaker of a version; without one, or for the stable one, that of the service.
    pub fn of(&self, version: Option<&Version>) -> &ServiceBreaker {
        let mut others = self.others.iter();
        let other = others.find(|other| version.is_some() && other.version() == version);
        other.unwrap_or(&self.breaker)
    }

    /// The state of the one that lets least pass.
    pub fn state(&self) -> State {
        let all = || {
            std::iter::once(&self.breaker)
                .chain(&*self.others)
                .map(ServiceBreaker::state)
        };
        let is_there = |state: &State| all().any(|is| is == *state);
        [State::Open, State::HalfOpen]
            .into_iter()
            .find(is_there)
            .unwrap_or(State::Closed)
    }

    fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.around, &other.around)
    }

    /// It is asked no more: requests that are under way end without a word, and nobody is shown a breaker that is open
    /// and lets everything pass.
    fn retire(&self) {
        self.around.retired.store(true, Ordering::Release);
        let now = Instant::now();
        self.breaker.reset(now);
        self.others.iter().for_each(|other| other.reset(now));
    }

    /// The other is in use from now on, and some versions may have left.
    fn succeeded_by(&self, other: &Self) {
        let left = self.others.iter().filter(|before| {
            let mut kept = other.others.iter();
            !kept.any(|kept| kept.version() == before.version())
        });
        left.for_each(|left| left.reset(Instant::now()));
    }
}

impl Around {
    fn breaker(
        self: &Arc<Self>,
        service: &ServiceName,
        version: Option<&Version>,
        policy: BreakerPolicy,
    ) -> ServiceBreaker {
        let (showing, excusing) = (Arc::clone(self), Arc::clone(self));
        let was_open = AtomicBool::new(false);
        let builder = ServiceBreaker::builder(service.clone())
            .policy(policy)
            .events(self.events.clone())
            .on_change(move |state| showing.show(&was_open, state == State::Open))
            .excuse(move |admitted| excusing.excuses(admitted));
        match version {
            Some(version) => builder.version(version.clone()),
            None => builder,
        }
        .build(Instant::now())
    }

    fn show(&self, was_open: &AtomicBool, is_open: bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match (was_open.swap(is_open, Ordering::Relaxed), is_open) {
            (false, true) => *open += 1,
            (true, false) => *open -= 1,
            _ => {}
        }
        self.metrics.set_breaker_open(*open > 0);
    }

    /// One endpoint of many is the fleet's affair: when it ejects one, it has answered to what failed there, and the
    /// others go on.
    fn excuses(&self, admitted: Instant) -> bool {
        self.retired.load(Ordering::Acquire) || self.fleet.load().has_ejected_since(admitted)
    }
}

impl Breakers {
    /// The breakers of a service and of these versions of it under this policy: those in use if that is their policy
    /// already. Nothing changes for them before [`adopt`](Self::adopt).
    pub fn of(
        &self,
        service: &ServiceName,
        versions: &[Version],
        policy: BreakerPolicy,
        fleet: &Fleet,
        metrics: &Arc<ServiceMetrics>,
        events: &EventBus,
    ) -> Watched {
        let watched = match self.running.get(service) {
            Some(running) if *running.breaker.policy() == policy => running.clone(),
            _ => Watched::new(service, policy, fleet, metrics, events),
        };
        watched.with(versions)
    }

    /// Keeps these breakers and no others. Each looks at this fleet from now on.
    pub fn adopt<'p>(&mut self, kept: impl IntoIterator<Item = (&'p Fleet, &'p Watched)>) {
        let mut before = std::mem::take(&mut self.running);
        for (fleet, watched) in kept {
            let service = fleet.service();
            if let Some(running) = before.get(service)
                && running.is_same_as(watched)
            {
                running.succeeded_by(watched);
                before.remove(service);
            }
            watched.around.fleet.store(Arc::new(fleet.clone()));
            self.running.insert(service.clone(), watched.clone());
        }
        before.values().for_each(Watched::retire);
    }
}

#[cfg(test)]
mod tests {
    use mesh_core::Outcome;
    use mesh_core::breaker::BreakerConfig;
    use mesh_lb::fleet::FleetPolicy;
    use mesh_telemetry::Telemetry;

    use super::*;

    struct Process {
        breakers: Breakers,
        fleet: Fleet,
        metrics: Arc<ServiceMetrics>,
        telemetry: Telemetry,
        versions: Vec<Version>,
    }

    impl Process {
        fn new() -> Self {
            let service: ServiceName = "orders".parse().expect("a name");
            let telemetry = Telemetry::new();
            Self {
                breakers: Breakers::default(),
                metrics: telemetry.service(&service),
                fleet: Fleet::new(service, FleetPolicy::default()),
                telemetry,
                versions: Vec::new(),
            }
        }

        /// Serves by a breaker that opens at so many failures; `None`: by none.
        fn configure(&mut self, failures: Option<u32>) -> Option<ServiceBreaker> {
            self.watched(failures).map(|watched| watched.breaker)
        }

        fn watched(&mut self, failures: Option<u32>) -> Option<Watched> {
            let watched = failures.map(|failures| {
                let mut config = BreakerConfig::default();
                config.consecutive_failures = Some(failures);
                let policy = config.try_into().expect("makes sense");
                let service = self.fleet.service();
                let events = EventBus::default();
                self.breakers.of(
                    service,
                    &self.versions,
                    policy,
                    &self.fleet,
                    &self.metrics,
                    &events,
                )
            });
            self.breakers
                .adopt(watched.iter().map(|watched| (&self.fleet, watched)));
            watched
        }

        fn shows(&self, open: u8) -> bool {
            let series = format!("service_mesh_circuit_breaker_open{{target_service=\"orders\"}} {open}\n");
            self.telemetry.render().contains(&series)
        }
    }

    fn fail(breaker: &ServiceBreaker) {
        let now = Instant::now();
        if let Ok(admitted) = breaker.admit(now) {
            admitted.settle(Outcome::Failure, now);
        }
    }

    #[test]
    fn a_service_that_rests_goes_on_resting_under_the_same_policy() {
        let mut process = Process::new();
        let breaker = process.configure(Some(1)).expect("one");
        assert!(process.shows(0));
        fail(&breaker);
        assert!(process.shows(1));
        let again = process.configure(Some(1)).expect("one");
        assert_eq!(again.state(), State::Open);
        assert!(process.shows(1));
    }

    #[test]
    fn under_another_policy_or_none_nothing_is_open() {
        for next in [Some(2), None] {
            let mut process = Process::new();
            let before = process.configure(Some(1)).expect("one");
            let late = before.admit(Instant::now()).expect("closed");
            fail(&before);
            assert!(process.shows(1));
            let after = process.configure(next);
            assert!(process.shows(0), "{next:?}");
            assert!(after.is_none_or(|after| after.state() == State::Closed));
            // What is still under way by the old configuration opens nothing any more.
            late.settle(Outcome::Failure, Instant::now());
            fail(&before);
            assert!(process.shows(0), "{next:?}");
        }
    }

    #[test]
    fn a_canary_that_fails_keeps_no_requests_from_the_stable_version() {
        let mut process = Process::new();
        let [v1, v2] = ["v1", "v2"].map(|text| text.parse::<Version>().expect("a version"));
        process.versions = vec![v2.clone()];
        let watched = process.watched(Some(1)).expect("breakers");
        fail(watched.of(Some(&v2)));
        let refused = watched.of(Some(&v2)).admit(Instant::now()).expect_err("open");
        assert!(
            refused
                .message()
                .starts_with("the circuit breaker of v2 of orders is open")
        );
        for version in [None, Some(&v1)] {
            assert_eq!(watched.of(version).state(), State::Closed);
        }
        assert!(process.shows(1) && watched.state() == State::Open);
        // The stable version's opens and closes beside it.
        fail(watched.of(None));
        watched.of(None).reset(Instant::now());
        assert!(process.shows(1));
        // It rests on, until it leaves.
        let again = process.watched(Some(1)).expect("breakers");
        assert_eq!(again.of(Some(&v2)).state(), State::Open);
        process.versions.clear();
        let without = process.watched(Some(1)).expect("breakers");
        assert_eq!(without.state(), State::Closed);
        assert!(process.shows(0));
    }
}
