//! When the next of the ejected endpoints may be tried: known beforehand, so that nearly every request asks one
//! atomic and no endpoint.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_core::breaker::{Permit, State};
use tokio::time::Instant;

use crate::fleet::Group;

/// The ejected endpoints of a group.
pub(super) struct Trials {
    origin: Instant,
    seats: Box<[usize]>,
    /// In nanoseconds since `origin`, or [`NEVER`].
    due: AtomicU64,
}

const NEVER: u64 = u64::MAX;

/// A trial that ends changes the roster. But one may also be given up, or say nothing about its endpoint: then the
/// next is due, and it is looked for this often.
const UNDER_WAY: Duration = Duration::from_secs(1);

impl Trials {
    /// As of now.
    pub(super) fn of(group: &Group, now: Instant) -> Self {
        let ejected =
            |at: &usize| group.seats[*at].member.is_ejected() && group.seats[*at].endpoint.weight > 0;
        let seats: Box<[usize]> = (0..group.seats.len()).filter(ejected).collect();
        let trials = Self {
            origin: now,
            due: AtomicU64::new(NEVER),
            seats,
        };
        // One that has a trial under way may lose it.
        let due = |at: &usize| {
            let breaker = group.seats[*at].member.breaker();
            breaker.and_then(|b| b.due()).unwrap_or(now)
        };
        if let Some(first) = trials.seats.iter().map(due).min() {
            trials.next_at(Some(first));
        }
        trials
    }

    /// An ejected endpoint whose time is over and that was not tried yet, with leave of its breaker.
    pub(super) fn next(&self, group: &Group, now: Instant, tried: &[usize]) -> Option<(usize, Permit)> {
        if !self.are_due(now) {
            return None;
        }
        let mut next: Option<Instant> = None;
        let mut found = None;
        for at in self.seats.iter().copied() {
            let seat = group.seats.get(at)?;
            // Whoever is found well, or is back, is so in the next roster.
            let waits = seat.member.is_ejected() && !seat.member.is_unhealthy();
            let Some(breaker) = seat.member.breaker().filter(|_| waits) else {
                continue;
            };
            let due = if found.is_some() || tried.contains(&at) {
                breaker.due().unwrap_or(now).max(now)
            } else {
                match breaker.admit(now) {
                    Ok(admission) => {
                        found = Some((at, admission.permit));
                        now + UNDER_WAY
                    }
                    Err(refused) if refused.state == State::HalfOpen => {
                        now + UNDER_WAY.min(refused.retry_after)
                    }
                    Err(refused) => now + refused.retry_after,
                }
            };
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        self.next_at(next);
        found
    }

    fn are_due(&self, now: Instant) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        due != NEVER && nanos(self.origin, now) >= due
    }

    fn next_at(&self, due: Option<Instant>) {
        let due = due.map_or(NEVER, |due| nanos(self.origin, due));
        self.due.store(due, Ordering::Relaxed);
    }
}

fn nanos(origin: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(origin).as_nanos()).unwrap_or(NEVER - 1)
}
