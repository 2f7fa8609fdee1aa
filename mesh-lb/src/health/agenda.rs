//! Which endpoint is asked next, and what its answer means: all of the driver but the waiting.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use mesh_core::endpoint::Readiness;
use mesh_core::{Endpoint, EndpointId, EndpointSet};
use tokio::time::Instant;

use super::HealthError;
use super::driver::HealthSettings;
use super::schedule::Asked;
use super::state::{Change, HealthState};

/// Names one question: an answer counts only as long as nothing else was planned for its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// A question to put to an endpoint now.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) ticket: Ticket,
    pub(super) endpoint: Arc<Endpoint>,
}

/// What is thought of an endpoint after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opinion {
    Changed(Change),
    Same { healthy: bool },
}

/// The endpoints of a service, and when each is asked.
pub(super) struct Agenda {
    settings: HealthSettings,
    watched: HashMap<EndpointId, Watched>,
    /// Entries whose ticket is not their endpoint's any more are passed over when they come up.
    due: BinaryHeap<Reverse<(Instant, Ticket, EndpointId)>>,
    tickets: u64,
}

struct Watched {
    endpoint: Arc<Endpoint>,
    state: HealthState,
    asked: Asked,
    /// The question that is planned or under way.
    ticket: Ticket,
}

impl Agenda {
    pub(super) fn new(settings: HealthSettings) -> Self {
        Self {
            settings,
            watched: HashMap::new(),
            due: BinaryHeap::new(),
            tickets: 0,
        }
    }

    /// Follows this set from now on: what is new in it is asked soon, what is no longer in it is forgotten.
    pub(super) fn follow(&mut self, set: &EndpointSet, now: Instant, random: &mut fastrand::Rng) {
        let mut former = std::mem::take(&mut self.watched);
        for endpoint in &set.endpoints {
            // Takes no requests, so nobody wants to know.
            if endpoint.readiness == Readiness::NotReady {
                continue;
            }
            let id = endpoint.id();
            let watched = match former.remove(id) {
                Some(known) => Watched {
                    endpoint: Arc::clone(endpoint),
                    ..known
                },
                None => Watched {
                    endpoint: Arc::clone(endpoint),
                    state: HealthState::new(self.settings.thresholds, self.settings.new_endpoints),
                    asked: Asked::default(),
                    ticket: self.plan(id, now + self.settings.schedule.first(random)),
                },
            };
            self.watched.insert(id.clone(), watched);
        }
        // Endpoints that come and go faster than they are asked must not pile up.
        if self.due.len() > 2 * self.watched.len() + 64 {
            let watched = &self.watched;
            self.due
                .retain(|Reverse((_, ticket, id))| watched.get(id).is_some_and(|w| w.ticket == *ticket));
        }
    }

    /// When the next question is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((due, ..))| *due)
    }

    /// A question that is due and needed.
    pub(super) fn question(
        &mut self,
        now: Instant,
        random: &mut fastrand::Rng,
        last_success: impl Fn(&EndpointId) -> Option<Instant>,
    ) -> Option<Question> {
        while self.next_due().is_some_and(|due| due <= now) {
            let Reverse((_, ticket, id)) = self.due.pop()?;
            let Some(watched) = self.watched.get_mut(&id).filter(|w| w.ticket == ticket) else {
                continue;
            };
            let (schedule, state) = (&self.settings.schedule, &watched.state);
            if schedule.is_needed(&mut watched.asked, state, last_success(&id), now) {
                let endpoint = Arc::clone(&watched.endpoint);
                return Some(Question { ticket, endpoint });
            }
            self.plan_next(&id, now, random);
        }
        None
    }

    /// Takes an answer in. One that belongs to an endpoint that has left changes nothing.
    pub(super) fn answer(
        &mut self,
        question: &Question,
        answer: Result<(), HealthError>,
        now: Instant,
        random: &mut fastrand::Rng,
    ) -> Option<Opinion> {
        let id = question.endpoint.id();
        let watched = self.watched.get_mut(id)?;
        if watched.ticket != question.ticket {
            return None;
        }
        let change = watched.state.on(answer);
        let healthy = watched.state.is_healthy();
        self.plan_next(id, now, random);
        Some(change.map_or(Opinion::Same { healthy }, Opinion::Changed))
    }

    fn plan_next(&mut self, id: &EndpointId, now: Instant, random: &mut fastrand::Rng) {
        let schedule = self.settings.schedule;
        let Some(watched) = self.watched.get_mut(id) else {
            return;
        };
        let due = now + schedule.next(&mut watched.asked, &watched.state, random);
        let ticket = self.plan(id, due);
        if let Some(watched) = self.watched.get_mut(id) {
            watched.ticket = ticket;
        }
    }

    fn plan(&mut self, id: &EndpointId, due: Instant) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.due.push(Reverse((due, ticket, id.clone())));
        ticket
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::Schedule;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn endpoint(n: u16) -> Endpoint {
        Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], n)).into())
    }

    fn set(ports: impl IntoIterator<Item = u16>) -> EndpointSet {
        ports.into_iter().map(endpoint).collect()
    }

    fn due_now(agenda: &mut Agenda, now: Instant, random: &mut fastrand::Rng) -> Vec<Question> {
        std::iter::from_fn(|| agenda.question(now, random, |_| None)).collect()
    }

    #[test]
    fn a_returning_endpoint_is_a_new_one_and_its_old_answer_does_not_count() {
        let (now, mut random) = (Instant::now(), fastrand::Rng::with_seed(1));
        let mut agenda = Agenda::new(HealthSettings::default());
        agenda.follow(&set([1]), now, &mut random);
        let asked = due_now(&mut agenda, now + SECOND, &mut random);
        agenda.follow(&set([]), now + SECOND, &mut random);
        agenda.follow(&set([1]), now + SECOND, &mut random);
        let late = Err(HealthError::new("gone"));
        assert_eq!(agenda.answer(&asked[0], late, now + SECOND, &mut random), None);
        let again = due_now(&mut agenda, now + 2 * SECOND, &mut random);
        assert_eq!(again.len(), 1, "the new one has its own first question");
    }

    #[test]
    fn an_endpoint_that_takes_no_requests_is_not_asked() {
        let (now, mut random) = (Instant::now(), fastrand::Rng::with_seed(1));
        let mut agenda = Agenda::new(HealthSettings::default());
        let readinesses = [Readiness::Ready, Readiness::NotReady, Readiness::Terminating];
        let all = readinesses.iter().enumerate();
        let all = all.map(|(n, readiness)| endpoint(n as u16 + 1).with_readiness(*readiness));
        agenda.follow(&all.collect(), now, &mut random);
        let asked = due_now(&mut agenda, now + SECOND, &mut random);
        let asked: HashSet<_> = asked.iter().map(|q| q.endpoint.readiness).collect();
        assert_eq!(asked, HashSet::from([Readiness::Ready, Readiness::Terminating]));
    }

    #[test]
    fn a_changed_endpoint_keeps_its_state_and_is_asked_as_it_is_now() {
        let (now, mut random) = (Instant::now(), fastrand::Rng::with_seed(1));
        let mut agenda = Agenda::new(HealthSettings::default());
        agenda.follow(&set([1]), now, &mut random);
        let asked = due_now(&mut agenda, now + SECOND, &mut random);
        agenda.follow(
            &EndpointSet::new([endpoint(1).with_weight(7)]),
            now + SECOND,
            &mut random,
        );
        assert_eq!(
            agenda.answer(&asked[0], Ok(()), now + SECOND, &mut random),
            Some(Opinion::Same { healthy: true })
        );
        let next = due_now(&mut agenda, now + 40 * SECOND, &mut random);
        assert_eq!(next.len(), 1);
        assert_eq!(next[0].endpoint.weight, 7);
    }

    #[test]
    fn endpoints_that_come_and_go_do_not_pile_up() {
        let (now, mut random) = (Instant::now(), fastrand::Rng::with_seed(1));
        let mut agenda = Agenda::new(HealthSettings::default());
        for n in 0..10_000 {
            agenda.follow(&set([n % 60_000 + 1]), now, &mut random);
        }
        assert!(agenda.due.len() <= 128, "{}", agenda.due.len());
        assert_eq!(agenda.watched.len(), 1);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Follow(HashSet<u16>),
        Advance(u64),
        Ask,
        Answer(usize, bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            1 => proptest::collection::hash_set(1..12_u16, 0..8).prop_map(Op::Follow),
            3 => (0..20_000_u64).prop_map(Op::Advance),
            3 => Just(Op::Ask),
            3 => (any::<usize>(), any::<bool>()).prop_map(|(n, good)| Op::Answer(n, good)),
        ]
    }

    proptest! {
        #[test]
        fn every_endpoint_has_exactly_one_question_planned_or_under_way(
            ops in proptest::collection::vec(op(), 1..120),
            seed: u64,
            traffic: bool,
        ) {
            let (mut now, mut random) = (Instant::now(), fastrand::Rng::with_seed(seed));
            let mut agenda = Agenda::new(HealthSettings {
                schedule: Schedule::new(10 * SECOND),
                ..HealthSettings::default()
            });
            let mut under_way: Vec<Question> = Vec::new();
            for op in ops {
                match op {
                    Op::Follow(ports) => agenda.follow(&set(ports), now, &mut random),
                    Op::Advance(millis) => now += Duration::from_millis(millis),
                    Op::Ask => {
                        let success = traffic.then_some(now);
                        under_way.extend(agenda.question(now, &mut random, |_| success));
                    }
                    Op::Answer(n, good) if !under_way.is_empty() => {
                        let question = under_way.swap_remove(n % under_way.len());
                        let answer = if good { Ok(()) } else { Err(HealthError::new("ill")) };
                        agenda.answer(&question, answer, now, &mut random);
                    }
                    Op::Answer(..) => {}
                }
                for (id, watched) in &agenda.watched {
                    let planned = agenda.due.iter().filter(|Reverse((_, t, i))| t == &watched.ticket && i == id);
                    let asked = under_way.iter().filter(|q| q.ticket == watched.ticket);
                    prop_assert_eq!(planned.count() + asked.count(), 1, "{}", id);
                }
                // Nothing is planned further away than its interval allows.
                for Reverse((due, ..)) in &agenda.due {
                    prop_assert!(*due <= now + 11 * SECOND);
                }
            }
        }
    }
}
