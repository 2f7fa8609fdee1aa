//! The rollout of a new version: what happens goes in, what is to be done comes out.

use std::time::{Duration, SystemTime};

use mesh_core::event::MeshEvent;
use mesh_core::split::Weights;
use mesh_core::{ServiceName, Version};

use crate::analyzer::{Contrast, Evidence, Observed};
use crate::log::{Entry, LogProblem, Record, Started};
use crate::plan::Plan;

mod action;
mod decide;
mod decision;
mod input;
mod operator;
mod phase;
mod session;
mod state;
mod status;

pub use action::{Action, Order, Outcome, Question};
pub use decision::{Cause, Change, Decision};
pub use input::{Command, Ignored, Input, Operation};
pub use phase::{End, PauseReason, Phase, Step};
pub use status::Status;

use session::{Progress, Session};
use state::State;

/// A rollout: a state machine without a clock, a network or a disk.
///
/// [`on`](Self::on) takes what happened and answers what is to be done. Each change of its state is a record that is to
/// be appended to the log before anything else is done; read back, the log makes the same rollout
/// ([`History`](crate::log::History)), which orders the same shares under the same numbers.
///
/// Time counts only while it is measured: a clock that jumps changes nothing, a stage takes as long as its evidence
/// covers, and what is paused has no deadline.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use mesh_canary::log::{History, Request};
/// use mesh_canary::plan::Plan;
/// use mesh_canary::rollout::{Action, Command, Input, Operation, Phase, Step};
///
/// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
/// let mut history = History::new("orders".parse()?);
/// let request = Request::new("v1".parse()?, "v2".parse()?, Plan::default());
/// let started = history.start(request, now)?;
/// assert!(matches!(started.actions[..], [Action::Persist { position: 0, .. }, ..]));
///
/// // As soon as the new version has an endpoint, it gets 5 %.
/// let rollout = history.rollout_mut().expect("one has started");
/// let outcome = rollout.on(Input::Endpoints { stable: 2, canary: 1 }, now);
/// let weights = outcome.actions.iter().find_map(|action| match action {
///     Action::SetWeights { weights, .. } => Some(weights.to_string()),
///     _ => None,
/// });
/// assert_eq!(weights.as_deref(), Some("orders: v1 95%, v2 5%"));
/// assert_eq!(rollout.phase(), Phase::Running(Step::Analyzing));
///
/// let _ = rollout.on(Input::Operator(Command::new(Operation::Rollback, "ann")), now);
/// assert_eq!(rollout.phase(), Phase::RollingBack);
/// assert_eq!(rollout.cause().expect("there is one").to_string(), "ann said so");
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rollout {
    state: State,
    session: Session,
}

impl Rollout {
    /// What a record of the start comes to.
    pub(crate) fn started(position: u64, record: &Record, started: &Started) -> Self {
        Self {
            state: State::new(position, record, started),
            session: Session::at(record.at),
        }
    }

    /// Takes the next record of the log.
    pub(crate) fn read(&mut self, position: u64, record: &Record) -> Result<(), LogProblem> {
        self.state.apply(position, record)?;
        self.session = Session::resumed(record.at);
        Ok(())
    }

    /// Something happened. What is to be done comes out, in the order in which it is to be done.
    pub fn on(&mut self, input: Input, now: SystemTime) -> Outcome {
        let step = self.session.advance(now);
        self.session.settle(step);
        let mut outcome = Outcome::default();
        if self.state.phase.has_ended() {
            outcome.ignored = Some(Ignored::Ended);
            return outcome;
        }
        match self.session.outage {
            Some(lasted) if matches!(self.state.phase, Phase::Running(_)) => {
                self.session.outage = Some(lasted.saturating_add(step));
            }
            _ => {}
        }
        match self.state.phase {
            Phase::Running(Step::Starting) => {
                self.session.starting = self.session.starting.saturating_add(step);
            }
            Phase::RollingBack => {
                self.session.rolling_back = self.session.rolling_back.saturating_add(step);
            }
            _ => {}
        }
        outcome.ignored = self.handle(input, now, &mut outcome.actions).err();
        self.order_what_is_due(&mut outcome.actions);
        outcome
    }

    /// What is to be done after a restart, besides what later inputs bring: what was asked before is asked again.
    /// The shares are ordered again, under their old number, as soon as the endpoints are known.
    pub fn resumed(&self) -> Outcome {
        let question = self.state.question();
        let open = self.state.decided_on != Some(question) && self.state.phase.step().is_some();
        let asked = open && !self.state.evidence.windows().is_empty();
        Outcome {
            actions: asked.then_some(Action::Judge(question)).into_iter().collect(),
            ignored: None,
        }
    }

    /// Makes a decision: the only way in which anything changes, besides evidence.
    fn decide(&mut self, change: Change, cause: Cause, now: SystemTime, actions: &mut Vec<Action>) {
        let event = self.event_of(&change, &cause);
        let orders = self.state.order.number;
        // What is decided here may be decided here: reading it back is the same function.
        let recorded = self.record(Entry::Decided(Decision { change, cause }), now, actions);
        debug_assert_eq!(recorded, Ok(()));
        if self.state.order.number != orders {
            self.session.progress = Progress::Due;
            self.session.refusal = None;
        }
        self.session.answered = None;
        actions.extend(event.map(Action::Emit));
    }

    fn record(&mut self, entry: Entry, now: SystemTime, actions: &mut Vec<Action>) -> Result<(), LogProblem> {
        let position = self.state.position.saturating_add(1);
        let record = Record {
            at: self.session.clock,
            written: now.max(SystemTime::UNIX_EPOCH),
            entry,
        };
        self.state.apply(position, &record)?;
        actions.push(Action::Persist {
            position,
            record: Box::new(record),
        });
        Ok(())
    }

    fn event_of(&self, change: &Change, cause: &Cause) -> Option<MeshEvent> {
        let (service, version) = (self.state.service.clone(), self.state.canary.clone());
        let cause_of = || cause.to_string().into();
        let step = |stage: usize| {
            let weight = self.state.plan.stages().get(stage)?.weight;
            Some(MeshEvent::CanaryStep {
                service: service.clone(),
                version: version.clone(),
                stage: stage.saturating_add(1),
                weight,
                cause: cause_of(),
            })
        };
        let cause = cause_of;
        match change {
            Change::Begin => step(0),
            Change::Advance { to } => step(*to),
            Change::AwaitPromotion => Some(MeshEvent::CanaryPaused {
                service,
                version,
                cause: match self.state.plan.is_ab_test() {
                    true => format!("it waits for somebody to decide: {}", cause()),
                    false => format!("the stage went well and waits to be promoted: {}", cause()),
                }
                .into(),
            }),
            Change::Pause { reason } => Some(MeshEvent::CanaryPaused {
                service,
                version,
                cause: format!("{reason}: {}", cause()).into(),
            }),
            Change::Resume => Some(MeshEvent::CanaryResumed {
                service,
                version,
                cause: cause(),
            }),
            Change::CallStuck => Some(MeshEvent::CanaryStuck {
                service,
                version,
                running_for: self.session.clock,
            }),
            Change::Finish { end: End::Succeeded } => Some(MeshEvent::CanaryPromoted {
                service,
                version,
                cause: cause(),
            }),
            Change::Finish { end: End::Halted } => Some(MeshEvent::CanaryHalted {
                service,
                version,
                cause: cause(),
            }),
            Change::Finish { .. } => Some(MeshEvent::CanaryRolledBack {
                service,
                version,
                // Why it was rolled back, not that the router did as it was told.
                cause: self
                    .state
                    .cause
                    .as_ref()
                    .map_or_else(cause, |cause| cause.to_string().into()),
            }),
            Change::Approve => Some(MeshEvent::CanaryApproved {
                service,
                version,
                cause: cause(),
            }),
            Change::RollBack => Some(MeshEvent::CanaryRollingBack {
                service,
                version,
                cause: cause(),
            }),
            Change::Replan { .. } => Some(MeshEvent::CanaryReplanned {
                service,
                version,
                cause: cause(),
            }),
        }
    }

    /// Tells the router, unless that would send requests to a version without endpoints.
    fn order_what_is_due(&mut self, actions: &mut Vec<Action>) {
        let order = self.state.order;
        let bears = self
            .session
            .endpoints
            .is_some_and(|endpoints| endpoints.bear(order.percent));
        // Before the first stage there is nothing to order.
        let wanted =
            !matches!(self.state.phase.step(), Some(Step::Starting)) && !self.state.phase.has_ended();
        if self.session.progress != Progress::Due || !bears || !wanted {
            return;
        }
        if let Some(weights) = self.weights() {
            self.session.progress = Progress::Sent;
            actions.push(Action::SetWeights { order, weights });
        }
    }

    /// The shares as they should be.
    pub fn weights(&self) -> Option<Weights> {
        let versions = (self.state.stable.clone(), self.state.canary.clone());
        Weights::two(self.state.service.clone(), versions, self.state.order.percent).ok()
    }

    /// The service.
    pub fn service(&self) -> &ServiceName {
        &self.state.service
    }

    /// The version that had the traffic before.
    pub fn stable(&self) -> &Version {
        &self.state.stable
    }

    /// The version that is rolled out.
    pub fn canary(&self) -> &Version {
        &self.state.canary
    }

    /// How it goes.
    pub fn plan(&self) -> &Plan {
        &self.state.plan
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.state.phase
    }

    /// The stage it is in, counted from 0.
    pub fn stage(&self) -> usize {
        self.state.stage
    }

    /// The share that was ordered last.
    pub fn order(&self) -> Order {
        self.state.order
    }

    /// Whether that share is in force, so that what is seen from now on can be counted at it.
    pub fn is_in_force(&self) -> bool {
        self.session.progress == Progress::Confirmed
    }

    /// Why it is where it is.
    pub fn cause(&self) -> Option<&Cause> {
        self.state.cause.as_ref()
    }

    /// How long this stage was looked at, so far as it counts.
    pub fn sampled(&self) -> Duration {
        self.state.sampled
    }

    /// When it began, as the clock on the wall showed.
    pub fn begun(&self) -> SystemTime {
        self.state.begun
    }

    /// How many requests of the new version were seen in this stage.
    pub fn samples(&self) -> u64 {
        self.state.requests
    }

    /// Everything that was seen.
    pub fn evidence(&self) -> &Evidence {
        &self.state.evidence
    }

    /// What both versions are compared by: what was seen in this stage; in an A/B run, what was seen while its split lasted,
    /// also when that is over.
    pub fn compared(&self) -> Observed {
        match self.split() {
            Some(weight) => self.state.evidence.at_weight(weight),
            None => self.state.evidence.in_stage(),
        }
    }

    /// How both versions compare by that.
    pub fn contrast(&self) -> Contrast {
        let weight = self.split().unwrap_or_else(|| self.state.evidence.stage().weight);
        Contrast::of(&self.compared(), weight, self.state.plan.sticky())
    }

    /// The share of an A/B run, in percent.
    fn split(&self) -> Option<u8> {
        let plan = &self.state.plan;
        let first = plan.stages().first().filter(|_| plan.is_ab_test())?;
        Some(first.weight)
    }

    /// The position of its last record in the log.
    pub fn position(&self) -> u64 {
        self.state.position
    }

    /// How long it has been going on at this moment, without time in which nobody counted: what windows are
    /// measured in.
    pub fn clock_at(&self, now: SystemTime) -> Duration {
        self.session.clock_at(now)
    }

    /// Whether requests may choose their version by a header or a cookie. Not after its end, when nothing of a
    /// rollout is left but one version.
    pub fn takes_pinned(&self) -> bool {
        self.state.phase.step().is_some_and(|step| step != Step::Starting)
    }
}

/// Two are alike if a crash would not tell them apart.
impl PartialEq for Rollout {
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state
    }
}

#[cfg(test)]
mod tests;
