//! The endpoints of one service and what is known of each: discovered, asked, watched, compared.
//!
//! A [`Fleet`] is shared by the balancers of a service, one on each core for instance. It keeps for each
//! endpoint its load, its breaker and its health, and publishes a [`Roster`]: who takes requests now, with
//! which weight. Everything that decides takes the time as an argument; [`follow`](Fleet::follow) and
//! [`keep`](Fleet::keep) are the drivers that await.
//!
//! # When an endpoint gets no requests
//!
//! - **It is unhealthy**: health checks say so ([`report`](Fleet::report)). A new endpoint takes requests
//!   until a check says otherwise.
//! - **It is ejected**: real requests to it failed ([`OutlierConfig`](crate::outlier::OutlierConfig)). Its breaker is open; when that time is over, one
//!   real request is its trial. Success brings it back, failure ejects it again, for longer.
//!   A request that finds no other, since all were tried, refuse connections or rest, asks it before that time; if it
//!   answers then, it is back.
//! - **It is not ready**, as discovery says. Endpoints that are terminating are the last resort.
//!
//! If too few are left ([`FleetPolicy::panic_threshold`]), all take requests again: that is told by an event.

mod chooser;
mod driver;
mod health;
mod judge;
mod member;
mod policy;
mod roster;
mod status;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mesh_core::breaker::BreakerPolicy;
use mesh_core::event::{EventBus, MeshEvent};
use mesh_core::{EndpointId, EndpointSet, Live, Publisher, ServiceName, live};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use chooser::{Chooser, Chosen, Link, NotChosen, Unjudged};
pub use policy::{FleetPolicy, SubsetPolicy};
pub(crate) use roster::Group;
pub use roster::Roster;
pub use status::{EndpointState, EndpointStatus};

use crate::discovery::{DiscoveryStatus, Follower, Refresh};
use crate::endpoint::ServiceLimits;
use crate::health::NewEndpoints;
use crate::load::EndpointLoad;
use member::Member;

/// The endpoints of one service, shared by its balancers. Clones share it.
///
/// ```
/// use mesh_core::{Endpoint, EndpointSet};
/// use mesh_lb::fleet::{EndpointState, Fleet, FleetPolicy};
/// use tokio::time::Instant;
///
/// let now = Instant::now();
/// let fleet = Fleet::new("orders".parse()?, FleetPolicy::default());
/// let endpoint = Endpoint::new("10.0.0.7:3001".parse()?);
/// fleet.update(EndpointSet::new([endpoint.clone(), Endpoint::new("10.0.0.8:3001".parse()?)]), now);
/// fleet.report(endpoint.id(), Err("it answers 503".into()), now);
/// fleet.tick(now);
///
/// let states: Vec<_> = fleet.status(now).into_iter().map(|e| e.state).collect();
/// assert_eq!(states, [EndpointState::Unhealthy, EndpointState::Healthy]);
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    service: ServiceName,
    policy: FleetPolicy,
    /// For each endpoint; none if they are never ejected.
    breaker: Option<BreakerPolicy>,
    limits: Arc<ServiceLimits>,
    events: Option<EventBus>,
    state: Mutex<State>,
    roster: Publisher<Roster>,
    endpoints: Publisher<EndpointSet>,
    refresh: Refresh,
    /// The roster has to be composed anew.
    stale: Notify,
    /// When an endpoint was last ejected.
    ejected: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    set: EndpointSet,
    discovery: Option<Follower>,
    members: HashMap<EndpointId, Arc<Member>>,
    /// What endpoints still carry that are not in the set: they left, or the fleet this one succeeds knew them.
    inherited: HashMap<EndpointId, Arc<EndpointLoad>>,
    is_stale: bool,
    compared: Option<Instant>,
}

impl Fleet {
    /// A service without endpoints, until it is told of some.
    ///
    /// An [`ejection`](FleetPolicy::ejection) that makes no sense ejects nobody, and a warning says why: whoever
    /// reads one from a configuration asks [`OutlierConfig::breaker`](crate::outlier::OutlierConfig::breaker) first.
    pub fn new(service: ServiceName, policy: FleetPolicy) -> Self {
        let limits = ServiceLimits::new(policy.limits);
        Self::build(service, policy, limits, None, HashMap::new(), Refresh::default())
    }

    /// With somebody to tell of changes.
    #[must_use]
    pub fn with_events(self, events: EventBus) -> Self {
        let state = std::mem::take(&mut *self.0.state.lock());
        Self::build(
            self.0.service.clone(),
            self.0.policy.clone(),
            Arc::clone(&self.0.limits),
            Some(events),
            state.inherited,
            self.0.refresh.clone(),
        )
    }

    /// The same service under another policy: what its endpoints carry is kept, what was held against them is
    /// forgotten. Under the same limits, what is in use of them stays in use; under others, what is under way now
    /// does not count.
    #[must_use]
    pub fn succeeded_by(&self, policy: FleetPolicy) -> Self {
        let state = self.0.state.lock();
        let mut loads = state.inherited.clone();
        loads.extend(
            state
                .members
                .iter()
                .map(|(id, m)| (id.clone(), Arc::clone(m.load()))),
        );
        let limits = match policy.limits == *self.0.limits.limits() {
            true => Arc::clone(&self.0.limits),
            false => ServiceLimits::new(policy.limits),
        };
        let (service, events) = (self.0.service.clone(), self.0.events.clone());
        Self::build(service, policy, limits, events, loads, self.0.refresh.clone())
    }

    fn build(
        service: ServiceName,
        policy: FleetPolicy,
        limits: Arc<ServiceLimits>,
        events: Option<EventBus>,
        inherited: HashMap<EndpointId, Arc<EndpointLoad>>,
        refresh: Refresh,
    ) -> Self {
        let breaker = policy.ejection.map(|ejection| ejection.breaker()).transpose();
        let breaker = breaker.unwrap_or_else(|error| {
            tracing::warn!(%service, %error, "no endpoint will be ejected: this makes no sense in its OutlierConfig");
            None
        });
        let state = State {
            inherited,
            ..State::default()
        };
        Self(Arc::new(Inner {
            service,
            policy,
            breaker,
            limits,
            events,
            state: Mutex::new(state),
            roster: live(Roster::default()).0,
            endpoints: live(EndpointSet::default()).0,
            refresh,
            stale: Notify::new(),
            ejected: Mutex::default(),
        }))
    }

    /// The service.
    pub fn service(&self) -> &ServiceName {
        &self.0.service
    }

    /// What it goes by.
    pub fn policy(&self) -> &FleetPolicy {
        &self.0.policy
    }

    /// Whether both are one fleet.
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Its endpoints, as it was told last.
    pub fn endpoints(&self) -> EndpointSet {
        self.0.state.lock().set.clone()
    }

    /// Asked after every connection that could not be made: give it to a discovery that can look again.
    pub fn refresh(&self) -> &Refresh {
        &self.0.refresh
    }

    /// Who takes requests, and every change of that.
    pub fn roster(&self) -> Live<Roster> {
        self.0.roster.subscribe()
    }

    pub(crate) fn limits(&self) -> &Arc<ServiceLimits> {
        &self.0.limits
    }

    /// What this endpoint carries now, if it is known.
    pub fn load(&self, endpoint: &EndpointId) -> Option<Arc<EndpointLoad>> {
        let state = self.0.state.lock();
        state.members.get(endpoint).map(|m| Arc::clone(m.load()))
    }

    /// What discovery knows of the service; nothing if its endpoints are written down.
    pub fn discovery(&self) -> Option<Arc<DiscoveryStatus>> {
        self.0.state.lock().discovery.as_ref().map(Follower::status)
    }

    /// How many requests this endpoint is answering now; 0 if it is not known.
    pub fn in_flight(&self, endpoint: &EndpointId) -> u32 {
        self.load(endpoint).map_or(0, |load| load.in_flight())
    }

    /// Whether an endpoint was ejected then or later, or failed its trial. What failed of the requests that were under
    /// way is likely to be its doing, and has been answered by its ejection: whoever judges the service as a whole need
    /// not hold it against the others.
    ///
    /// ```
    /// use mesh_core::{Endpoint, EndpointSet};
    /// use mesh_lb::fleet::{Fleet, FleetPolicy};
    /// use tokio::time::Instant;
    ///
    /// let now = Instant::now();
    /// let fleet = Fleet::new("orders".parse()?, FleetPolicy::default());
    /// fleet.update(EndpointSet::new([Endpoint::new("10.0.0.7:3001".parse()?)]), now);
    /// assert!(!fleet.has_ejected_since(now), "nobody has failed yet");
    /// # Ok::<(), mesh_core::BoxError>(())
    /// ```
    pub fn has_ejected_since(&self, then: Instant) -> bool {
        self.0.ejected.lock().is_some_and(|ejected| ejected >= then)
    }

    /// When a request to this endpoint last succeeded, to a tenth of a second.
    pub fn last_success(&self, endpoint: &EndpointId) -> Option<Instant> {
        self.0.state.lock().members.get(endpoint)?.last_success()
    }

    /// The endpoints are these from now on. What is known of those that stay is kept.
    pub fn update(&self, set: EndpointSet, now: Instant) {
        let state = &mut *self.0.state.lock();
        if state.set == set && !set.endpoints.is_empty() {
            return;
        }
        let breaker = self.0.breaker;
        let mut members = HashMap::with_capacity(set.endpoints.len());
        for endpoint in &set.endpoints {
            let id = endpoint.id();
            let member = state.members.remove(id).unwrap_or_else(|| {
                let load = state.inherited.remove(id);
                let load = load.unwrap_or_else(|| Arc::new(EndpointLoad::new(now)));
                let member = Member::new(id.clone(), load, breaker, now);
                if self.0.policy.new_endpoints == NewEndpoints::Unhealthy {
                    member.set_unhealthy("it was not asked yet".into(), now);
                }
                member
            });
            if endpoint.readiness == mesh_core::endpoint::Readiness::Ready && member.rising_since().is_none()
            {
                member.begin(now);
            }
            members.insert(id.clone(), member);
        }
        // Who left may come back while it still answers.
        state.inherited.retain(|_, load| load.in_flight() > 0);
        for (id, member) in std::mem::replace(&mut state.members, members) {
            if member.load().in_flight() > 0 {
                state.inherited.insert(id, Arc::clone(member.load()));
            }
        }
        self.0.endpoints.publish(set.clone());
        state.set = set;
        self.compose(state, now);
    }

    /// Lets the time do its part: compares endpoints with each other, moves those that start slowly on,
    /// composes the roster if anything changed. When to call it next, if nothing happens before.
    pub fn tick(&self, now: Instant) -> Option<Instant> {
        let mut comparison_due = None;
        if let Some(ejection) = &self.0.policy.ejection
            && ejection.success_rate.is_some()
            && self.0.breaker.is_some()
        {
            comparison_due = Some(self.compare_if_due(ejection, now));
        }
        let mut state = self.0.state.lock();
        let next = self.0.roster.current().next;
        if state.is_stale || next.is_some_and(|next| next <= now) {
            self.compose(&mut state, now);
        }
        [comparison_due, self.0.roster.current().next]
            .into_iter()
            .flatten()
            .min()
    }

    fn make_stale(&self, state: &mut State) {
        state.is_stale = true;
        self.0.stale.notify_one();
    }

    fn compose(&self, state: &mut State, now: Instant) {
        state.is_stale = false;
        let before = self.0.roster.current();
        let mut roster = self.composed(state, now);
        if self.take_back_early(&roster, now) {
            roster = self.composed(state, now);
        }
        for group in &roster.groups {
            let was = before
                .groups
                .iter()
                .find(|g| g.version == group.version)
                .is_some_and(|g| g.panic);
            if was != group.panic {
                let (service, healthy, total) = (self.0.service.clone(), group.available, group.total);
                self.emit(|| match group.panic {
                    true => MeshEvent::PanicEntered {
                        service,
                        healthy,
                        total,
                    },
                    false => MeshEvent::PanicLeft {
                        service,
                        healthy,
                        total,
                    },
                });
            }
        }
        self.0.roster.publish(roster);
    }

    fn composed(&self, state: &State, now: Instant) -> Roster {
        Roster::compose(&state.set, &self.0.policy, now, |endpoint| {
            state.members.get(endpoint.id()).map_or_else(
                // Every endpoint of the set has a member; without one it would be a stranger, which is well.
                || Member::new(endpoint.id().clone(), Arc::new(EndpointLoad::new(now)), None, now),
                Arc::clone,
            )
        })
    }

    fn emit(&self, event: impl FnOnce() -> MeshEvent) {
        if let Some(events) = &self.0.events {
            events.emit(event());
        }
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("service", &self.0.service)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
