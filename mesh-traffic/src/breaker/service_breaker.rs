//! A breaker with the name of its service, that tells its changes and its reasons.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::breaker::{Cause, Permit, Refused, State, Transition};
use mesh_core::{
    Breaker, BreakerPolicy, Error, ErrorKind, EventBus, Live, MeshEvent, Outcome, Publisher, ServiceName,
    Version, duration, live,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::admitted::Admitted;
use super::builder::{Excuse, OnChange, ServiceBreakerBuilder};

/// The circuit breaker of one service. Clones are one breaker: every core counts into it, and it opens for all.
///
/// Every change goes to its [`EventBus`](ServiceBreakerBuilder::events) as [`MeshEvent::BreakerChanged`], and the state
/// it left behind to a [function](ServiceBreakerBuilder::on_change).
///
/// ```
/// use mesh_core::{ErrorKind, Outcome};
/// use mesh_traffic::ServiceBreaker;
/// use tokio::time::Instant;
///
/// let start = Instant::now();
/// let breaker = ServiceBreaker::new("orders".parse()?, Default::default(), start);
/// for _ in 0..5 {
///     let admitted = breaker.admit(start).expect("closed");
///     admitted.settle(Outcome::Failure, start);
/// }
/// let refused = breaker.admit(start).expect_err("open");
/// assert_eq!(refused.kind(), ErrorKind::CircuitOpen);
/// assert_eq!(
///     refused.message(),
///     "the circuit breaker of orders is open, since 0s, after 5 consecutive failures; it tries again in 30s"
/// );
/// # Ok::<(), mesh_core::name::NameError>(())
/// ```
#[derive(Clone)]
pub struct ServiceBreaker(Arc<Inner>);

struct Inner {
    service: ServiceName,
    version: Option<Version>,
    breaker: Breaker,
    events: Option<EventBus>,
    on_change: Option<OnChange>,
    excuse: Option<Excuse>,
    opened: Live<Option<Opened>>,
    /// Held while a change is told, so that what is told last is true.
    teller: Mutex<Publisher<Option<Opened>>>,
}

/// When and why a breaker opened.
#[derive(Clone, Copy, Debug)]
struct Opened {
    at: Instant,
    cause: Cause,
}

impl ServiceBreaker {
    /// A closed breaker of this service, that tells nobody. [`builder`](Self::builder) makes one that does.
    pub fn new(service: ServiceName, policy: BreakerPolicy, now: Instant) -> Self {
        Self::builder(service).policy(policy).build(now)
    }

    /// A breaker with listeners.
    pub fn builder(service: ServiceName) -> ServiceBreakerBuilder {
        ServiceBreakerBuilder::new(service)
    }

    pub(super) fn built(from: ServiceBreakerBuilder, now: Instant) -> Self {
        let ServiceBreakerBuilder {
            service,
            version,
            policy,
            events,
            on_change,
            excuse,
        } = from;
        let (publisher, opened) = live(None);
        Self(Arc::new(Inner {
            service,
            version,
            breaker: Breaker::new(policy, now),
            events,
            on_change,
            excuse,
            opened,
            teller: Mutex::new(publisher),
        }))
    }

    /// Whose breaker it is.
    pub fn service(&self) -> &ServiceName {
        &self.0.service
    }

    /// And of which of its versions alone.
    pub fn version(&self) -> Option<&Version> {
        self.0.version.as_ref()
    }

    /// Its state. One that has been open long enough is open until a request tries.
    pub fn state(&self) -> State {
        self.0.breaker.state()
    }

    /// Its settings.
    pub fn policy(&self) -> &BreakerPolicy {
        self.0.breaker.policy()
    }

    /// Leave for one request.
    ///
    /// # Errors
    /// `circuit_open`: it is open, or half-open with all its trials under way. The message says whose breaker it is,
    /// since when and why it is open, and when it tries again.
    pub fn admit(&self, now: Instant) -> Result<Admitted, Error> {
        match self.0.breaker.admit(now) {
            Ok(admission) => {
                if let Some(transition) = admission.transition {
                    self.tell(transition, now);
                }
                Ok(Admitted::new(self.clone(), admission.permit, now))
            }
            Err(refused) => Err(self.refusal(refused, now)),
        }
    }

    /// Opens it from outside, as when an operator wants the service left alone.
    pub fn trip(&self, now: Instant) {
        if let Some(transition) = self.0.breaker.trip(now) {
            self.tell(transition, now);
        }
    }

    /// Closes it from outside. Former openings are forgotten.
    pub fn reset(&self, now: Instant) {
        if let Some(transition) = self.0.breaker.reset(now) {
            self.tell(transition, now);
        }
    }

    /// Tells how a request ended that was admitted `then`.
    pub(super) fn record(&self, permit: Permit, then: Instant, outcome: Outcome, now: Instant) {
        if outcome.counts_against_endpoint() && self.0.excuse.as_ref().is_some_and(|excuse| excuse(then)) {
            return;
        }
        if let Some(transition) = self.0.breaker.record(permit, outcome, now) {
            self.tell(transition, now);
        }
    }

    fn tell(&self, transition: Transition, now: Instant) {
        let inner = &self.0;
        let teller = inner.teller.lock();
        let before = **inner.opened.load();
        // Two threads may tell two changes in the other order: the later opening stays.
        if transition.to == State::Open && before.is_none_or(|before| before.at <= now) {
            teller.publish(Some(Opened {
                at: now,
                cause: transition.cause,
            }));
        }
        if let Some(events) = &inner.events {
            events.emit(MeshEvent::BreakerChanged {
                service: inner.service.clone(),
                version: inner.version.clone(),
                transition,
            });
        }
        if let Some(on_change) = &inner.on_change {
            // Not `transition.to`: the state may have changed again, and its teller may have been here first.
            on_change(inner.breaker.state());
        }
    }

    fn refusal(&self, refused: Refused, now: Instant) -> Error {
        let service = &self.0.service;
        let whose = match &self.0.version {
            Some(version) => format!("{version} of {service}"),
            None => service.to_string(),
        };
        let opened = **self.0.opened.load();
        // Not there if the thread that opened it has not told so yet.
        let why = opened.map_or(Cow::Borrowed(""), |Opened { at, cause }| {
            let since = rounded(now.saturating_duration_since(at));
            Cow::Owned(format!(", since {}, after {cause}", duration::display(since)))
        });
        let message = match refused.state {
            State::HalfOpen => {
                let trials = self.policy().config().half_open_requests;
                format!(
                    "the circuit breaker of {whose} tries whether it is well again; it opened{}, and all {trials} trials \
                     are under way; others follow within {}",
                    why.trim_start_matches(','),
                    duration::display(rounded(refused.retry_after))
                )
            }
            _ => format!(
                "the circuit breaker of {whose} is open{why}; it tries again in {}",
                duration::display(rounded(refused.retry_after))
            ),
        };
        Error::new(ErrorKind::CircuitOpen, message).with_retry_after(refused.retry_after)
    }
}

/// Whole milliseconds, rounded up: who comes back then is not early.
fn rounded(time: Duration) -> Duration {
    let millis = time.as_micros().div_ceil(1000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

impl fmt::Debug for ServiceBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBreaker")
            .field("service", &self.0.service)
            .field("breaker", &self.0.breaker)
            .finish_non_exhaustive()
    }
}
