//! What people may want of a rollout.

use std::time::SystemTime;

use super::Rollout;
use super::action::Action;
use super::decision::{Cause, Change, shortened};
use super::input::{Command, Ignored, Operation};
use super::phase::{PauseReason, Phase, Step};

impl Rollout {
    pub(super) fn operator(
        &mut self,
        command: Command,
        now: SystemTime,
        actions: &mut Vec<Action>,
    ) -> Result<(), Ignored> {
        if self.state.phase == Phase::RollingBack {
            return Err(Ignored::RollingBack);
        }
        let cause = Cause::Operator {
            who: shortened(&command.who, 200),
            why: command.why.map(|why| shortened(&why, 500)),
        };
        let change = match command.operation {
            Operation::Rollback => {
                self.roll_back(cause, now, actions);
                return Ok(());
            }
            Operation::Pause => self.pause()?,
            Operation::Resume => self.resume()?,
            Operation::Promote { stage } => self.promote(stage)?,
            Operation::PromoteFully => self.promote_fully()?,
        };
        self.decide(change, cause, now, actions);
        Ok(())
    }

    fn pause(&self) -> Result<Change, Ignored> {
        let manual = PauseReason::Manual;
        match self.state.phase {
            Phase::Paused { reason, .. } if reason == manual => Err(Ignored::Paused),
            // It waits already, but must not go on by itself.
            _ => Ok(Change::Pause { reason: manual }),
        }
    }

    fn resume(&self) -> Result<Change, Ignored> {
        match self.state.phase {
            Phase::Paused { .. } => Ok(Change::Resume),
            _ => Err(Ignored::NotPaused),
        }
    }

    fn promote(&self, stage: usize) -> Result<Change, Ignored> {
        let state = &self.state;
        if stage != state.stage {
            return Err(Ignored::OtherStage { stage: state.stage });
        }
        match state.phase {
            Phase::Running(Step::Starting) => Err(Ignored::NotReady),
            // No verdict is waited for: somebody has looked at both arms.
            Phase::Running(Step::Analyzing) if state.plan.is_ab_test() => self.next(),
            Phase::Running(Step::Analyzing) if state.approved => Err(Ignored::Approved),
            Phase::Running(Step::Analyzing) => Ok(Change::Approve),
            Phase::Running(Step::AwaitingPromotion) => self.next(),
            Phase::Paused { reason, during } => match (reason, during) {
                (_, Step::Starting) => Err(Ignored::NotReady),
                (_, Step::Baking) => Err(Ignored::LastStage),
                (PauseReason::Manual | PauseReason::MetricsUnavailable | PauseReason::EvidenceFull, _) => {
                    Err(Ignored::ResumeFirst)
                }
                _ => self.next(),
            },
            Phase::Running(Step::Baking) => Err(Ignored::LastStage),
            Phase::RollingBack => Err(Ignored::RollingBack),
            Phase::Ended(_) => Err(Ignored::Ended),
        }
    }

    /// The next stage, if there was something to see in this one and there is somebody to send more to.
    fn next(&self) -> Result<Change, Ignored> {
        let (seen, needed) = (self.state.requests, self.state.plan.min_requests());
        if seen < needed {
            return Err(Ignored::TooFewRequests { seen, needed });
        }
        self.is_ready()?;
        Ok(Change::Advance {
            to: self.state.stage.saturating_add(1),
        })
    }

    fn promote_fully(&self) -> Result<Change, Ignored> {
        match self.state.phase.step() {
            None => Err(Ignored::RollingBack),
            Some(Step::Starting) => Err(Ignored::NotReady),
            Some(Step::Baking) => Err(Ignored::LastStage),
            Some(Step::Analyzing | Step::AwaitingPromotion) => {
                self.is_ready()?;
                Ok(Change::Advance {
                    to: self.state.plan.last_stage(),
                })
            }
        }
    }

    fn is_ready(&self) -> Result<(), Ignored> {
        match self.session.endpoints {
            Some(endpoints) if endpoints.canary > 0 => Ok(()),
            _ => Err(Ignored::NotReady),
        }
    }
}
