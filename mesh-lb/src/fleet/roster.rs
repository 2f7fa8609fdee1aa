//! Who takes requests at a moment, and with which weight: composed at publish time, read by every pick.

use std::sync::Arc;

use mesh_core::endpoint::Readiness;
use mesh_core::{Endpoint, EndpointSet, Version};
use tokio::time::Instant;

use super::member::Member;
use super::policy::FleetPolicy;
use crate::locality::Locality;
use crate::outlier::Standing;
use crate::panic::Panic;
use crate::slow_start::SlowStart;
use crate::subset::Subsetting;
use crate::weight::scaled;

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
    /// Its share, as pickers go by it. 0: it is not picked, though it may take what others cannot.
    pub(crate) weight: u32,
    /// The weight discovery gave it; 0: it takes no requests now.
    pub(crate) whole: u32,
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
    /// Stable are the endpoints of the stable version and those without a version; if no stable version is named and
    /// each has one, all.
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
        let all_are_stable = stable.is_none() && set.endpoints.iter().all(|e| e.version.is_some());
        let is_of = |e: &Endpoint, version: Option<&Version>| match version {
            None => {
                e.version.is_none() || all_are_stable || (stable.is_some() && e.version.as_ref() == stable)
            }
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
                whole: endpoint.weight,
            });
            let mut group = Group::new(version.cloned(), seats.collect(), policy);
            let step = group.weigh(policy, now);
            next = next.into_iter().chain(step).min();
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
    /// How many there are, how many of them are ejected, how many take requests.
    pub(super) fn standing(&self) -> Standing {
        let counted = || self.seats.iter().filter(|seat| seat.endpoint.weight > 0);
        Standing {
            endpoints: counted().count(),
            ejected: counted().filter(|seat| seat.member.is_ejected()).count(),
            available: counted().filter(|seat| seat.member.takes_requests()).count(),
        }
    }

    /// Leaves out who is not of this process's subset, and who is not well, unless too few would be left.
    fn new(version: Option<Version>, mut seats: Vec<Seat>, policy: &FleetPolicy) -> Self {
        if let Some(subset) = &policy.subset {
            let subsetting = Subsetting::new(&subset.client, subset.size);
            let weighty: Vec<bool> = seats.iter().map(|seat| seat.endpoint.weight > 0).collect();
            let mut weighty = weighty.into_iter();
            seats.retain(|_| weighty.next().unwrap_or(false));
            let members = subsetting.members(seats.iter().map(|seat| &*seat.endpoint));
            let (mut members, mut place) = (members.into_iter().peekable(), 0..);
            seats.retain(|_| {
                let chosen = members.peek().copied() == place.next();
                if chosen {
                    members.next();
                }
                chosen
            });
        }
        let takes = |seat: &Seat| seat.whole > 0 && seat.member.takes_requests();
        let total = seats.iter().filter(|seat| seat.whole > 0).count();
        let available = seats.iter().filter(|seat| takes(seat)).count();
        let mut panic = Panic::new(policy.panic_threshold);
        panic.on(available, total);
        if !panic.is_on() {
            for seat in &mut seats {
                if !takes(seat) {
                    seat.whole = 0;
                }
            }
        }
        Self {
            version,
            seats,
            panic: panic.is_on(),
            available,
            total,
        }
    }

    /// Gives each its weight: less to who is new, and more to who is near. When that changes next by itself.
    fn weigh(&mut self, policy: &FleetPolicy, now: Instant) -> Option<Instant> {
        let slow = policy.slow_start.map(SlowStart::new);
        let using = || self.seats.iter().filter(|seat| seat.whole > 0);
        let rising = |seat: &Seat| slow.zip(seat.member.rising_since());
        let next =
            using().filter_map(|seat| rising(seat).and_then(|(slow, since)| slow.next_step(since, now)));
        let next = next.min();
        // Without a zone of its own, or without enough endpoints there, no one is near.
        let locality = Locality::of(policy.zone.as_deref(), using().map(|seat| &*seat.endpoint)).ok();
        let weights = self.seats.iter().map(|seat| {
            let grown = rising(seat).map_or(1.0, |(slow, since)| slow.factor(since, now));
            let near = locality
                .as_ref()
                .map_or(1.0, |locality| locality.factor(seat.endpoint.zone.as_deref()));
            (seat.whole, grown * near)
        });
        let weights = scaled(&weights.collect::<Vec<_>>());
        for (seat, weight) in self.seats.iter_mut().zip(weights) {
            seat.weight = weight;
        }
        next
    }
}
