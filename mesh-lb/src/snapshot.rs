//! A roster, its pickers and its pools in one immutable value: a request sees all or none of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_core::breaker::Permit;
use mesh_core::{EndpointId, Version};
use tokio::time::Instant;

use crate::balancer::{LoadBalancer, PickContext, Picker, SlotView};
use crate::endpoint::EndpointPool;
use crate::fleet::{Group, Roster, Seat};
use crate::load::InFlight;
use crate::locality::spills;

/// One state of a fleet, ready to pick from.
#[derive(Default)]
pub(crate) struct Snapshot {
    roster: Arc<Roster>,
    /// Of each group of the roster.
    subsets: Vec<Subset>,
}

/// The endpoints of one version: their pickers, and the connections of this balancer to them.
struct Subset {
    pools: Vec<Arc<EndpointPool>>,
    picker: Arc<dyn Picker>,
    /// For who is loaded more than those elsewhere are.
    elsewhere: Option<Arc<dyn Picker>>,
    trials: Trials,
    /// How many requests an endpoint carries at most.
    room: u32,
}

/// What was picked.
pub(crate) struct Picked<'a> {
    pub(crate) seat: &'a Seat,
    pub(crate) pool: &'a Arc<EndpointPool>,
    /// Leave of the endpoint's breaker; none in a panic, or if endpoints have no breaker.
    pub(crate) permit: Option<Permit>,
    pub(crate) in_flight: InFlight,
}

/// Why nothing was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotPicked {
    /// No endpoint takes requests.
    Nobody,
    /// Those that do are full.
    Full,
}

impl Snapshot {
    pub(crate) fn build(
        roster: Arc<Roster>,
        balancer: &dyn LoadBalancer,
        zone: Option<&str>,
        origin: Instant,
        room: u32,
        mut pool: impl FnMut(&Seat) -> Arc<EndpointPool>,
    ) -> Self {
        let subsets = roster.groups.iter().map(|group| {
            let views: Vec<SlotView> = group.seats.iter().map(view).collect();
            let elsewhere = zone.and_then(|zone| picker_elsewhere(zone, group, balancer));
            Subset {
                pools: group.seats.iter().map(&mut pool).collect(),
                picker: balancer.picker(&views),
                elsewhere,
                trials: Trials::of(group, origin),
                room,
            }
        });
        Self {
            subsets: subsets.collect(),
            roster,
        }
    }

    /// The endpoints of this version; without one, the stable ones.
    pub(crate) fn group(&self, version: Option<&Version>) -> Option<&Group> {
        self.roster.groups.get(self.roster.at(version)?)
    }

    /// An endpoint of this version for a request that was tried at `tried` already.
    pub(crate) fn pick(
        &self,
        version: Option<&Version>,
        cx: PickContext<'_>,
        tried: &[EndpointId],
    ) -> Result<Picked<'_>, NotPicked> {
        let at = self.roster.at(version).ok_or(NotPicked::Nobody)?;
        let group = self.roster.groups.get(at).ok_or(NotPicked::Nobody)?;
        let subset = self.subsets.get(at).ok_or(NotPicked::Nobody)?;
        let (mut avoid, mut avoided) = ([0_usize; MAX_AVOIDED], 0);
        for id in tried {
            if let Some(at) = group.seats.iter().position(|seat| seat.endpoint.id() == id)
                && let Some(place) = avoid.get_mut(avoided)
            {
                *place = at;
                avoided += 1;
            }
        }
        if let Some(picked) = subset.trial(group, &cx, &avoid[..avoided]) {
            return Ok(picked);
        }
        let mut random = cx.random;
        loop {
            let cx = PickContext { random, ..cx }.avoiding(&avoid[..avoided]);
            let at = subset.choose(group, &cx).ok_or(NotPicked::Nobody)?;
            let rests = subset.pools.get(at).is_some_and(|pool| pool.recovers(cx.now));
            match subset.admitted(group, at, cx.now).filter(|_| !rests) {
                Some(picked) => return Ok(picked),
                // It was ejected, filled up or refused a connection a moment ago.
                None if avoided < MAX_AVOIDED && !cx.was_tried(at) => {
                    avoid[avoided] = at;
                    avoided += 1;
                    random = random.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                }
                None => return subset.any(group, random, cx.now),
            }
        }
    }

    /// Whether nothing was ever known.
    pub(crate) fn is_empty(&self) -> bool {
        self.subsets.is_empty()
    }

    /// Every pool, each once.
    pub(crate) fn pools(&self) -> HashMap<EndpointId, Arc<EndpointPool>> {
        let seats = self
            .roster
            .groups
            .iter()
            .zip(&self.subsets)
            .flat_map(|(group, subset)| group.seats.iter().zip(&subset.pools));
        seats
            .map(|(seat, pool)| (seat.endpoint.id().clone(), Arc::clone(pool)))
            .collect()
    }
}

/// How many endpoints one pick avoids at most; after that it looks at one after the other.
const MAX_AVOIDED: usize = 8;

/// Picks among those of other zones, by the weights they have for everybody. Nothing if there are none, or if
/// zones make no difference.
fn picker_elsewhere(zone: &str, group: &Group, balancer: &dyn LoadBalancer) -> Option<Arc<dyn Picker>> {
    let is_near = |seat: &Seat| seat.endpoint.zone.as_deref() == Some(zone);
    let using = || group.seats.iter().filter(|seat| seat.whole > 0);
    if !using().any(is_near) || using().all(is_near) {
        return None;
    }
    let views = group.seats.iter().map(|seat| {
        let weight = if is_near(seat) { 0 } else { seat.whole };
        view(seat).with_weight(weight)
    });
    Some(balancer.picker(&views.collect::<Vec<_>>()))
}

fn view(seat: &Seat) -> SlotView {
    let (endpoint, load) = (Arc::clone(&seat.endpoint), Arc::clone(seat.member.load()));
    SlotView::new(endpoint, load).with_weight(seat.weight)
}

impl Subset {
    /// By the picker; of a near and a far endpoint the far one, if the near one is loaded so much more.
    fn choose(&self, group: &Group, cx: &PickContext<'_>) -> Option<usize> {
        let near = self.picker.pick(cx)?;
        let Some(elsewhere) = &self.elsewhere else {
            return Some(near);
        };
        let load = |at: usize| {
            group
                .seats
                .get(at)
                .map_or(0, |seat| seat.member.load().in_flight())
        };
        if !spills(load(near), 0) {
            return Some(near);
        }
        let far = elsewhere.pick(cx).filter(|far| !cx.was_tried(*far));
        Some(far.filter(|far| spills(load(near), load(*far))).unwrap_or(near))
    }

    /// The endpoint, unless it does not take this request.
    fn admitted<'a>(&'a self, group: &'a Group, at: usize, now: Instant) -> Option<Picked<'a>> {
        let (seat, pool) = (group.seats.get(at)?, self.pools.get(at)?);
        if !group.panic && !seat.member.takes_requests() {
            return None;
        }
        let in_flight = seat.member.load().begin_within(self.room)?;
        let permit = match seat.member.breaker() {
            Some(breaker) if !group.panic => Some(breaker.admit(now).ok()?.permit),
            _ => None,
        };
        Some(Picked {
            seat,
            pool,
            permit,
            in_flight,
        })
    }

    /// The first that takes the request, from a random one on.
    fn any<'a>(&'a self, group: &'a Group, random: u64, now: Instant) -> Result<Picked<'a>, NotPicked> {
        let n = group.seats.len();
        let start = usize::try_from(random >> 32).unwrap_or(0) % n.max(1);
        let around = || (0..n).map(|i| (start + i) % n);
        let near = around().filter(|at| group.seats[*at].weight > 0);
        let rest = around().filter(|at| group.seats[*at].weight == 0 && group.seats[*at].whole > 0);
        let mut why = NotPicked::Nobody;
        for at in near.chain(rest) {
            if let Some(picked) = self.admitted(group, at, now) {
                return Ok(picked);
            }
            let seat = &group.seats[at];
            if (group.panic || seat.member.takes_requests()) && seat.member.load().in_flight() >= self.room {
                why = NotPicked::Full;
            }
        }
        Err(why)
    }

    /// An ejected endpoint whose time is over, if this request may be its trial.
    fn trial<'a>(&'a self, group: &'a Group, cx: &PickContext<'_>, tried: &[usize]) -> Option<Picked<'a>> {
        if group.panic || !self.trials.are_due(cx.now) {
            return None;
        }
        let mut next = None;
        let mut found = None;
        for at in self.trials.seats.iter().copied() {
            let (seat, pool) = (group.seats.get(at)?, self.pools.get(at)?);
            let Some(breaker) = seat.member.breaker().filter(|_| seat.member.is_ejected()) else {
                continue;
            };
            if found.is_none() && !tried.contains(&at) && !seat.member.is_unhealthy() {
                match breaker.admit(cx.now) {
                    Ok(admission) => {
                        found = Some(Picked {
                            seat,
                            pool,
                            permit: Some(admission.permit),
                            in_flight: seat.member.load().begin(),
                        });
                        continue;
                    }
                    Err(refused) => {
                        let due = cx.now + refused.retry_after;
                        next = Some(next.map_or(due, |next: Instant| next.min(due)));
                        continue;
                    }
                }
            }
            let due = breaker.due().unwrap_or(cx.now).max(cx.now);
            next = Some(next.map_or(due, |next: Instant| next.min(due)));
        }
        self.trials.next_at(next);
        found
    }
}

/// When the next of the ejected endpoints may be tried.
struct Trials {
    origin: Instant,
    seats: Box<[usize]>,
    /// In nanoseconds since `origin`.
    due: AtomicU64,
}

impl Trials {
    fn of(group: &Group, origin: Instant) -> Self {
        let ejected =
            |at: &usize| group.seats[*at].member.is_ejected() && group.seats[*at].endpoint.weight > 0;
        let seats: Box<[usize]> = (0..group.seats.len()).filter(ejected).collect();
        let trials = Self {
            origin,
            due: AtomicU64::new(u64::MAX),
            seats,
        };
        let due = |at: &usize| group.seats[*at].member.breaker().and_then(|b| b.due());
        let first = trials.seats.iter().filter_map(due).min();
        if !trials.seats.is_empty() {
            trials.next_at(Some(first.unwrap_or(origin)));
        }
        trials
    }

    fn are_due(&self, now: Instant) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        due != u64::MAX && nanos(self.origin, now) >= due
    }

    fn next_at(&self, due: Option<Instant>) {
        let due = due.map_or(u64::MAX, |due| nanos(self.origin, due));
        self.due.store(due, Ordering::Relaxed);
    }
}

fn nanos(origin: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(origin).as_nanos()).unwrap_or(u64::MAX - 1)
}
