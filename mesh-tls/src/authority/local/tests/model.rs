//! The generations, compared with a plain model over random steps, acknowledgements, clocks that jump and crashes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::lifecycle::{Due, Lifecycle, SETTLE, Situation};
use super::super::times::{SKEW, Times};
use super::{DAY, MINUTE};
use crate::authority::{Follower, GenerationState as S, RotationStep};
use std::time::{Duration, SystemTime};

#[derive(Clone, Copy, Debug)]
enum Event {
    Pass(u64),
    Jump(i64),
    /// One who follows has the newest bundle in force.
    Catches(usize),
    /// A certificate is issued that is good for so many minutes.
    Issue(u64),
    Ask(RotationStep, bool),
    /// Whatever is due is done.
    Upkeep,
    Crash,
}

fn events() -> impl Strategy<Value = Event> {
    use RotationStep::{Abort, Activate, Prepare, Remove, Taint};
    let step = prop_oneof![
        3 => Just(Prepare), 4 => Just(Activate), 1 => Just(Taint), 2 => Just(Remove), 1 => Just(Abort),
    ];
    prop_oneof![
        4 => (1_u64..3_000).prop_map(Event::Pass),
        1 => (-6_000_i64..6_000).prop_map(Event::Jump),
        6 => (0_usize..3).prop_map(Event::Catches),
        4 => (1_u64..60).prop_map(Event::Issue),
        6 => (step, prop::bool::weighted(0.2)).prop_map(|(step, force)| Event::Ask(step, force)),
        6 => Just(Event::Upkeep),
        2 => Just(Event::Crash),
    ]
}

/// What is expected of one generation.
#[derive(Clone, Copy, Debug)]
struct Expected {
    state: S,
    since: SystemTime,
    first_bundle: u64,
}

struct World {
    lifecycle: Lifecycle,
    model: BTreeMap<u64, Expected>,
    numbers: u64,
    sequence: u64,
    now: SystemTime,
    followers: Vec<(Follower, u64)>,
    last_leaves: BTreeMap<u64, SystemTime>,
}

fn times() -> Times {
    Times {
        root: 10 * DAY,
        longest_leaf: 60 * MINUTE,
    }
}

impl World {
    fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let follower = |instance| (Follower::new(super::id("orders"), instance), 1);
        let first = Expected {
            state: S::Active,
            since: now,
            first_bundle: 1,
        };
        Self {
            lifecycle: Lifecycle::begun(now + times().root, now),
            model: BTreeMap::from([(1, first)]),
            numbers: 1,
            sequence: 1,
            now,
            followers: (0..3).map(follower).collect(),
            last_leaves: BTreeMap::new(),
        }
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            now: self.now,
            times: times(),
            followers: &self.followers,
            last_leaves: &self.last_leaves,
        }
    }

    fn number_of(&self, wanted: &[S]) -> Option<u64> {
        let found = self
            .model
            .iter()
            .rev()
            .find(|(_, one)| wanted.contains(&one.state));
        found.map(|(number, _)| *number)
    }

    fn signer(&self) -> u64 {
        self.number_of(&[S::Active])
            .or_else(|| self.number_of(&[S::Tainted]))
            .expect("one signs")
    }

    /// Whether nothing keeps the candidate from signing.
    fn is_everywhere(&self, number: u64) -> bool {
        let one = self.model[&number];
        let has_it = self
            .followers
            .iter()
            .all(|(_, in_force)| *in_force >= one.first_bundle);
        has_it && (one.state == S::Distributed || self.now >= one.since + SETTLE)
    }

    fn ends(&self, number: u64) -> SystemTime {
        let since = self.model[&number].since;
        let last = self.last_leaves.get(&number).copied().unwrap_or(since);
        last.max(since) + SKEW + DAY
    }

    fn set(&mut self, number: u64, state: S) {
        let now = self.now;
        let one = self.model.get_mut(&number).expect("there");
        (one.state, one.since) = (state, now);
    }

    /// What the model makes of a step: whether it is taken.
    fn expect(&mut self, step: RotationStep, force: bool) -> bool {
        let candidate = self.number_of(&[S::Prepared, S::Distributed]);
        let signer = self.signer();
        match (step, candidate) {
            (RotationStep::Prepare, None) => {
                self.numbers += 1;
                self.sequence += 1;
                let one = Expected {
                    state: S::Prepared,
                    since: self.now,
                    first_bundle: self.sequence,
                };
                self.model.insert(self.numbers, one);
                true
            }
            (RotationStep::Activate, Some(number)) if force || self.is_everywhere(number) => {
                if self.model[&signer].state == S::Active {
                    self.set(signer, S::Retiring);
                }
                self.set(number, S::Active);
                true
            }
            (RotationStep::Taint, _) if self.model[&signer].state == S::Active => {
                self.sequence += 1;
                self.set(signer, S::Tainted);
                true
            }
            (RotationStep::Remove, _) => {
                let over = self
                    .model
                    .iter()
                    .filter(|(number, one)| {
                        matches!(one.state, S::Retiring | S::Tainted) && **number != signer
                    })
                    .map(|(number, _)| *number)
                    .min_by_key(|number| self.ends(*number));
                match over {
                    Some(number) if force || self.ends(number) <= self.now => {
                        self.sequence += 1;
                        self.model.remove(&number);
                        true
                    }
                    _ => false,
                }
            }
            (RotationStep::Abort, Some(number)) => {
                self.sequence += 1;
                self.model.remove(&number);
                true
            }
            _ => false,
        }
    }

    fn take(&mut self, step: RotationStep, force: bool) -> Result<(), String> {
        let (now, sequence) = (self.now, self.sequence);
        let mut lifecycle = self.lifecycle.clone();
        let situation = self.situation();
        let taken = match step {
            RotationStep::Prepare => lifecycle.prepare(now + times().root, sequence + 1, now),
            step => lifecycle.take(step, force, &situation),
        };
        let is_expected = self.expect(step, force);
        if taken.is_ok() != is_expected {
            return Err(format!(
                "{step}, forced: {force}: {taken:?}, expected {is_expected}"
            ));
        }
        if taken.is_ok() {
            self.lifecycle = lifecycle;
        }
        Ok(())
    }

    fn upkeep(&mut self) -> Result<(), String> {
        let due = self.lifecycle.due(&self.situation());
        let candidate = self.number_of(&[S::Prepared, S::Distributed]);
        match due {
            None => {
                // Nothing of what must not wait was forgotten.
                let signer = self.signer();
                let life = self.lifecycle.signer().expect("one signs");
                let is_urgent = self.model[&signer].state == S::Tainted
                    || self.now + times().activate_before() >= life.not_after();
                match candidate {
                    Some(number) if is_urgent && self.is_everywhere(number) => {
                        Err(format!("{number} was not activated in time"))
                    }
                    None if is_urgent => Err("no successor was made in time".into()),
                    _ => Ok(()),
                }
            }
            Some(Due::Distribute) => {
                let number = candidate.ok_or("nothing to distribute")?;
                if !self.is_everywhere(number) {
                    return Err(format!("{number} is not everywhere"));
                }
                let mut lifecycle = self.lifecycle.clone();
                let told = lifecycle.distribute(&self.situation());
                self.lifecycle = lifecycle;
                self.set(number, S::Distributed);
                (told == Some(number))
                    .then_some(())
                    .ok_or_else(|| "another one".into())
            }
            // What is done of itself is what an operator could do without force.
            Some(Due::Step(step)) => {
                let before = self.model.len();
                self.take(step, false)?;
                let is_taken = step == RotationStep::Activate || self.model.len() != before;
                is_taken
                    .then_some(())
                    .ok_or_else(|| format!("{step} was due and not possible"))
            }
        }
    }

    fn happens(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Pass(minutes) => self.now += Duration::from_secs(60 * minutes),
            Event::Jump(minutes) => {
                let by = Duration::from_secs(60 * minutes.unsigned_abs());
                self.now = if minutes < 0 { self.now - by } else { self.now + by };
            }
            Event::Catches(who) => self.followers[who].1 = self.sequence,
            Event::Issue(minutes) => {
                let until = self.now + Duration::from_secs(60 * minutes);
                let last = self.last_leaves.entry(self.signer()).or_insert(until);
                *last = until.max(*last);
            }
            Event::Ask(step, force) => self.take(step, force)?,
            Event::Upkeep => self.upkeep()?,
            Event::Crash => {
                let kept = serde_json::to_string(&self.lifecycle).map_err(|error| error.to_string())?;
                self.lifecycle = serde_json::from_str(&kept).map_err(|error| error.to_string())?;
            }
        }
        self.agree()
    }

    fn agree(&self) -> Result<(), String> {
        if let Some(flaw) = self.lifecycle.flaw() {
            return Err(flaw);
        }
        let found: Vec<_> = self
            .lifecycle
            .lives()
            .iter()
            .map(|life| (life.number, life.state(), life.since()))
            .collect();
        let expected: Vec<_> = self
            .model
            .iter()
            .map(|(number, one)| (*number, one.state, one.since))
            .collect();
        if found != expected {
            return Err(format!("{found:?}, expected {expected:?}"));
        }
        let signs = self.lifecycle.signer().map(|signer| signer.number);
        (signs == Some(self.signer()) && self.lifecycle.last_number() == self.numbers)
            .then_some(())
            .ok_or_else(|| format!("{signs:?} signs, expected {}", self.signer()))
    }
}

proptest! {
    #[test]
    fn exactly_one_signs_nobody_is_left_behind_and_nothing_good_is_removed_whatever_happens(
        history in prop::collection::vec(events(), 1..80),
    ) {
        let mut world = World::new();
        for event in history {
            if let Err(why) = world.happens(event) {
                prop_assert!(false, "{event:?}: {why}");
            }
        }
        // From anywhere it goes on by itself, as long as who follows keeps up and clocks go forward.
        let since = world.lifecycle.lives().iter().map(|life| life.since());
        world.now = since.fold(world.now, SystemTime::max);
        let mut signed = std::collections::HashSet::new();
        for hour in 0..500 {
            for (_, in_force) in &mut world.followers {
                *in_force = world.sequence;
            }
            for _ in 0..6 {
                world.upkeep().map_err(TestCaseError::fail)?;
                world.agree().map_err(TestCaseError::fail)?;
            }
            let signer = world.lifecycle.signer().expect("one signs");
            signed.insert(signer.number);
            let leaf = world.now + times().longest_leaf;
            prop_assert!(hour < 4 || signer.not_after() > leaf, "what is signed now outlives its root");
            world.happens(Event::Issue(60)).map_err(TestCaseError::fail)?;
            world.now += 60 * MINUTE;
        }
        // Five hundred hours are two lives of a root, and in each the next one takes over.
        prop_assert!(signed.len() >= 3, "{signed:?}");
        prop_assert!(world.lifecycle.lives().len() <= 3);
    }
}
