//! The state of a rollout: what its log comes to.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use mesh_core::{ServiceName, Version};

use super::action::{Order, Question};
use super::decision::{Cause, Change, Decision};
use super::phase::{End, PauseReason, Phase, Step};
use crate::analyzer::{Evidence, Stage, Window};
use crate::log::{Entry, LogProblem, Record, Started};
use crate::plan::{Plan, PlanStage};

/// All that a crash must not lose. Nothing changes it but [`apply`](Self::apply).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub(super) service: ServiceName,
    pub(super) stable: Version,
    pub(super) canary: Version,
    pub(super) plan: Plan,
    pub(super) begun: SystemTime,
    /// The position of its last record.
    pub(super) position: u64,
    /// When that was, since the rollout began.
    pub(super) at: Duration,
    pub(super) phase: Phase,
    pub(super) stage: usize,
    pub(super) order: Order,
    /// How long this stage was looked at while it went on.
    pub(super) sampled: Duration,
    /// How many requests of the canary were seen in this stage.
    pub(super) requests: u64,
    pub(super) approved: bool,
    /// What somebody went on in spite of, in this stage.
    pub(super) settled: BTreeSet<PauseReason>,
    pub(super) evidence: Evidence,
    /// The newest question whose answer decided something: it is not asked again.
    pub(super) decided_on: Option<Question>,
    pub(super) newer: bool,
    pub(super) stuck: bool,
    /// Why it is where it is.
    pub(super) cause: Option<Cause>,
}

impl State {
    pub(super) fn new(position: u64, record: &Record, started: &Started) -> Self {
        let planned = started.plan.length();
        Self {
            service: started.service.clone(),
            stable: started.stable.clone(),
            canary: started.canary.clone(),
            plan: started.plan.clone(),
            begun: record.written,
            position,
            at: record.at,
            phase: Phase::Running(Step::Starting),
            stage: 0,
            order: Order {
                number: position,
                percent: 0,
            },
            sampled: Duration::ZERO,
            requests: 0,
            approved: false,
            settled: BTreeSet::new(),
            evidence: Evidence::new(Stage::new(0, 0, record.at)).with_planned(planned),
            decided_on: None,
            newer: false,
            stuck: false,
            cause: None,
        }
    }

    pub(super) fn planned_stage(&self) -> Option<&PlanStage> {
        self.plan.stages().get(self.stage)
    }

    pub(super) fn question(&self) -> Question {
        Question {
            stage: self.stage,
            until: self.evidence.elapsed(),
        }
    }

    /// Takes the next record. If it is refused, nothing has changed.
    pub(super) fn apply(&mut self, position: u64, record: &Record) -> Result<(), LogProblem> {
        match &record.entry {
            Entry::Started(_) => return Err(LogProblem::Running),
            Entry::Seen(window) => self.see(window)?,
            Entry::Decided(decision) => self.decided(position, record.at, decision)?,
        }
        self.position = position;
        self.at = record.at;
        Ok(())
    }

    fn see(&mut self, window: &Window) -> Result<(), LogProblem> {
        if self.phase.has_ended() {
            return Err(LogProblem::Ended);
        }
        self.evidence.push(window.clone()).map_err(LogProblem::Evidence)?;
        let anybody = window.canary.requests > 0 || window.stable.requests > 0;
        let counts = matches!(self.phase, Phase::Running(Step::Analyzing | Step::Baking));
        if anybody && counts {
            self.sampled = self.sampled.saturating_add(window.length());
        }
        self.requests = self.requests.saturating_add(window.canary.requests);
        Ok(())
    }

    fn decided(&mut self, position: u64, at: Duration, decision: &Decision) -> Result<(), LogProblem> {
        if self.phase.has_ended() {
            return Err(LogProblem::Ended);
        }
        let step = self.phase.step();
        let question = self.question();
        match (&decision.change, self.phase) {
            (Change::Begin, Phase::Running(Step::Starting)) => self.enter(0, position, at)?,
            (Change::Approve, _) if step == Some(Step::Analyzing) => self.approved = true,
            (Change::AwaitPromotion, Phase::Running(Step::Analyzing)) => {
                self.phase = Phase::Running(Step::AwaitingPromotion);
            }
            (Change::Advance { to }, _)
                if matches!(step, Some(Step::Analyzing | Step::AwaitingPromotion)) && *to > self.stage =>
            {
                self.enter(*to, position, at)?;
            }
            (&Change::Pause { reason }, _) => {
                let during = step.ok_or(LogProblem::Change)?;
                self.phase = Phase::Paused { reason, during };
            }
            (Change::Resume, Phase::Paused { reason, during }) => {
                self.settled.insert(reason);
                self.phase = Phase::Running(during);
            }
            (Change::RollBack, _) if step.is_some() => {
                self.order = Order {
                    number: position,
                    percent: 0,
                };
                self.newer = matches!(decision.cause, Cause::Newer { .. });
                self.phase = Phase::RollingBack;
            }
            (&Change::Finish { end }, phase) if can_end(phase, end) => self.phase = Phase::Ended(end),
            (Change::Replan { plan }, _) if step.is_some() && self.agrees(plan) => {
                self.plan = (**plan).clone()
            }
            (Change::CallStuck, _) => {
                self.stuck = true;
                return Ok(());
            }
            _ => return Err(LogProblem::Change),
        }
        if matches!(decision.cause, Cause::Verdict { .. }) {
            self.decided_on = Some(question);
        }
        self.cause = Some(decision.cause.clone());
        Ok(())
    }

    /// Whether what it has been through is the same by this plan.
    pub(super) fn agrees(&self, plan: &Plan) -> bool {
        // Before the first stage began, all stages may still be others.
        self.phase.step() == Some(Step::Starting) || self.plan.agrees_until(plan, self.stage)
    }

    fn enter(&mut self, stage: usize, position: u64, at: Duration) -> Result<(), LogProblem> {
        let percent = self
            .plan
            .stages()
            .get(stage)
            .ok_or(LogProblem::NoStage(stage))?
            .weight;
        self.stage = stage;
        self.order = Order {
            number: position,
            percent,
        };
        self.phase = Phase::Running(if stage == self.plan.last_stage() {
            Step::Baking
        } else {
            Step::Analyzing
        });
        self.sampled = Duration::ZERO;
        self.requests = 0;
        self.approved = false;
        self.settled.clear();
        self.evidence.enter(Stage::new(stage, percent, at));
        Ok(())
    }
}

fn can_end(phase: Phase, end: End) -> bool {
    match end {
        End::Succeeded => phase == Phase::Running(Step::Baking),
        End::RolledBack | End::Halted | End::Superseded => phase == Phase::RollingBack,
    }
}
