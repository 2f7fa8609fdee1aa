//! What is decided when something happens.

use std::time::SystemTime;

use mesh_core::Version;
use mesh_core::split::SplitErrorKind;

use super::Rollout;
use super::action::{Action, Question};
use super::decision::{Cause, Change, shortened};
use super::input::{Ignored, Input};
use super::phase::{End, PauseReason, Phase, Step};
use super::session::{Endpoints, Progress};
use crate::analyzer::{Doubt, Verdict, Window};
use crate::log::{Entry, LogProblem};
use crate::plan::Plan;

/// As many windows as are kept: days at one every five seconds.
const MOST_WINDOWS: usize = 50_000;

type Handled = Result<(), Ignored>;

impl Rollout {
    pub(super) fn handle(&mut self, input: Input, now: SystemTime, actions: &mut Vec<Action>) -> Handled {
        match input {
            Input::Tick => self.tick(now, actions),
            Input::Endpoints { stable, canary } => self.endpoints(Endpoints { stable, canary }, now, actions),
            Input::Seen(window) => self.seen(window, now, actions),
            Input::NotMeasured { why } => self.not_measured(&why, now, actions),
            Input::Judged { question, verdict } => self.judged(question, &verdict, now, actions),
            Input::SplitSet { order } => self.split_set(order, now, actions),
            Input::SplitRefused { order, kind, message } => {
                self.split_refused(order, kind, &message, now, actions)
            }
            Input::Operator(command) => self.operator(command, now, actions),
            Input::Newer(version) => self.newer(&version, now, actions),
            Input::Left { why } => self.left(&why, now, actions),
            Input::Replan(plan) => self.replan(plan, now, actions),
        }
    }

    fn tick(&mut self, now: SystemTime, actions: &mut Vec<Action>) -> Handled {
        let plan = &self.state.plan;
        if self.session.progress == Progress::Refused {
            self.session.progress = Progress::Due;
        }
        let (took, allowed) = (self.session.clock, plan.stuck_after());
        if took > allowed && !self.state.stuck {
            self.decide(Change::CallStuck, Cause::Late { took, allowed }, now, actions);
        }
        if let Some(endpoints) = self.session.endpoints {
            // Those that were not given up right after a restart.
            self.give_up(endpoints, now, actions);
        }
        let plan = &self.state.plan;
        match self.state.phase {
            Phase::Running(Step::Starting) => {
                let (took, allowed) = (self.session.starting, plan.start_deadline());
                if took > allowed {
                    self.roll_back(Cause::Late { took, allowed }, now, actions);
                }
            }
            Phase::Running(Step::Baking) if plan.bake().is_zero() && self.is_in_force() => {
                self.succeed(now, actions);
            }
            Phase::RollingBack => {
                let (took, allowed) = (self.session.rolling_back, plan.rollback_deadline());
                if took > allowed {
                    let cause = match (self.session.refusal.clone(), self.session.endpoints) {
                        (Some(message), _) => Cause::SplitRefused { percent: 0, message },
                        (None, Some(endpoints)) if endpoints.stable == 0 => {
                            Cause::NoEndpoints { canary: false }
                        }
                        _ => Cause::Late { took, allowed },
                    };
                    self.decide(Change::Finish { end: End::Halted }, cause, now, actions);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn endpoints(&mut self, endpoints: Endpoints, now: SystemTime, actions: &mut Vec<Action>) -> Handled {
        self.session.endpoints = Some(endpoints);
        match self.state.phase {
            Phase::Running(Step::Starting) if endpoints.canary > 0 && endpoints.stable > 0 => {
                let cause = Cause::Ready {
                    endpoints: endpoints.canary,
                };
                self.decide(Change::Begin, cause, now, actions);
            }
            _ => self.give_up(endpoints, now, actions),
        }
        Ok(())
    }

    /// What is done about versions without endpoints that take requests.
    fn give_up(&mut self, endpoints: Endpoints, now: SystemTime, actions: &mut Vec<Action>) {
        if self.session.settling.is_some() {
            if !endpoints.bear(self.state.order.percent) {
                // They may be found well in a moment: then the shares are ordered again.
                self.session.progress = Progress::Due;
            }
            return;
        }
        match self.state.phase {
            Phase::Running(Step::Starting)
            | Phase::Paused {
                during: Step::Starting,
                ..
            }
            | Phase::RollingBack
            | Phase::Ended(_) => {}
            // Nobody is asked: requests that find no endpoint fail, whatever is thought of the version.
            Phase::Running(_) | Phase::Paused { .. } if endpoints.canary == 0 => {
                self.roll_back(Cause::NoEndpoints { canary: true }, now, actions);
            }
            Phase::Running(step) if endpoints.stable == 0 && step != Step::Baking => {
                self.doubt(
                    PauseReason::BaselineUnhealthy,
                    Cause::NoEndpoints { canary: false },
                    now,
                    actions,
                );
            }
            Phase::Running(_) | Phase::Paused { .. } => {}
        }
    }

    fn seen(&mut self, window: Window, now: SystemTime, actions: &mut Vec<Action>) -> Handled {
        match self.state.phase.step() {
            None => return Err(Ignored::RollingBack),
            Some(Step::Starting) => return Err(Ignored::OtherShare),
            Some(_) => {}
        }
        let evidence = &self.state.evidence;
        let stage = evidence.stage();
        if window.weight != self.state.order.percent || !self.is_in_force() {
            return Err(Ignored::OtherShare);
        }
        if window.from < stage.from || window.from < evidence.elapsed() {
            return Err(Ignored::Late);
        }
        if stage.number == 0 && window.from < stage.from.saturating_add(self.state.plan.warm_up()) {
            return Err(Ignored::WarmUp);
        }
        let windows = evidence.windows().len();
        if windows >= MOST_WINDOWS {
            if matches!(self.state.phase, Phase::Running(_)) {
                self.doubt(PauseReason::EvidenceFull, Cause::Full { windows }, now, actions);
            }
            return Err(Ignored::Full);
        }
        let is_measured = window.is_measured();
        self.record(Entry::Seen(window), now, actions)
            .map_err(|problem| match problem {
                LogProblem::Evidence(error) => Ignored::Window(error),
                _ => Ignored::Late,
            })?;
        if is_measured {
            self.session.outage = None;
            self.resume_as_measured(now, actions);
        }
        self.split_long_enough(now, actions);
        self.session.answered = None;
        actions.push(Action::Judge(self.state.question()));
        Ok(())
    }

    fn resume_as_measured(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        if let Phase::Paused {
            reason: PauseReason::MetricsUnavailable,
            ..
        } = self.state.phase
        {
            self.decide(Change::Resume, Cause::Measured, now, actions);
        }
    }

    fn not_measured(&mut self, why: &str, now: SystemTime, actions: &mut Vec<Action>) -> Handled {
        let lasted = *self.session.outage.get_or_insert_default();
        let watching = matches!(
            self.state.phase,
            Phase::Running(Step::Analyzing | Step::AwaitingPromotion | Step::Baking)
        );
        if watching && lasted >= self.state.plan.outage_patience() {
            let why = shortened(why, 500);
            let reason = PauseReason::MetricsUnavailable;
            self.decide(
                Change::Pause { reason },
                Cause::NotMeasured { why, lasted },
                now,
                actions,
            );
        }
        Ok(())
    }

    fn judged(
        &mut self,
        question: Question,
        verdict: &Verdict,
        now: SystemTime,
        actions: &mut Vec<Action>,
    ) -> Handled {
        if self.state.phase == Phase::RollingBack {
            return Err(Ignored::RollingBack);
        }
        // A window is answered once. What was asked before a decision is not an answer to what is asked after it.
        let answered = [self.session.answered, self.state.decided_on].contains(&Some(question));
        if question != self.state.question() || answered {
            return Err(Ignored::Late);
        }
        if self.state.evidence.windows().is_empty() || self.state.phase.step() == Some(Step::Starting) {
            return Err(Ignored::Late);
        }
        self.session.evidence = verdict.reason().evidence;
        let cause = Cause::verdict(verdict, self.state.sampled, self.state.requests);
        match verdict {
            Verdict::Rollback(_) if self.state.plan.auto_rollback() => self.roll_back(cause, now, actions),
            Verdict::Rollback(_) => self.doubt(PauseReason::Alarm, cause, now, actions),
            // What is neither good nor bad is what an A/B run is there to find out.
            Verdict::Inconclusive(Doubt::Between | Doubt::NotMeasured, _) | Verdict::Promote(_)
                if self.is_split() => {}
            Verdict::Inconclusive(doubt, _) => self.doubt((*doubt).into(), cause, now, actions),
            Verdict::Promote(_) if self.state.phase == Phase::Running(Step::Analyzing) => {
                self.went_well(cause, now, actions);
            }
            _ => {}
        }
        let baked = self.state.sampled >= self.state.plan.bake() && self.is_in_force();
        let healthy = matches!(verdict, Verdict::Promote(_) | Verdict::Continue(_));
        if self.state.phase == Phase::Running(Step::Baking) && baked && healthy {
            self.succeed(now, actions);
        }
        // A decision has begun something new to be asked; without one, the question stays answered.
        self.session.answered = Some(question);
        Ok(())
    }

    /// The analyzer lets the stage pass. It still takes its time, its requests, and endpoints to send more to.
    fn went_well(&mut self, cause: Cause, now: SystemTime, actions: &mut Vec<Action>) {
        let state = &self.state;
        let least = state
            .planned_stage()
            .and_then(|stage| stage.duration)
            .unwrap_or_default();
        let ready = self
            .session
            .endpoints
            .is_some_and(|endpoints| endpoints.canary > 0);
        if state.sampled < least || state.requests < state.plan.min_requests() || !ready {
            return;
        }
        if state.plan.auto_promote() || state.approved {
            let to = state.stage.saturating_add(1);
            self.decide(Change::Advance { to }, cause, now, actions);
        } else {
            self.decide(Change::AwaitPromotion, cause, now, actions);
        }
    }

    /// Whether it is an A/B run whose split is in force.
    fn is_split(&self) -> bool {
        let split = matches!(
            self.state.phase,
            Phase::Running(Step::Analyzing | Step::AwaitingPromotion)
        );
        split && self.state.plan.is_ab_test()
    }

    /// An A/B run goes on as long as it was to, and then waits for somebody.
    fn split_long_enough(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        let (sampled, stage) = (self.state.sampled, self.state.planned_stage());
        let planned = stage.and_then(|stage| stage.duration);
        let analyzing = self.state.phase == Phase::Running(Step::Analyzing);
        if self.is_split() && analyzing && planned.is_some_and(|planned| sampled >= planned) {
            self.decide(
                Change::AwaitPromotion,
                Cause::LongEnough { sampled },
                now,
                actions,
            );
        }
    }

    /// Pauses, unless it does already, or somebody went on in spite of it in this stage.
    fn doubt(&mut self, reason: PauseReason, cause: Cause, now: SystemTime, actions: &mut Vec<Action>) {
        let running = matches!(self.state.phase, Phase::Running(_));
        if running && !self.state.settled.contains(&reason) {
            self.decide(Change::Pause { reason }, cause, now, actions);
        }
    }

    pub(super) fn roll_back(&mut self, cause: Cause, now: SystemTime, actions: &mut Vec<Action>) {
        self.session.rolling_back = std::time::Duration::ZERO;
        self.decide(Change::RollBack, cause, now, actions);
    }

    fn succeed(&mut self, now: SystemTime, actions: &mut Vec<Action>) {
        let percent = self.state.order.percent;
        let end = End::Succeeded;
        self.decide(Change::Finish { end }, Cause::SplitSet { percent }, now, actions);
    }

    fn split_set(&mut self, order: u64, now: SystemTime, actions: &mut Vec<Action>) -> Handled {
        // An answer to an order of an earlier run is one to this, since it is the same.
        if order != self.state.order.number || self.is_in_force() {
            return Err(Ignored::Late);
        }
        self.session.progress = Progress::Confirmed;
        let percent = self.state.order.percent;
        match self.state.phase {
            Phase::RollingBack => {
                let end = if self.state.newer {
                    End::Superseded
                } else {
                    End::RolledBack
                };
                let cause = self.state.cause.clone().unwrap_or(Cause::SplitSet { percent });
                self.decide(Change::Finish { end }, cause, now, actions);
            }
            Phase::Running(Step::Baking) if self.state.plan.bake().is_zero() => self.succeed(now, actions),
            _ => {}
        }
        Ok(())
    }

    fn split_refused(
        &mut self,
        order: u64,
        kind: SplitErrorKind,
        message: &str,
        now: SystemTime,
        actions: &mut Vec<Action>,
    ) -> Handled {
        if order != self.state.order.number || self.is_in_force() {
            return Err(Ignored::Late);
        }
        let cause = Cause::SplitRefused {
            percent: self.state.order.percent,
            message: shortened(message, 500),
        };
        self.session.progress = Progress::Refused;
        self.session.refusal = Some(shortened(message, 500));
        match (kind, self.state.phase) {
            // Another tick may help.
            (SplitErrorKind::NotReady | SplitErrorKind::Unavailable, _) => {}
            (_, Phase::RollingBack) => self.decide(Change::Finish { end: End::Halted }, cause, now, actions),
            _ => self.roll_back(cause, now, actions),
        }
        Ok(())
    }

    fn newer(&mut self, version: &Version, now: SystemTime, actions: &mut Vec<Action>) -> Handled {
        if *version == self.state.canary {
            return Err(Ignored::Same);
        }
        if self.state.phase == Phase::RollingBack {
            return Err(Ignored::RollingBack);
        }
        let version = version.to_string();
        self.roll_back(Cause::Newer { version }, now, actions);
        Ok(())
    }

    fn left(&mut self, why: &str, now: SystemTime, actions: &mut Vec<Action>) -> Handled {
        if self.state.phase == Phase::RollingBack {
            return Err(Ignored::RollingBack);
        }
        let why = shortened(why, 500);
        self.roll_back(Cause::Left { why }, now, actions);
        Ok(())
    }

    fn replan(&mut self, plan: Box<Plan>, now: SystemTime, actions: &mut Vec<Action>) -> Handled {
        if self.state.phase == Phase::RollingBack {
            return Err(Ignored::RollingBack);
        }
        if *plan == self.state.plan {
            return Err(Ignored::Same);
        }
        let last = plan.last_stage() == self.state.stage;
        let baking = self.state.phase.step() == Some(Step::Baking);
        if !self.state.agrees(&plan) || (last != baking && self.state.phase.step() != Some(Step::Starting)) {
            return Err(Ignored::OtherStages);
        }
        self.decide(Change::Replan { plan }, Cause::Configuration, now, actions);
        Ok(())
    }
}
