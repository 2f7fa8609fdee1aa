//! The circuit breakers in use: kept from one configuration to the next, so that a service that rests goes on resting.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use mesh_core::breaker::State;
use mesh_core::{BreakerPolicy, EventBus, ServiceName};
use mesh_lb::Fleet;
use mesh_telemetry::metrics::ServiceMetrics;
use mesh_traffic::ServiceBreaker;
use tokio::time::Instant;

/// All breakers of this process, one a service.
#[derive(Default)]
pub struct Breakers {
    running: HashMap<ServiceName, Watched>,
}

/// The breaker of a service, which all workers share.
#[derive(Clone)]
pub struct Watched {
    breaker: ServiceBreaker,
    around: Arc<Around>,
}

/// What a breaker's listeners look at: it outlives configurations, and they change.
struct Around {
    /// The fleet that ejects the service's endpoints.
    fleet: ArcSwap<Fleet>,
    /// Another has taken its place, or none: what still ends under it is not news.
    retired: AtomicBool,
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
        });
        let (shown, excusing) = (Arc::clone(metrics), Arc::clone(&around));
        let breaker = ServiceBreaker::builder(service.clone())
            .policy(policy)
            .events(events.clone())
            .on_change(move |state| shown.set_breaker_open(state == State::Open))
            .excuse(move |admitted| excusing.excuses(admitted))
            .build(Instant::now());
        Self { breaker, around }
    }

    /// The breaker.
    pub fn breaker(&self) -> &ServiceBreaker {
        &self.breaker
    }

    fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.around, &other.around)
    }

    /// It is asked no more: requests that are under way end without a word, and nobody is shown a breaker that is open
    /// and lets everything pass.
    fn retire(&self) {
        self.around.retired.store(true, Ordering::Release);
        self.breaker.reset(Instant::now());
    }
}

impl Around {
    /// One endpoint of many is the fleet's affair: when it ejects one, it has answered to what failed there, and the
    /// others go on.
    fn excuses(&self, admitted: Instant) -> bool {
        self.retired.load(Ordering::Acquire) || self.fleet.load().has_ejected_since(admitted)
    }
}

impl Breakers {
    /// The breaker of a service under this policy: the one in use if that is its policy already. Nothing changes for it
    /// before [`adopt`](Self::adopt).
    pub fn of(
        &self,
        service: &ServiceName,
        policy: BreakerPolicy,
        fleet: &Fleet,
        metrics: &Arc<ServiceMetrics>,
        events: &EventBus,
    ) -> Watched {
        match self.running.get(service) {
            Some(running) if *running.breaker.policy() == policy => running.clone(),
            _ => Watched::new(service, policy, fleet, metrics, events),
        }
    }

    /// Keeps these breakers and no others. Each looks at this fleet from now on.
    pub fn adopt<'p>(&mut self, kept: impl IntoIterator<Item = (&'p Fleet, &'p Watched)>) {
        let mut before = std::mem::take(&mut self.running);
        for (fleet, watched) in kept {
            let service = fleet.service();
            if before
                .get(service)
                .is_some_and(|running| running.is_same_as(watched))
            {
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
            }
        }

        /// Serves by a breaker that opens at so many failures; `None`: by none.
        fn configure(&mut self, failures: Option<u32>) -> Option<ServiceBreaker> {
            let watched = failures.map(|failures| {
                let mut config = BreakerConfig::default();
                config.consecutive_failures = Some(failures);
                let policy = config.try_into().expect("makes sense");
                let service = self.fleet.service();
                let events = EventBus::default();
                self.breakers
                    .of(service, policy, &self.fleet, &self.metrics, &events)
            });
            self.breakers
                .adopt(watched.iter().map(|watched| (&self.fleet, watched)));
            watched.map(|watched| watched.breaker)
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
}
