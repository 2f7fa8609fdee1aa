//! The generations of a CA as a state machine. It reads no clock, keeps no key and writes nothing: a step is taken, and
//! whoever took it makes it last.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::stored::{Seconds, StoredState};
use super::times::{SKEW, Times};
use crate::authority::{Follower, GenerationState, RotationStep};

/// How long a generation waits, once it is in the bundle, for those to ask who have not yet: who follows asks every
/// few seconds, and who starts now has asked by then.
pub(super) const SETTLE: Duration = SKEW;

/// A generation, without its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Life {
    pub(super) number: u64,
    state: StoredState,
    since: Seconds,
    not_after: Seconds,
    /// The sequence of the first bundle that holds it.
    first_bundle: u64,
}

impl Life {
    pub(super) fn state(&self) -> GenerationState {
        self.state.0
    }

    pub(super) fn since(&self) -> SystemTime {
        self.since.time()
    }

    pub(super) fn not_after(&self) -> SystemTime {
        self.not_after.time()
    }

    pub(super) fn is_tainted(&self) -> bool {
        self.state() == GenerationState::Tainted
    }

    fn becomes(&mut self, state: GenerationState, now: SystemTime) {
        debug_assert!(self.state().may_become(state), "{} to {state}", self.state());
        self.state = StoredState(state);
        self.since = now.into();
    }
}

/// What a decision depends on besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'s> {
    pub(super) now: SystemTime,
    pub(super) times: Times,
    /// Who follows the bundle, each with the sequence of the one that is in force there.
    pub(super) followers: &'s [(Follower, u64)],
    /// Until when what a generation signed is good.
    pub(super) last_leaves: &'s BTreeMap<u64, SystemTime>,
}

/// What is to be done without anybody asking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Everybody has the prepared one.
    Distribute,
    /// A step that an operator could take too.
    Step(RotationStep),
}

/// Why a generation may not sign yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// These do not trust it yet: expected is this bundle or a later one.
    Behind(Vec<(Follower, u64)>, u64),
    /// Some may not have asked yet.
    Until(SystemTime),
}

/// The generations that are not gone, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lifecycle {
    lives: Vec<Life>,
    /// The highest number that was given.
    last: u64,
}

impl Lifecycle {
    /// The first generation, which signs.
    pub(super) fn begun(not_after: SystemTime, now: SystemTime) -> Self {
        let first = Life {
            number: 1,
            state: StoredState(GenerationState::Active),
            since: now.into(),
            not_after: not_after.into(),
            first_bundle: 1,
        };
        Self {
            lives: vec![first],
            last: 1,
        }
    }

    pub(super) fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// The highest number that was ever given.
    pub(super) fn last_number(&self) -> u64 {
        self.last
    }

    /// No number is given again up to this one.
    pub(super) fn reserve(&mut self, number: u64) {
        self.last = self.last.max(number);
    }

    /// The one that signs: the active one, or the tainted one until another is active.
    pub(super) fn signer(&self) -> Option<&Life> {
        self.signer_place().and_then(|place| self.lives.get(place))
    }

    fn signer_place(&self) -> Option<usize> {
        let of = |state| self.lives.iter().rposition(|life| life.state() == state);
        of(GenerationState::Active).or_else(|| of(GenerationState::Tainted))
    }

    /// The one that is to sign next.
    pub(super) fn candidate(&self) -> Option<&Life> {
        self.lives.iter().find(|life| is_candidate(life))
    }

    /// Those that signed once.
    fn replaced(&self) -> impl Iterator<Item = &Life> {
        let signer = self.signer().map(|signer| signer.number);
        self.lives
            .iter()
            .filter(move |life| !is_candidate(life) && Some(life.number) != signer)
    }

    /// What keeps the next one from signing. A timer alone never lets it: everybody who follows has to have it in force.
    pub(super) fn hold(&self, situation: &Situation<'_>) -> Option<Hold> {
        let candidate = self.candidate()?;
        let behind = |(_, in_force): &&(Follower, u64)| *in_force < candidate.first_bundle;
        let behind: Vec<_> = situation.followers.iter().filter(behind).cloned().collect();
        if !behind.is_empty() {
            return Some(Hold::Behind(behind, candidate.first_bundle));
        }
        let settled = candidate.since().checked_add(SETTLE)?;
        // Once it was everywhere, only who is behind holds it.
        (candidate.state() == GenerationState::Prepared && situation.now < settled)
            .then_some(Hold::Until(settled))
    }

    /// When a generation may go that was replaced.
    pub(super) fn removable_at(life: &Life, situation: &Situation<'_>) -> SystemTime {
        Times::removable_at(life.since(), situation.last_leaves.get(&life.number).copied())
    }

    /// When the next step of its own is due, if nothing holds it.
    pub(super) fn next(&self, situation: &Situation<'_>) -> Option<(RotationStep, SystemTime)> {
        let signer = self.signer()?;
        let before = |distance| {
            let at = signer.not_after().checked_sub(distance);
            match signer.is_tainted() {
                true => situation.now,
                false => at.unwrap_or(SystemTime::UNIX_EPOCH),
            }
        };
        let times = situation.times;
        let turn = match self.candidate() {
            Some(candidate) if is_useless(candidate, situation) => (RotationStep::Abort, situation.now),
            // One that was made early grows old while it waits.
            Some(candidate) => {
                let grown_old = candidate.not_after().checked_sub(times.take_over_before());
                let at = before(times.activate_before());
                (RotationStep::Activate, grown_old.map_or(at, |old| old.min(at)))
            }
            None => (RotationStep::Prepare, before(times.prepare_before())),
        };
        let removals = self.replaced().map(|life| Self::removable_at(life, situation));
        let removal = removals.min().map(|at| (RotationStep::Remove, at));
        Some(removal.filter(|removal| removal.1 < turn.1).unwrap_or(turn))
    }

    /// What is to be done now.
    pub(super) fn due(&self, situation: &Situation<'_>) -> Option<Due> {
        if let Some(candidate) = self.candidate()
            && candidate.state() == GenerationState::Prepared
            && self.hold(situation).is_none()
        {
            return Some(Due::Distribute);
        }
        let (step, at) = self.next(situation)?;
        let is_held = step == RotationStep::Activate && self.hold(situation).is_some();
        if at <= situation.now && !is_held {
            return Some(Due::Step(step));
        }
        // What waits for others keeps nobody from leaving.
        let can_go = self
            .replaced()
            .any(|life| Self::removable_at(life, situation) <= situation.now);
        can_go.then_some(Due::Step(RotationStep::Remove))
    }

    /// Everybody has the prepared generation in force: answers with its number.
    pub(super) fn distribute(&mut self, situation: &Situation<'_>) -> Option<u64> {
        if self.hold(situation).is_some() {
            return None;
        }
        let now = situation.now;
        let prepared = |life: &&mut Life| life.state() == GenerationState::Prepared;
        let life = self.lives.iter_mut().find(prepared)?;
        life.becomes(GenerationState::Distributed, now);
        Some(life.number)
    }

    /// Adds the next generation, whose root ends at `not_after`, and which is in the bundles from this one on.
    pub(super) fn prepare(
        &mut self,
        not_after: SystemTime,
        first_bundle: u64,
        now: SystemTime,
    ) -> Result<Life, String> {
        if let Some(candidate) = self.candidate() {
            return Err(format!(
                "generation {} is {} already: activate it or abort it",
                candidate.number,
                candidate.state()
            ));
        }
        let number = self.last.checked_add(1).ok_or("there is no number left")?;
        let life = Life {
            number,
            state: StoredState(GenerationState::Prepared),
            since: now.into(),
            not_after: not_after.into(),
            first_bundle,
        };
        self.last = number;
        self.lives.push(life.clone());
        Ok(life)
    }

    /// Takes any other step, and answers with the generation that it was about, as it is now.
    pub(super) fn take(
        &mut self,
        step: RotationStep,
        force: bool,
        situation: &Situation<'_>,
    ) -> Result<Life, String> {
        match step {
            RotationStep::Prepare => Err("a generation is prepared with its keys".into()),
            RotationStep::Activate => self.activate(force, situation),
            RotationStep::Taint => self.taint(situation.now),
            RotationStep::Remove => self.remove(force, situation),
            RotationStep::Abort => self.abort(situation.now),
        }
    }

    fn activate(&mut self, force: bool, situation: &Situation<'_>) -> Result<Life, String> {
        let number = self
            .candidate()
            .ok_or("no generation is prepared: prepare one")?
            .number;
        if let Some(hold) = self.hold(situation).filter(|_| !force) {
            return Err(hold.told(number));
        }
        let now = situation.now;
        if let Some(signer) = self.signer_place().and_then(|place| self.lives.get_mut(place))
            // A tainted one stays what it is, and no longer signs.
            && signer.state() == GenerationState::Active
        {
            signer.becomes(GenerationState::Retiring, now);
        }
        self.change(number, GenerationState::Active, now)
    }

    fn taint(&mut self, now: SystemTime) -> Result<Life, String> {
        let signer = self.signer().ok_or("no generation signs")?;
        if signer.is_tainted() {
            return Err(format!(
                "generation {} is tainted already: its successor signs as soon as everybody trusts it",
                signer.number
            ));
        }
        self.change(signer.number, GenerationState::Tainted, now)
    }

    fn remove(&mut self, force: bool, situation: &Situation<'_>) -> Result<Life, String> {
        let by_end = self
            .replaced()
            .min_by_key(|life| Self::removable_at(life, situation));
        let life = by_end.ok_or("no generation was replaced, so that none can be removed")?;
        let (number, at) = (life.number, Self::removable_at(life, situation));
        if at > situation.now && !force {
            return Err(format!(
                "what generation {number} signed may be good until {}, and is refused as soon as it is removed: wait \
                 until {}, or force it",
                told(situation.last_leaves.get(&number).copied().unwrap_or(at)),
                told(at)
            ));
        }
        let removed = self.change(number, GenerationState::Removed, situation.now)?;
        self.lives.retain(|life| life.number != number);
        Ok(removed)
    }

    fn abort(&mut self, now: SystemTime) -> Result<Life, String> {
        let candidate = self.candidate().ok_or("no generation is prepared")?;
        let number = candidate.number;
        let aborted = self.change(number, GenerationState::Aborted, now)?;
        self.lives.retain(|life| life.number != number);
        Ok(aborted)
    }

    fn change(&mut self, number: u64, state: GenerationState, now: SystemTime) -> Result<Life, String> {
        let found = self.lives.iter_mut().find(|life| life.number == number);
        let life = found.ok_or_else(|| format!("there is no generation {number}"))?;
        life.becomes(state, now);
        Ok(life.clone())
    }

    /// Why this cannot be what was written, if it cannot.
    pub(super) fn flaw(&self) -> Option<String> {
        let rising = self.lives.is_sorted_by(|a, b| a.number < b.number);
        let count = |state| self.lives.iter().filter(|life| life.state() == state).count();
        let candidates = self.lives.iter().filter(|life| is_candidate(life)).count();
        if !rising || self.lives.last().is_some_and(|life| life.number > self.last) {
            return Some("its generations are not in order".into());
        }
        if count(GenerationState::Active) > 1 || candidates > 1 || self.signer().is_none() {
            return Some("there is not exactly one generation that signs".into());
        }
        let gone = |life: &Life| !life.state().is_trusted();
        self.lives
            .iter()
            .any(gone)
            .then(|| "a generation in it is gone".into())
    }
}

/// Whether it would have to be replaced at the moment it takes over.
fn is_useless(candidate: &Life, situation: &Situation<'_>) -> bool {
    let last = candidate
        .not_after()
        .checked_sub(situation.times.activate_before());
    last.is_none_or(|last| last <= situation.now)
}

fn is_candidate(life: &Life) -> bool {
    matches!(
        life.state(),
        GenerationState::Prepared | GenerationState::Distributed
    )
}

impl Hold {
    /// What an operator is told who wants this generation to sign.
    pub(super) fn told(&self, number: u64) -> String {
        match self {
            Self::Behind(behind, expected) => {
                let named = behind.iter().take(5);
                let mut named: Vec<_> = named
                    .map(|(follower, in_force)| format!("{follower} goes by bundle {in_force}"))
                    .collect();
                if behind.len() > named.len() {
                    named.push(format!("{} more", behind.len() - named.len()));
                }
                format!(
                    "generation {number} is not trusted everywhere yet: {}; expected bundle {expected} or a later one. \
                     Wait for them, end them, or force it",
                    named.join(", ")
                )
            }
            Self::Until(at) => format!(
                "generation {number} is new, and who starts now may not have asked for it yet: wait until {}, or force it",
                told(*at)
            ),
        }
    }
}

/// A time in an error.
pub(super) fn told(time: SystemTime) -> String {
    let date = super::material::date(time).map(|date| {
        let (day, time) = (date.date(), date.time());
        format!(
            "{day}T{:02}:{:02}:{:02}Z",
            time.hour(),
            time.minute(),
            time.second()
        )
    });
    date.unwrap_or_else(|_| "after the year 9999".into())
}
