//! One rollout in virtual time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;

use super::Simulation;
use super::draw::binomial;
use super::report::{Figures, Line, Outcome, Report};
use super::scenario::{What, now};
use super::traffic::{Arm, edges};
use crate::analyzer::{Memory, Window};
use crate::log::{Entry, History, Request};
use crate::rollout::{Action, Command, End, Input, Operation, Phase, Rollout, Step};

/// When it begins, for a clock on a wall that nobody looks at.
const BEGINNING: SystemTime = SystemTime::UNIX_EPOCH;

pub(super) fn run(simulation: &Simulation, seed: u64) -> Report {
    let (service, stable, canary) = simulation.names.clone();
    let mut history = History::new(service);
    let request = Request::new(stable, canary, simulation.plan.clone());
    // Nothing has happened that could speak against it.
    let started = history.start(request, BEGINNING).is_ok();
    let mut world = World {
        simulation,
        at: Duration::ZERO,
        timeline: Vec::new(),
        memory: Memory::default(),
    };
    let mut hurt = 0;
    if let Some(rollout) = history.rollout_mut().filter(|_| started) {
        world.on(rollout, Input::Endpoints { stable: 1, canary: 1 });
        hurt = world.live(rollout, seed);
        return world.report(rollout, hurt);
    }
    Report {
        decision: Outcome::Undecided,
        reason: "it did not start".to_owned(),
        at_s: 0.0,
        weight: 0,
        timeline: world.timeline,
        users_hurt: hurt,
        arms: Figures::default(),
    }
}

struct World<'a> {
    simulation: &'a Simulation,
    at: Duration,
    timeline: Vec<Line>,
    memory: Memory,
}

impl World<'_> {
    /// Until it has ended, or the scenario has. How many it hurt comes out.
    fn live(&mut self, rollout: &mut Rollout, seed: u64) -> u64 {
        let scenario = &self.simulation.scenario;
        let interval = self.simulation.plan.interval();
        let edges = edges(self.simulation.plan.response_times());
        // Who was hurt is drawn apart, so that counting them changes no traffic.
        let (mut rng, mut blame) = (Rng::with_seed(seed), Rng::with_seed(!seed));
        let mut operator = scenario.operator.clone();
        operator.sort_by_key(|step| step.at);
        let mut operator = operator.into_iter().peekable();
        let mut changes = scenario.changes().into_iter().peekable();
        let mut arms = None;
        let mut hurt = 0_u64;
        loop {
            while let Some(step) = operator.next_if(|step| step.at <= self.at) {
                self.intervene(rollout, step.what);
            }
            if self.at >= scenario.duration || rollout.phase().has_ended() {
                return hurt;
            }
            if changes.next_if(|change| *change <= self.at).is_some() || arms.is_none() {
                while changes.next_if(|change| *change <= self.at).is_some() {}
                arms = Some(
                    [&scenario.arms.stable, &scenario.arms.canary]
                        .map(|arm| Arm::new(now(arm, self.at), &edges)),
                );
            }
            // A window ends where something changes.
            let mut until = self.at.saturating_add(interval).min(scenario.duration);
            until = changes.peek().map_or(until, |change| until.min(*change));
            until = operator.peek().map_or(until, |step| until.min(step.at));
            if let Some([stable, canary]) = &arms {
                let length = until.saturating_sub(self.at);
                let weight = if rollout.is_in_force() {
                    rollout.order().percent
                } else {
                    0
                };
                let requests = scenario.requests_per_second * length.as_secs_f64();
                let share = f64::from(weight) / 100.0;
                let mut seen = [(stable, 1.0 - share), (canary, share)]
                    .map(|(arm, share)| arm.traffic(requests * share, length, &mut rng));
                hurt = hurt.saturating_add(binomial(seen[1].errors, canary.blame(stable), &mut blame));
                if self.simulation.plan.sticky() {
                    // So many users that each request is another one's.
                    for traffic in &mut seen {
                        traffic.failed_users = Some(traffic.errors);
                        traffic.users = Some(traffic.requests);
                    }
                }
                let [stable, canary] = seen;
                let window = Window::new(self.at, until)
                    .with_weight(weight)
                    .with_stable(stable)
                    .with_canary(canary);
                self.at = until;
                self.on(rollout, Input::Tick);
                if rollout.takes_pinned() {
                    self.on(rollout, Input::Seen(window));
                }
            }
        }
    }

    fn intervene(&mut self, rollout: &mut Rollout, what: What) {
        let operation = match what {
            What::Promote => Operation::Promote {
                stage: rollout.stage(),
            },
            What::Pause => Operation::Pause,
            What::Resume => Operation::Resume,
            What::Rollback => Operation::Rollback,
        };
        let command = Command::new(operation, "the operator of the scenario");
        if let Some(why) = self.on(rollout, Input::Operator(command)) {
            self.tell(rollout, format!("{} changed nothing: {why}", what.word()));
        }
    }

    /// Does what is to be done at once: the router does as it is told, and the analyzer answers.
    fn on(&mut self, rollout: &mut Rollout, input: Input) -> Option<String> {
        let mut inputs = vec![input];
        let mut ignored = None;
        while let Some(input) = inputs.pop() {
            let outcome = rollout.on(input, BEGINNING.checked_add(self.at).unwrap_or(BEGINNING));
            ignored = ignored.or_else(|| outcome.ignored.map(|why| why.to_string()));
            for action in outcome.actions {
                match action {
                    Action::Persist { record, .. } => {
                        if let Entry::Decided(decision) = &record.entry {
                            self.tell(rollout, format!("{}: {}", decision.change, decision.cause));
                        }
                    }
                    Action::SetWeights { order, .. } => inputs.push(Input::SplitSet { order: order.number }),
                    Action::Judge(question) => {
                        let analyzer = Arc::clone(&self.simulation.analyzer);
                        let verdict = analyzer.judge_with(rollout.evidence(), &mut self.memory);
                        inputs.push(Input::Judged { question, verdict });
                    }
                    Action::Emit(_) => {}
                }
            }
        }
        ignored
    }

    fn tell(&mut self, rollout: &Rollout, event: String) {
        let samples = rollout.samples();
        self.timeline.push(Line {
            at_s: self.at.as_secs_f64(),
            state: rollout.phase().word().to_owned(),
            weight: rollout.order().percent,
            samples,
            // Rounded, for it is to be read.
            evidence: rollout
                .evidence_against()
                .map(|evidence| (evidence * 1000.0).round() / 1000.0),
            event,
        });
    }

    fn report(self, rollout: &Rollout, users_hurt: u64) -> Report {
        let decision = match rollout.phase() {
            Phase::Ended(End::Succeeded) => Outcome::Promoted,
            Phase::Ended(End::RolledBack | End::Superseded) => Outcome::RolledBack,
            _ => Outcome::Undecided,
        };
        let contrast = rollout.contrast();
        let stage = format!(
            "stage {} of {}",
            rollout.stage().saturating_add(1),
            rollout.plan().stages().len()
        );
        let reason = match (rollout.phase(), rollout.cause()) {
            (Phase::Running(Step::Analyzing | Step::AwaitingPromotion), _) if rollout.plan().is_ab_test() => {
                format!("an A/B run ends when somebody ends it: {contrast}")
            }
            (Phase::Running(Step::Analyzing), _) => format!(
                "the scenario was over in {stage}, {} requests after it began",
                rollout.samples(),
            ),
            (Phase::Running(Step::AwaitingPromotion), _) => {
                format!("the scenario was over while {stage} waited for somebody to promote it")
            }
            (Phase::Paused { reason, .. }, Some(cause)) => {
                format!("the scenario was over while {stage} was paused, since {reason}: {cause}")
            }
            (_, Some(cause)) => cause.to_string(),
            (_, None) => rollout.phase().word().to_owned(),
        };
        Report {
            decision,
            reason,
            at_s: self.at.as_secs_f64(),
            weight: rollout.order().percent,
            timeline: self.timeline,
            users_hurt,
            arms: Figures::of(rollout),
        }
    }
}
