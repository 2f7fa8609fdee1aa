//! Makes a breaker that tells its changes.

use std::fmt;

use mesh_core::breaker::State;
use mesh_core::{BreakerPolicy, EventBus, ServiceName, Version};
use tokio::time::Instant;

use super::service_breaker::ServiceBreaker;

pub(super) type OnChange = Box<dyn Fn(State) + Send + Sync>;
pub(super) type Excuse = Box<dyn Fn(Instant) -> bool + Send + Sync>;

/// What a [`ServiceBreaker`] is made of.
#[must_use = "nothing is made before `build`"]
pub struct ServiceBreakerBuilder {
    pub(super) service: ServiceName,
    pub(super) version: Option<Version>,
    pub(super) policy: BreakerPolicy,
    pub(super) events: Option<EventBus>,
    pub(super) on_change: Option<OnChange>,
    pub(super) excuse: Option<Excuse>,
}

impl ServiceBreakerBuilder {
    pub(super) fn new(service: ServiceName) -> Self {
        Self {
            service,
            version: None,
            policy: BreakerPolicy::default(),
            events: None,
            on_change: None,
            excuse: None,
        }
    }

    /// When it opens, and for how long. Default: [`BreakerPolicy::default`].
    pub fn policy(self, policy: BreakerPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Of this version alone, so that one that fails does not keep requests from the others. Default: of the service.
    ///
    /// ```
    /// use mesh_traffic::ServiceBreaker;
    /// use tokio::time::Instant;
    ///
    /// let now = Instant::now();
    /// let breaker = ServiceBreaker::builder("orders".parse()?).version("v2".parse()?).build(now);
    /// breaker.trip(now);
    /// let refused = breaker.admit(now).expect_err("open");
    /// assert!(refused.message().starts_with("the circuit breaker of v2 of orders is open"));
    /// # Ok::<(), mesh_core::name::NameError>(())
    /// ```
    pub fn version(self, version: Version) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }

    /// Tells changes to this bus.
    pub fn events(self, events: EventBus) -> Self {
        Self {
            events: Some(events),
            ..self
        }
    }

    /// Calls this after every change with the state the breaker is in: what a gauge shows. Calls come one after another,
    /// and the last one tells the truth. It is called by the request that brought the change about: it must neither wait
    /// nor change the breaker.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use mesh_core::breaker::State;
    /// use mesh_traffic::ServiceBreaker;
    /// use tokio::time::Instant;
    ///
    /// let (gauge, now) = (Arc::new(AtomicU64::new(0)), Instant::now());
    /// let shown = Arc::clone(&gauge);
    /// let breaker = ServiceBreaker::builder("orders".parse()?)
    ///     .on_change(move |state| shown.store(u64::from(state == State::Open), Ordering::Relaxed))
    ///     .build(now);
    /// breaker.trip(now);
    /// assert_eq!(gauge.load(Ordering::Relaxed), 1);
    /// breaker.reset(now);
    /// assert_eq!(gauge.load(Ordering::Relaxed), 0);
    /// # Ok::<(), mesh_core::name::NameError>(())
    /// ```
    pub fn on_change(self, tell: impl Fn(State) + Send + Sync + 'static) -> Self {
        Self {
            on_change: Some(Box::new(tell)),
            ..self
        }
    }

    /// Asked at each failure, with the time its request was admitted: whether something else has dealt with it already, so
    /// that it says nothing about the service. A trial that is excused was none: another takes its place.
    ///
    /// Of a service with many endpoints a single one that fails is no reason to leave all of them alone. Where the
    /// balancer ejects it, ask whether it has:
    ///
    /// ```
    /// # struct Fleet; impl Fleet { fn has_ejected_since(&self, _: Instant) -> bool { true } }
    /// # let fleet = Fleet; // `mesh_lb::Fleet`
    /// use mesh_core::Outcome;
    /// use mesh_core::breaker::State;
    /// use mesh_traffic::ServiceBreaker;
    /// use tokio::time::Instant;
    ///
    /// let now = Instant::now();
    /// let breaker = ServiceBreaker::builder("orders".parse()?)
    ///     .excuse(move |admitted| fleet.has_ejected_since(admitted))
    ///     .build(now);
    /// for _ in 0..100 {
    ///     breaker.admit(now).expect("closed").settle(Outcome::Failure, now);
    /// }
    /// assert_eq!(breaker.state(), State::Closed);
    /// # Ok::<(), mesh_core::name::NameError>(())
    /// ```
    pub fn excuse(self, is_excused: impl Fn(Instant) -> bool + Send + Sync + 'static) -> Self {
        Self {
            excuse: Some(Box::new(is_excused)),
            ..self
        }
    }

    /// The breaker, closed.
    pub fn build(self, now: Instant) -> ServiceBreaker {
        ServiceBreaker::built(self, now)
    }
}

impl fmt::Debug for ServiceBreakerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBreakerBuilder")
            .field("service", &self.service)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
