//! Where a CA stands, for people.

use std::time::SystemTime;

use super::Inner;
use crate::authority::{CaError, CaGeneration, Follower, GenerationState, RotationStep};

/// Where a [`LocalCa`](super::LocalCa) stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaStatus {
    /// The sequence of the bundle, and the number of the revocation lists in it.
    pub sequence: u64,
    /// When those lists were signed.
    pub lists_signed_at: SystemTime,
    /// Every generation that is not gone, the oldest first.
    pub generations: Vec<CaGeneration>,
    /// Who follows the bundle by any process of the directory, with the sequence that is in force there.
    pub followers: Vec<(Follower, u64)>,
    /// What the CA does next by itself, and when, unless something holds it.
    pub next: Option<(RotationStep, SystemTime)>,
    /// What keeps the prepared generation from signing.
    pub held: Option<String>,
}

impl CaStatus {
    /// The next step of a planned rotation: what is prepared is activated, what has ended is removed, and else it begins.
    pub fn planned_step(&self, now: SystemTime) -> RotationStep {
        use GenerationState::{Distributed, Prepared};
        let is_prepared = |generation: &CaGeneration| matches!(generation.state, Prepared | Distributed);
        if self.generations.iter().any(is_prepared) {
            return RotationStep::Activate;
        }
        match self.next {
            Some((RotationStep::Remove, at)) if at <= now => RotationStep::Remove,
            _ => RotationStep::Prepare,
        }
    }
}

impl Inner {
    pub(super) fn status(&self) -> Result<CaStatus, CaError> {
        let followers = self.live_followers()?;
        let generations = self.generations()?;
        let book = self.read()?;
        let lifecycle = book.record.lifecycle();
        let situation = book.situation(self.clock.now(), &followers);
        let held = lifecycle.candidate().zip(lifecycle.hold(&situation));
        let held = held.map(|(candidate, hold)| hold.told(candidate.number));
        Ok(CaStatus {
            sequence: book.record.sequence(),
            lists_signed_at: book.record.listed_at(),
            next: lifecycle.next(&situation),
            held,
            generations,
            followers: followers.clone(),
        })
    }
}
