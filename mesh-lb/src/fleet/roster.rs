//! Who takes requests at a moment, and with which weight: composed at publish time, read by every pick.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::endpoint::Readiness;
use mesh_core::{Endpoint, EndpointSet, Version};
use tokio::time::Instant;

use super::member::Member;
use super::policy::FleetPolicy;
use crate::panic::is_panic;
use crate::slow_start::SlowStart;
use crate::subset;

/// Who takes requests at a moment. Never changed, replaced whole.
#[derive(Debug, Default)]
pub struct Roster {
    /// The first is the stable one.
    pub(crate) groups: Vec<Group>,
    stable: Option<Version>,
    /// When weights change next by themselves.
    pub(super) next: Option<Instant>,
}

/// The endpoints of one version.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) version: Option<Version>,
    pub(crate) seats: Vec<Seat>,
    /// So few take requests that all do.
    pub(crate) panic: bool,
    /// How many take requests.
    pub(crate) available: usize,
    /// How many there are that would, if they were well.
    pub(crate) total: usize,
}

/// An endpoint of a group.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) member: Arc<Member>,
    /// 0: it takes no requests now.
    pub(crate) weight: u32,
}

impl Roster {
    /// Whether so few endpoints of any version are well that all of them take requests.
    pub fn is_panic(&self) -> bool {
        self.groups.iter().any(|group| group.panic)
    }

    /// The endpoints of this version; without one, the stable ones.
    pub(crate) fn at(&self, version: Option<&Version>) -> Option<usize> {
        match version {
            None => (!self.groups.is_empty()).then_some(0),
            Some(_) if version == self.stable.as_ref() => self.at(None),
            Some(_) => self.groups.iter().position(|g| g.version.as_ref() == version),
        }
    }

    /// Composes the groups of a set: the stable version first, then each version by itself.
    ///
    /// Stable are the endpoints of the stable version, those without a version, and, if no stable version is
    /// named, all.
    pub(super) fn compose(
        set: &EndpointSet,
        policy: &FleetPolicy,
        now: Instant,
        member: impl Fn(&Endpoint) -> Arc<Member>,
    ) -> Self {
        let stable = policy.stable.as_ref();
        let mut versions: Vec<Option<&Version>> = vec![None];
        for version in set.endpoints.iter().filter_map(|e| e.version.as_ref()) {
            if !versions.contains(&Some(version)) && stable != Some(version) {
                versions.push(Some(version));
            }
        }
        let is_of = |e: &Endpoint, version: Option<&Version>| match version {
            None => e.version.is_none() || stable.is_none() || e.version.as_ref() == stable,
            Some(_) => e.version.as_ref() == version,
        };
        let mut next: Option<Instant> = None;
        let groups = versions.into_iter().map(|version| {
            let of_version = || set.endpoints.iter().filter(|e| is_of(e, version));
            let of = |readiness| {
                of_version()
                    .filter(|e| e.readiness == readiness)
                    .collect::<Vec<_>>()
            };
            let ready = of(Readiness::Ready);
            let usable = match ready.is_empty() {
                false => ready,
                true => of(Readiness::Terminating),
            };
            let seats = usable.into_iter().map(|endpoint| Seat {
                endpoint: Arc::clone(endpoint),
                member: member(endpoint),
                weight: endpoint.weight,
            });
            let mut group = Group::new(version.cloned(), seats.collect(), policy);
            if let Some(window) = policy.slow_start
                && let Some(step) = group.start_slowly(window, now)
            {
                next = Some(next.map_or(step, |next: Instant| next.min(step)));
            }
            group
        });
        Self {
            groups: groups.collect(),
            stable: stable.cloned(),
            next,
        }
    }
}

impl Group {
    /// Leaves out who is not well, unless too few would be left, and who is not of this process's subset.
    fn new(version: Option<Version>, mut seats: Vec<Seat>, policy: &FleetPolicy) -> Self {
        let takes = |seat: &Seat| seat.weight > 0 && seat.member.takes_requests();
        let total = seats.iter().filter(|seat| seat.weight > 0).count();
        let available = seats.iter().filter(|seat| takes(seat)).count();
        let panic = is_panic(available, total, policy.panic_threshold);
        if !panic {
            for seat in &mut seats {
                if !takes(seat) {
                    seat.weight = 0;
                }
            }
        }
        if let Some(subset) = &policy.subset {
            let candidates: Vec<usize> = (0..seats.len()).filter(|at| seats[*at].weight > 0).collect();
            let ids = candidates.iter().map(|at| seats[*at].endpoint.id());
            let chosen = subset::choose(&subset.client, ids, subset.size);
            let mut keep = vec![false; seats.len()];
            for at in chosen {
                keep[candidates[at]] = true;
            }
            for (seat, keep) in seats.iter_mut().zip(keep) {
                if !keep {
                    seat.weight = 0;
                }
            }
        }
        Self {
            version,
            seats,
            panic,
            available,
            total,
        }
    }

    /// Gives less weight to who is new. When that changes next, if anyone is.
    fn start_slowly(&mut self, window: Duration, now: Instant) -> Option<Instant> {
        let slow = SlowStart::new(window);
        let factors = self.seats.iter().map(|seat| match seat.member.rising_since() {
            Some(since) if seat.weight > 0 => slow.factor(since, now),
            _ => 1.0,
        });
        let factors: Vec<f64> = factors.collect();
        if factors.iter().all(|factor| *factor >= 1.0) {
            return None;
        }
        // Whole weights, as fine as 32 bits for the heaviest allow and no finer than a thousandth.
        let heaviest = self.seats.iter().map(|seat| seat.weight).max().unwrap_or(1);
        let scale = f64::from((u32::MAX / heaviest.max(1)).clamp(1, 1000));
        for (seat, factor) in self.seats.iter_mut().zip(factors) {
            if seat.weight > 0 {
                seat.weight = ((f64::from(seat.weight) * scale * factor) as u32).max(1);
            }
        }
        Some(now + slow.step())
    }
}
