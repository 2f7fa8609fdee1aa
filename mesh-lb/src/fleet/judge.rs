//! What requests say about endpoints, and who is ejected for it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use mesh_core::breaker::{State as BreakerState, Transition};
use mesh_core::event::MeshEvent;
use mesh_core::{ErrorKind, Outcome};
use tokio::time::Instant;

use super::Fleet;
use super::chooser::Unjudged;
use super::member::Member;
use super::roster::Roster;
use crate::outlier::{Counts, Ejected, OutlierConfig, Spared, Standing};

impl Fleet {
    /// Takes in how an attempt at one of its endpoints ended: for the endpoint's latency, for its breaker, and
    /// for the comparison with its peers. Told when the head of the response is there.
    pub fn judge(&self, attempt: Unjudged, outcome: Outcome, now: Instant) {
        let Unjudged {
            member,
            permit,
            begun,
            last_resort,
        } = attempt;
        let took = now.saturating_duration_since(begun);
        let failed = outcome.counts_against_endpoint();
        if outcome == Outcome::Refused(ErrorKind::UpstreamConnect) {
            // It may be gone, and discovery not know it yet.
            self.0.refresh.ask();
        }
        if failed {
            member.load().penalise(took, now);
        } else if outcome == Outcome::Success {
            member.load().record_latency(took, now);
            member.succeeded_at(now);
        }
        member.counts.record(outcome);
        if last_resort && outcome == Outcome::Success {
            self.take_back(&member, now);
        }
        let (Some(breaker), Some(permit)) = (member.breaker(), permit) else {
            return;
        };
        if let Some(transition) = breaker.record(permit, outcome, now) {
            self.changed(&member, &transition, transition.cause.to_string().into(), now);
        }
    }

    /// Takes in that an attempt was given up before it ended. It neither succeeded nor failed, but an answer would have
    /// taken longer than it was waited for.
    pub fn give_up(&self, attempt: Unjudged, now: Instant) {
        let Unjudged { member, begun, .. } = attempt;
        let waited = now.saturating_duration_since(begun);
        member.load().waited_in_vain(waited, now);
    }

    /// Ejects who succeeds less often than its peers. When the next comparison is due.
    pub(super) fn compare_if_due(&self, ejection: &OutlierConfig, now: Instant) -> Instant {
        let interval = ejection.looks_every();
        let roster = {
            let mut state = self.0.state.lock();
            let due = *state.compared.get_or_insert(now) + interval;
            if now < due {
                return due;
            }
            state.compared = Some(now);
            self.0.roster.current()
        };
        if let Some(test) = &ejection.success_rate {
            let mut taken: HashMap<*const Member, Counts> = HashMap::new();
            for group in &roster.groups {
                let mut counts = Vec::with_capacity(group.seats.len());
                for (at, seat) in group.seats.iter().enumerate() {
                    let count = *taken
                        .entry(Arc::as_ptr(&seat.member))
                        .or_insert_with(|| seat.member.counts.take());
                    if !seat.member.is_ejected() {
                        counts.push((at, count));
                    }
                }
                for outlier in test.outliers(&counts) {
                    let member = group.seats.get(outlier.endpoint).map(|seat| &seat.member);
                    if let Some(member) = member
                        && let Some(breaker) = member.breaker()
                        && let Some(transition) = breaker.trip(now)
                    {
                        self.changed(member, &transition, outlier.to_string().into(), now);
                    }
                }
            }
        }
        now + interval
    }

    /// Its breaker opened, tries or closed. Between that and the lock here another thread may have had it otherwise:
    /// then it is that thread's to tell.
    pub(super) fn changed(
        &self,
        member: &Member,
        transition: &Transition,
        cause: Cow<'static, str>,
        now: Instant,
    ) {
        let Some(breaker) = member.breaker() else { return };
        match transition.to {
            BreakerState::Open => {
                let mut state = self.0.state.lock();
                if breaker.state() == BreakerState::Closed {
                    return;
                }
                if !member.is_ejected()
                    && let Err(spared) = self.can_spare(member)
                {
                    let _ = breaker.reset(now);
                    drop(state);
                    tracing::debug!(service = %self.0.service, endpoint = %member.id(), %cause, %spared, "not ejected");
                    return;
                }
                member.eject(cause.clone(), now);
                *self.0.ejected.lock() = Some(now);
                self.make_stale(&mut state);
                drop(state);
                self.emit(|| MeshEvent::EndpointEjected {
                    service: self.0.service.clone(),
                    endpoint: member.id().clone(),
                    cause,
                    ejected_for: transition.open_for.unwrap_or_default(),
                });
            }
            BreakerState::Closed => {
                let mut state = self.0.state.lock();
                if breaker.state() != BreakerState::Closed || !member.take_back(now) {
                    return;
                }
                self.make_stale(&mut state);
                drop(state);
                self.emit(|| MeshEvent::EndpointReturned {
                    service: self.0.service.clone(),
                    endpoint: member.id().clone(),
                });
            }
            BreakerState::HalfOpen => {}
        }
    }

    /// It answered while it was ejected, which is what its trial would have asked.
    fn take_back(&self, member: &Member, now: Instant) {
        let mut state = self.0.state.lock();
        if !member.is_ejected() {
            return;
        }
        self.end_ejection(member, now);
        self.make_stale(&mut state);
    }

    /// Closes its breaker and lets it take requests again, under the lock. Whether it did not.
    fn end_ejection(&self, member: &Member, now: Instant) -> bool {
        if let Some(breaker) = member.breaker() {
            let _ = breaker.reset(now);
        }
        let was_ejected = member.take_back(now);
        if was_ejected {
            self.emit(|| MeshEvent::EndpointReturned {
                service: self.0.service.clone(),
                endpoint: member.id().clone(),
            });
        }
        was_ejected
    }

    /// Whether every version this endpoint serves can do without it. Asked under the lock, one at a time.
    fn can_spare(&self, member: &Member) -> Result<(), Spared> {
        let Some(ejection) = &self.0.policy.ejection else {
            return Err(Spared::Last);
        };
        let roster = self.0.roster.current();
        let mut serves = false;
        for group in &roster.groups {
            if group.seats.iter().any(|seat| std::ptr::eq(&*seat.member, member)) {
                serves = true;
                let mut standing = group.standing();
                // It counts as available also if it is unhealthy: what matters is who else is.
                standing.available += usize::from(!member.takes_requests());
                ejection.cap().check(standing)?;
            }
        }
        // Whoever serves nothing, as it is not ready, is not missed either, but there is nothing to gain.
        serves.then_some(()).ok_or(Spared::Last)
    }

    /// Ends ejections before their time, when there are too many for the endpoints that are left, or nobody takes
    /// requests. Whether there were such.
    pub(super) fn take_back_early(&self, roster: &Roster, now: Instant) -> bool {
        let Some(ejection) = &self.0.policy.ejection else {
            return false;
        };
        let mut any = false;
        for group in &roster.groups {
            let Standing {
                endpoints, available, ..
            } = group.standing();
            let ejected = group.seats.iter().filter(|seat| seat.member.is_ejected());
            let mut ejected: Vec<_> = ejected
                .map(|seat| Ejected {
                    endpoint: &seat.member,
                    due: seat.member.breaker().and_then(|b| b.due()).unwrap_or(now),
                    usable: !seat.member.is_unhealthy(),
                })
                .collect();
            for early in ejection.cap().returning(endpoints, available, &mut ejected) {
                any |= self.end_ejection(early.endpoint, now);
            }
        }
        any
    }
}

#[cfg(test)]
mod tests;
