//! A world around a rollout: a router, a log on a disk, endpoints, people, and a clock that does not behave.

use std::time::{Duration, SystemTime};

use mesh_core::ServiceName;
use mesh_core::metric::Traffic;
use mesh_core::split::{SplitErrorKind, Weights};
use proptest::prelude::*;

use crate::analyzer::{Doubt, Reason, Verdict, Window};
use crate::log::{Entry, History, Record, Request};
use crate::plan::{Plan, PlanStage};
use crate::rollout::{Action, Command, Decision, Input, Operation, Order, Outcome, Question, Rollout};

pub(super) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn service() -> ServiceName {
    "orders".parse().expect("a name")
}

/// One thing that happens in the world.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Tick(u64),
    Jump(i64),
    Endpoints(usize, usize),
    Window {
        seconds: u64,
        requests: u64,
        errors: u64,
    },
    Answer(Said),
    OldAnswer(usize, Said),
    OldWindow(usize),
    OddWindow(u8, u64),
    Confirm,
    OldConfirm(u64),
    Refuse(SplitErrorKind),
    Operator(Operation),
    NotMeasured(u64),
    Newer(u8),
    Left,
    Replan(u8),
    /// The process dies and comes back.
    Crash,
    /// It dies between a decision and its record.
    CrashBefore(Box<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    Promote,
    Continue,
    Between,
    Baseline,
    Rollback,
}

impl Said {
    pub(super) fn verdict(self) -> Verdict {
        let reason = Reason::default();
        match self {
            Self::Promote => Verdict::Promote(reason),
            Self::Continue => Verdict::Continue(reason),
            Self::Between => Verdict::Inconclusive(Doubt::Between, reason),
            Self::Baseline => Verdict::Inconclusive(Doubt::BaselineUnhealthy, reason),
            Self::Rollback => Verdict::Rollback(reason),
        }
    }
}

pub(super) fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        9 => Just(Said::Promote),
        3 => Just(Said::Continue),
        1 => Just(Said::Between),
        1 => Just(Said::Baseline),
        1 => Just(Said::Rollback),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0..3_usize).prop_map(|stage| Operation::Promote { stage }),
        1 => Just(Operation::PromoteFully),
        2 => Just(Operation::Pause),
        3 => Just(Operation::Resume),
        1 => Just(Operation::Rollback),
    ]
}

fn refusal() -> impl Strategy<Value = SplitErrorKind> {
    prop_oneof![
        8 => Just(SplitErrorKind::Unavailable),
        2 => Just(SplitErrorKind::NotReady),
        1 => Just(SplitErrorKind::UnknownVersion),
        1 => Just(SplitErrorKind::Superseded),
    ]
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let event = prop_oneof![
        5 => (0..40_u64).prop_map(Event::Tick),
        1 => (-3600..3600_i64).prop_map(Event::Jump),
        1 => (0..3_usize, 0..3_usize).prop_map(|(stable, canary)| Event::Endpoints(stable, canary)),
        5 => Just(Event::Endpoints(2, 1)),
        20 => (1..25_u64, 0..40_u64, 0..3_u64)
            .prop_map(|(seconds, requests, errors)| Event::Window { seconds, requests, errors: errors.min(requests) }),
        20 => said().prop_map(Event::Answer),
        1 => (0..8_usize, said()).prop_map(|(n, said)| Event::OldAnswer(n, said)),
        1 => (0..8_usize).prop_map(Event::OldWindow),
        1 => (prop_oneof![Just(10), Just(50), 0..=100_u8], 0..200_u64).prop_map(|(weight, from)| Event::OddWindow(weight, from)),
        16 => Just(Event::Confirm),
        1 => (0..30_u64).prop_map(Event::OldConfirm),
        1 => refusal().prop_map(Event::Refuse),
        3 => operation().prop_map(Event::Operator),
        1 => (0..60_u64).prop_map(Event::NotMeasured),
        1 => prop_oneof![4 => Just(Event::Newer(2)), 1 => Just(Event::Newer(3)), 1 => Just(Event::Left)],
        1 => (0..4_u8).prop_map(Event::Replan),
        1 => Just(Event::Crash),
    ];
    prop_oneof![
        12 => event.clone(),
        1 => event.prop_map(|event| Event::CrashBefore(Box::new(event))),
    ]
}

pub(super) fn plans() -> impl Strategy<Value = Plan> {
    let bools = (any::<bool>(), prop::bool::weighted(0.6));
    (
        bools,
        prop_oneof![2 => Just(0), 1 => Just(15_u64)],
        prop_oneof![3 => Just(0), 1 => Just(10_u64)],
    )
        .prop_map(|((promote, rollback), bake, warm_up)| plan(promote, rollback, bake, warm_up))
}

/// A run of which somebody decides how it ends.
pub(super) fn ab_plans() -> impl Strategy<Value = Plan> {
    (any::<bool>(), prop_oneof![Just(0), Just(10_u64)]).prop_map(|(rollback, warm_up)| {
        Plan::builder()
            .ab_test(50, s(40))
            .auto_rollback(rollback)
            .warm_up(s(warm_up))
            .min_requests(20)
            .start_deadline(s(120))
            .outage_patience(s(30))
            .rollback_deadline(s(30))
            .stuck_after(s(400))
            .build()
            .expect("a valid plan")
    })
}

pub(super) fn plan(auto_promote: bool, auto_rollback: bool, bake: u64, warm_up: u64) -> Plan {
    Plan::builder()
        .stages([
            PlanStage::new(10, s(20)),
            PlanStage::new(50, s(20)),
            PlanStage::full(),
        ])
        .auto_promote(auto_promote)
        .auto_rollback(auto_rollback)
        .bake(s(bake))
        .warm_up(s(warm_up))
        .min_requests(20)
        .start_deadline(s(120))
        .outage_patience(s(30))
        .rollback_deadline(s(30))
        .stuck_after(s(400))
        .build()
        .expect("a valid plan")
}

/// Remembers the highest order, as a router that fences old ones does.
#[derive(Debug, Default)]
pub(super) struct Router {
    pub(super) highest: u64,
    pub(super) percent: u8,
    pub(super) refused: u64,
}

impl Router {
    pub(super) fn set(&mut self, order: Order) -> bool {
        let current = order.number >= self.highest;
        if current {
            self.highest = order.number;
            self.percent = order.percent;
        } else {
            self.refused += 1;
        }
        current
    }
}

/// What came of an event.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) input: Option<Input>,
    pub(super) decisions: Vec<Decision>,
    pub(super) orders: Vec<(Order, Weights)>,
    pub(super) records: usize,
    pub(super) crashed: bool,
    pub(super) outcome: Outcome,
}

pub(super) struct World {
    pub(super) history: History,
    pub(super) log: Vec<(u64, Record)>,
    pub(super) router: Router,
    pub(super) now: SystemTime,
    /// What the rollout was told last since it came back.
    pub(super) endpoints: Option<(usize, usize)>,
    pub(super) asked: Vec<Question>,
    pub(super) windows: Vec<Window>,
    pub(super) sent: Option<Order>,
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let mut world = Self {
            history: History::new(service()),
            log: Vec::new(),
            router: Router::default(),
            now: SystemTime::UNIX_EPOCH + s(1_000_000),
            endpoints: None,
            asked: Vec::new(),
            windows: Vec::new(),
            sent: None,
        };
        world.start("v2", plan, false).expect("nothing is under way");
        world
    }

    pub(super) fn start(&mut self, canary: &str, plan: Plan, retry: bool) -> Result<(), String> {
        let stable = self.history.stable_version().cloned();
        let stable = stable.unwrap_or_else(|| "v1".parse().expect("a version"));
        let request = Request::new(stable, canary.parse().expect("a version"), plan).retry(retry);
        let outcome = self
            .history
            .start(request, self.now)
            .map_err(|error| error.to_string())?;
        self.take(outcome);
        Ok(())
    }

    pub(super) fn rollout(&self) -> &Rollout {
        self.history.rollout().expect("one has started")
    }

    pub(super) fn folded(&self) -> History {
        History::read(service(), self.log.iter().cloned()).expect("its own log")
    }

    fn take(&mut self, outcome: Outcome) -> Came {
        let mut came = Came::default();
        for action in outcome.actions.clone() {
            match action {
                Action::Persist { position, record } => {
                    came.records += 1;
                    if let Entry::Decided(decision) = &record.entry {
                        came.decisions.push(decision.clone());
                    }
                    self.log.push((position, *record));
                }
                Action::SetWeights { order, weights } => {
                    assert!(self.router.set(order), "an order of the one in charge is refused");
                    self.sent = Some(order);
                    came.orders.push((order, weights));
                }
                Action::Judge(question) => self.asked.push(question),
                Action::Emit(_) => {}
            }
        }
        came.outcome = outcome;
        came
    }

    pub(super) fn on(&mut self, input: Input) -> Came {
        let rollout = self.history.rollout_mut().expect("one has started");
        let outcome = rollout.on(input.clone(), self.now);
        if let Input::Endpoints { stable, canary } = input {
            self.endpoints = Some((stable, canary));
        }
        let mut came = self.take(outcome);
        came.input = Some(input);
        came
    }

    pub(super) fn crash(&mut self) -> Came {
        self.history = self.folded();
        self.endpoints = None;
        let resumed = self.rollout().resumed();
        let mut came = self.take(resumed);
        came.crashed = true;
        came
    }

    /// The input that an event comes to, if the world has one for it.
    fn input(&mut self, event: &Event) -> Option<Input> {
        Some(match event {
            Event::Tick(seconds) => {
                self.now += s(*seconds);
                Input::Tick
            }
            Event::Jump(seconds) => {
                let far = s(seconds.unsigned_abs().max(61));
                self.now = if *seconds < 0 {
                    self.now - far
                } else {
                    self.now + far
                };
                Input::Tick
            }
            &Event::Endpoints(stable, canary) => Input::Endpoints { stable, canary },
            Event::Window {
                seconds,
                requests,
                errors,
            } => {
                self.now += s(*seconds);
                let rollout = self.rollout();
                let evidence = rollout.evidence();
                let (from, until) = (
                    evidence.elapsed().max(evidence.stage().from),
                    rollout.clock_at(self.now),
                );
                let canary = Traffic {
                    requests: *requests,
                    errors: *errors,
                    ..Traffic::default()
                };
                let stable = Traffic {
                    requests: *requests,
                    ..Traffic::default()
                };
                let window = Window::new(from, until)
                    .with_weight(rollout.order().percent)
                    .with_canary(canary)
                    .with_stable(stable);
                self.windows.push(window.clone());
                Input::Seen(window)
            }
            Event::Answer(said) => Input::Judged {
                question: *self.asked.last()?,
                verdict: said.verdict(),
            },
            Event::OldAnswer(back, said) => {
                let question = *self.asked.iter().rev().nth(*back)?;
                Input::Judged {
                    question,
                    verdict: said.verdict(),
                }
            }
            Event::OldWindow(back) => Input::Seen(self.windows.iter().rev().nth(*back)?.clone()),
            Event::OddWindow(weight, from) => {
                Input::Seen(Window::new(s(*from), s(from + 3)).with_weight(*weight))
            }
            Event::Confirm => Input::SplitSet {
                order: self.sent?.number,
            },
            Event::OldConfirm(order) => Input::SplitSet {
                order: (*order).min(self.sent?.number),
            },
            Event::Refuse(kind) => {
                let message = "refused".to_owned();
                Input::SplitRefused {
                    order: self.sent?.number,
                    kind: *kind,
                    message,
                }
            }
            Event::Operator(operation) => Input::Operator(Command::new(*operation, "ann")),
            Event::NotMeasured(seconds) => {
                self.now += s(*seconds);
                Input::NotMeasured {
                    why: "no answer".to_owned(),
                }
            }
            Event::Left => Input::Left {
                why: "nobody names it".to_owned(),
            },
            Event::Newer(version) => Input::Newer(format!("v{version}").parse().expect("a version")),
            Event::Replan(which) => {
                let bake = if which & 1 == 0 { 0 } else { 15 };
                Input::Replan(Box::new(plan(which & 2 != 0, true, bake, 0)))
            }
            Event::Crash | Event::CrashBefore(_) => return None,
        })
    }

    pub(super) fn happens(&mut self, event: &Event) -> Came {
        match event {
            Event::Crash => self.crash(),
            Event::CrashBefore(event) => {
                if let Some(input) = self.input(event) {
                    // Decided, but neither written nor done.
                    let _ = self
                        .history
                        .rollout_mut()
                        .expect("one has started")
                        .on(input, self.now);
                }
                self.crash()
            }
            event => match self.input(event) {
                Some(input) => self.on(input),
                None => Came::default(),
            },
        }
    }
}
