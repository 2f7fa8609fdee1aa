//! An endpoint for each request: a roster, its pickers and the links to its endpoints in one immutable value,
//! of which a request sees all or none.

mod chosen;
mod elsewhere;
mod trials;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use mesh_core::breaker::Permit;
use mesh_core::{Endpoint, EndpointId, Version};
use tokio::time::Instant;

use super::Fleet;
use super::roster::{Group, Roster, Seat};
use crate::balancer::{LoadBalancer, PickContext, Picker, SlotView};
use crate::load::InFlight;
use crate::locality::spills;
pub use chosen::{Chosen, NotChosen, Unjudged};
use elsewhere::Elsewhere;
use trials::Trials;

/// What leads from a chooser to an endpoint: a pool of connections, for one.
pub trait Link: Send + Sync + 'static {
    /// Whether it could not connect a moment ago: then others are preferred.
    fn is_resting(&self, now: Instant) -> bool;
}

/// Always connected.
impl Link for () {
    fn is_resting(&self, _: Instant) -> bool {
        false
    }
}

impl<L: Link> Link for Arc<L> {
    fn is_resting(&self, now: Instant) -> bool {
        L::is_resting(self, now)
    }
}

/// Chooses an endpoint of a fleet for each request: by a picker, past those that take none, and now and then an
/// ejected one whose trial is due.
///
/// This is all that [`Balance`](crate::Balance) does before it sends, without connections, clock and chance of
/// its own: for a client of another protocol, or for a simulation. It stands for one [`Roster`] of the fleet, and is
/// built anew for the next.
///
/// ```
/// use mesh_core::{Endpoint, EndpointSet, Outcome};
/// use mesh_lb::{Fleet, FleetPolicy, PickContext, RoundRobin};
/// use tokio::time::Instant;
///
/// let mut now = Instant::now();
/// let fleet = Fleet::new("orders".parse()?, FleetPolicy::default());
/// let endpoints = ["10.0.0.7:3001".parse()?, "10.0.0.8:3001".parse()?].map(Endpoint::new);
/// fleet.update(EndpointSet::new(endpoints.clone()), now);
///
/// let chooser = fleet.chooser(&RoundRobin::new(), now, |_| ());
/// for _ in 0..20 {
///     let chosen = chooser.choose(None, PickContext::new(7, now), &[])?;
///     let broken = chosen.endpoint.id() == endpoints[0].id();
///     now += std::time::Duration::from_millis(5);
///     fleet.judge(chosen.attempt, if broken { Outcome::Failure } else { Outcome::Success }, now);
/// }
/// // Ejected by now.
/// for _ in 0..20 {
///     let chosen = chooser.choose(None, PickContext::new(7, now), &[])?;
///     assert_eq!(chosen.endpoint.id(), endpoints[1].id());
/// }
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
pub struct Chooser<L = ()> {
    roster: Arc<Roster>,
    /// Of each group of the roster.
    subsets: Vec<Subset<L>>,
}

/// The endpoints of one version: their pickers, and the links of this chooser to them.
struct Subset<L> {
    links: Vec<L>,
    picker: Arc<dyn Picker>,
    elsewhere: Option<Elsewhere>,
    trials: Trials,
    /// How many requests an endpoint carries at most.
    room: u32,
}

impl Fleet {
    /// Chooses among the endpoints that take requests now. `link` makes what leads to each; it is asked twice for one
    /// that is both of the stable version and of its own.
    pub fn chooser<L: Link>(
        &self,
        balancer: &dyn LoadBalancer,
        now: Instant,
        mut link: impl FnMut(&SlotView) -> L,
    ) -> Chooser<L> {
        let roster = self.0.roster.current();
        let zone = self.0.policy.zone.as_ref();
        let subsets = roster.groups.iter().map(|group| {
            let views: Vec<SlotView> = group.seats.iter().map(view).collect();
            Subset {
                links: views.iter().map(&mut link).collect(),
                picker: balancer.picker(&views),
                elsewhere: zone.and_then(|zone| Elsewhere::of(zone, group, balancer)),
                trials: Trials::of(group, now),
                room: self.0.policy.limits.max_requests_per_endpoint,
            }
        });
        Chooser {
            subsets: subsets.collect(),
            roster,
        }
    }
}

impl<L: Link> Chooser<L> {
    /// An endpoint of this version (without one, a stable one) for a request that was tried at `tried` already.
    /// If all that take requests were tried, or rest, an ejected one is the last resort; another of those that were
    /// tried only if there is no such. What the context says of slots is not looked at.
    ///
    /// # Errors
    /// Why there is none.
    pub fn choose(
        &self,
        version: Option<&Version>,
        cx: PickContext<'_>,
        tried: &[EndpointId],
    ) -> Result<Chosen<'_, L>, NotChosen> {
        let at = self.roster.at(version).ok_or(NotChosen::Nobody)?;
        let group = self.roster.groups.get(at).ok_or(NotChosen::Nobody)?;
        let subset = self.subsets.get(at).ok_or(NotChosen::Nobody)?;
        let (mut avoid, mut avoided) = ([0_usize; MAX_AVOIDED], 0);
        for id in tried {
            if let Some(at) = group.seats.iter().position(|seat| seat.endpoint.id() == id)
                && let Some(place) = avoid.get_mut(avoided)
            {
                *place = at;
                avoided += 1;
            }
        }
        if let Some(chosen) = subset.trial(group, &cx, &avoid[..avoided]) {
            return Ok(chosen);
        }
        let tried = avoided;
        let mut random = cx.random;
        loop {
            let cx = PickContext { random, ..cx }.avoiding(&avoid[..avoided]);
            let Some(at) = subset.pick(group, &cx) else {
                return subset.any(group, random, &avoid[..tried], cx.now);
            };
            // Nothing is begun at one that rests; and if the picker knows of none but those that were tried, the last
            // resorts come first.
            let admitted = match cx.was_tried(at) || subset.rests(at, cx.now) {
                true => None,
                false => subset.admitted(group, at, cx.now),
            };
            match admitted {
                Some(chosen) => return Ok(chosen),
                // It was ejected, filled up or refused a connection a moment ago.
                None if avoided < MAX_AVOIDED && !cx.was_tried(at) => {
                    avoid[avoided] = at;
                    avoided += 1;
                    random = random.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                }
                None => return subset.any(group, random, &avoid[..tried], cx.now),
            }
        }
    }
}

impl<L> Chooser<L> {
    /// The endpoints it chooses from and the links to them.
    pub fn links(&self) -> impl Iterator<Item = (&Arc<Endpoint>, &L)> {
        let groups = self.roster.groups.iter().zip(&self.subsets);
        groups.flat_map(|(group, subset)| {
            let endpoints = group.seats.iter().map(|seat| &seat.endpoint);
            endpoints.zip(&subset.links)
        })
    }

    /// Whether the fleet was never told of endpoints when it was built.
    pub fn is_empty(&self) -> bool {
        self.subsets.is_empty()
    }

    /// The endpoints of this version; without one, the stable ones.
    pub(crate) fn group(&self, version: Option<&Version>) -> Option<&Group> {
        self.roster.groups.get(self.roster.at(version)?)
    }
}

/// Of no endpoints.
impl<L> Default for Chooser<L> {
    fn default() -> Self {
        Self {
            roster: Arc::default(),
            subsets: Vec::new(),
        }
    }
}

impl<L> fmt::Debug for Chooser<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chooser")
            .field("roster", &self.roster)
            .finish_non_exhaustive()
    }
}

/// How many endpoints one choice avoids at most; after that it looks at one after the other.
const MAX_AVOIDED: usize = 8;

fn view(seat: &Seat) -> SlotView {
    let (endpoint, load) = (Arc::clone(&seat.endpoint), Arc::clone(seat.member.load()));
    SlotView::new(endpoint, load).with_weight(seat.weight)
}

impl<L: Link> Subset<L> {
    fn rests(&self, at: usize, now: Instant) -> bool {
        self.links.get(at).is_some_and(|link| link.is_resting(now))
    }

    /// The first that takes the request, from a random one on: of those that were not tried the ones that do not
    /// rest and then the others, then those that were tried; each time with a weight before without, and who takes
    /// requests before who is ejected.
    fn any<'a>(
        &'a self,
        group: &'a Group,
        random: u64,
        tried: &[usize],
        now: Instant,
    ) -> Result<Chosen<'a, L>, NotChosen> {
        let n = group.seats.len();
        let start = usize::try_from(random >> 32).unwrap_or(0) % n.max(1);
        let around = || (0..n).map(|i| (start + i) % n);
        let near = || around().filter(|at| group.seats[*at].weight > 0);
        let far = || around().filter(|at| group.seats[*at].weight == 0 && group.seats[*at].whole > 0);
        let is_full = Cell::new(false);
        let first_of = |of: &dyn Fn(&usize) -> bool| {
            near().chain(far()).filter(|at| of(at)).find_map(|at| {
                let admitted = self.admitted(group, at, now);
                is_full.set(is_full.get() || (admitted.is_none() && self.is_full(group, at)));
                admitted
            })
        };
        // Who is only full is worth waiting for.
        let spare_of = |of: &dyn Fn(&usize) -> bool| {
            if is_full.get() {
                return None;
            }
            let is_ejected = |at: &usize| group.seats.get(*at).is_some_and(|seat| seat.member.is_ejected());
            let spare = |at| self.spare(group, at, now);
            let back = around().filter(|at| of(at) && !is_ejected(at)).find_map(spare);
            back.or_else(|| around().filter(of).find_map(spare))
        };
        for rests in [false, true] {
            let is_next = |at: &usize| !tried.contains(at) && self.rests(*at, now) == rests;
            if let Some(chosen) = first_of(&is_next) {
                return Ok(chosen);
            }
            if let Some(chosen) = spare_of(&is_next) {
                return Ok(chosen);
            }
        }
        let was_tried = |at: &usize| tried.contains(at);
        let chosen = first_of(&was_tried).or_else(|| spare_of(&was_tried));
        chosen.ok_or_else(|| match is_full.get() {
            true => NotChosen::Full,
            false => NotChosen::Nobody,
        })
    }
}

impl<L> Subset<L> {
    /// By the picker; or a far one, if the near one is loaded so much more than it, or if one near did not do for
    /// this request: what keeps it from connecting may keep it from connecting to all of its zone.
    fn pick(&self, group: &Group, cx: &PickContext<'_>) -> Option<usize> {
        let Some(elsewhere) = &self.elsewhere else {
            return self.picker.pick(cx);
        };
        let mut tried = cx.tried.iter().filter_map(|at| group.seats.get(*at));
        if tried.any(|seat| elsewhere.is_near(seat))
            && let Some(far) = elsewhere.pick(cx)
        {
            return Some(far);
        }
        let near = self.picker.pick(cx)?;
        let load = |at: usize| {
            group
                .seats
                .get(at)
                .map_or(0, |seat| seat.member.load().in_flight())
        };
        if !spills(load(near), 0) {
            return Some(near);
        }
        let far = elsewhere.pick(cx).filter(|far| spills(load(near), load(*far)));
        Some(far.unwrap_or(near))
    }

    /// The endpoint, unless it does not take this request.
    fn admitted<'a>(&'a self, group: &'a Group, at: usize, now: Instant) -> Option<Chosen<'a, L>> {
        let seat = group.seats.get(at)?;
        if !group.panic && !seat.member.takes_requests() {
            return None;
        }
        let in_flight = seat.member.load().begin_within(self.room)?;
        let breaker = seat.member.breaker().filter(|_| !group.panic);
        // That it is ejected was asked above. A breaker may be open for a moment without that, until the fleet has
        // found that it has no endpoint to spare: the last one must not refuse requests meanwhile.
        let permit = breaker.and_then(|breaker| Some(breaker.admit(now).ok()?.permit));
        self.chosen(seat, at, in_flight, permit, now)
    }

    /// Whether the endpoint would take this request, if it did not carry so many already.
    fn is_full(&self, group: &Group, at: usize) -> bool {
        group.seats.get(at).is_some_and(|seat| {
            let takes = group.panic || seat.member.takes_requests();
            takes && seat.member.load().in_flight() >= self.room
        })
    }

    /// An endpoint that was ejected when the roster was made and is not known to be unwell, as the last resort of a
    /// request. While it is ejected it needs no leave of its breaker: that says how often it is tried when there are
    /// others.
    fn spare<'a>(&'a self, group: &'a Group, at: usize, now: Instant) -> Option<Chosen<'a, L>> {
        let seat = group.seats.get(at)?;
        if group.panic || seat.endpoint.weight == 0 || seat.member.is_unhealthy() {
            return None;
        }
        if !seat.member.is_ejected() {
            // It was taken back meanwhile, and the roster that says so is not here yet.
            return self.admitted(group, at, now);
        }
        let in_flight = seat.member.load().begin_within(self.room)?;
        let mut chosen = self.chosen(seat, at, in_flight, None, now)?;
        chosen.attempt.last_resort = true;
        Some(chosen)
    }

    fn chosen<'a>(
        &'a self,
        seat: &'a Seat,
        at: usize,
        in_flight: InFlight,
        permit: Option<Permit>,
        begun: Instant,
    ) -> Option<Chosen<'a, L>> {
        Some(Chosen {
            endpoint: &seat.endpoint,
            link: self.links.get(at)?,
            in_flight,
            attempt: Unjudged {
                member: Arc::clone(&seat.member),
                permit,
                begun,
                last_resort: false,
            },
        })
    }

    /// An ejected endpoint whose time is over, if this request may be its trial.
    fn trial<'a>(&'a self, group: &'a Group, cx: &PickContext<'_>, tried: &[usize]) -> Option<Chosen<'a, L>> {
        if group.panic {
            return None;
        }
        let (at, permit) = self.trials.next(group, cx.now, tried)?;
        let seat = group.seats.get(at)?;
        self.chosen(seat, at, seat.member.load().begin(), Some(permit), cx.now)
    }
}

#[cfg(test)]
mod tests;
