//! What holds whatever happens, in whatever order, and whenever the process dies. `PROPTEST_CASES` tries more.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::world::{Came, Event, Router, Said, World, ab_plans, event, plan, plans, s, said};
use crate::analyzer::Verdict;
use crate::log::History;
use crate::rollout::{
    Action, Cause, Change, Command, End, Input, Operation, Order, PauseReason, Phase, Rollout, Step,
};

fn operated(came: &Came, wanted: Operation) -> bool {
    matches!(&came.input, Some(Input::Operator(command)) if command.operation == wanted)
}

/// Keeps what has to be remembered between two looks.
#[derive(Default)]
struct Watcher {
    aborted: bool,
    answered: HashSet<(u64, usize, std::time::Duration)>,
    went_on: bool,
}

impl Watcher {
    fn look(&mut self, before: &Rollout, world: &World, came: &Came) {
        let after = world.rollout();
        if came.crashed {
            // I7: what the log comes to is what there was, and the same is ordered under the same number.
            assert_eq!(came.records, 0, "I7");
            return;
        }
        self.weights(before, after, came);
        ab_runs(before, after, came);
        self.promotions(before, came);
        self.ends(before, after, world, came);
        self.windows(before, came);

        // I11: nobody is sent to a version without endpoints, and shares are whole.
        for (order, weights) in &came.orders {
            let (stable, canary) = world
                .endpoints
                .expect("I11: ordered without knowing the endpoints");
            assert_eq!(
                weights
                    .shares()
                    .iter()
                    .map(|(_, share)| u32::from(*share))
                    .sum::<u32>(),
                100,
                "I11"
            );
            assert!(
                order.percent == 0 || canary > 0,
                "I11: {order:?} with {canary} of the canary"
            );
            assert!(
                order.percent == 100 || stable > 0,
                "I11: {order:?} with {stable} of the stable version"
            );
        }
        // I12: what is paused has no deadline.
        for decision in &came.decisions {
            let late = matches!(decision.cause, Cause::Late { .. }) && decision.change == Change::RollBack;
            assert!(
                !late || before.phase() == Phase::Running(Step::Starting),
                "I12: {decision:?}"
            );
        }
        // I13: afterwards nothing of the rollout is left in the routes.
        let over = after.phase().has_ended() || after.phase() == Phase::RollingBack;
        assert!(!over || !after.takes_pinned(), "I13");
        // I15: numbers that decide nothing order nothing.
        if let Some(Input::Judged {
            verdict: Verdict::Continue(_),
            ..
        }) = came.input
        {
            assert!(came.orders.is_empty(), "I15");
            let ended = |d: &crate::rollout::Decision| d.change == Change::Finish { end: End::Succeeded };
            assert!(came.decisions.iter().all(ended), "I15: {:?}", came.decisions);
        }
        // Nothing is silent: what changed has a decision with a cause.
        if before.phase() != after.phase() || before.order() != after.order() {
            assert!(
                !came.decisions.is_empty() && after.cause().is_some(),
                "a silent transition"
            );
        }
    }

    fn weights(&self, before: &Rollout, after: &Rollout, came: &Came) {
        let planned = after.plan().stages().iter().map(|stage| stage.weight);
        let allowed: HashSet<u8> = planned.chain([0, 100]).collect();
        assert!(
            allowed.contains(&after.order().percent),
            "I1: {:?}",
            after.order()
        );

        let (was, is) = (before.order().percent, after.order().percent);
        let falls = is < was;
        let back = after.phase() == Phase::RollingBack || after.phase().has_ended();
        assert!(!falls || back, "I2: from {was} to {is} in {:?}", after.phase());
        // I14: who is with the canary stays there while its share does not fall.
        let with_canary = |percent: u8| (0..100_u8).filter(move |place| *place < percent);
        assert!(falls || with_canary(was).all(|place| place < is), "I14");

        let steps: Vec<usize> = came
            .decisions
            .iter()
            .filter_map(|decision| match decision.change {
                Change::Advance { to } => Some(to),
                _ => None,
            })
            .collect();
        assert!(steps.len() <= 1, "I3: {steps:?}");
        let one = steps.iter().all(|to| *to == before.stage() + 1);
        assert!(one || operated(came, Operation::PromoteFully), "I3: {steps:?}");
    }

    fn promotions(&mut self, before: &Rollout, came: &Came) {
        for decision in &came.decisions {
            if !matches!(decision.change, Change::Advance { .. }) {
                continue;
            }
            self.went_on = true;
            let (seen, needed) = (before.state.requests, before.plan().min_requests());
            assert!(
                seen >= needed || operated(came, Operation::PromoteFully),
                "I9: {seen} of {needed}"
            );
            // I10: only a good verdict goes on by itself.
            let good = matches!(
                came.input,
                Some(Input::Judged {
                    verdict: Verdict::Promote(_),
                    ..
                })
            );
            assert!(
                good || matches!(decision.cause, Cause::Operator { .. }),
                "I10: {decision:?}"
            );
        }
    }

    fn ends(&mut self, before: &Rollout, after: &Rollout, world: &World, came: &Came) {
        if before.phase().has_ended() {
            assert!(came.outcome.actions.is_empty() && before == after, "I4: {came:?}");
            return;
        }
        if operated(came, Operation::Rollback) {
            self.aborted = true;
            let stable = world.endpoints.is_some_and(|(stable, _)| stable > 0);
            let fresh = before.phase() != Phase::RollingBack;
            let zero = came.orders.iter().any(|(order, _)| order.percent == 0);
            assert!(!fresh || !stable || zero, "I5: not told at once: {came:?}");
        }
        if self.aborted {
            let back = after.phase() == Phase::RollingBack
                || matches!(
                    after.phase(),
                    Phase::Ended(End::RolledBack | End::Halted | End::Superseded)
                );
            assert!(back && after.order().percent == 0, "I5: {:?}", after.phase());
        }
        if after.phase() == Phase::Ended(End::Succeeded) {
            assert!(self.went_on, "I10: nothing was ever seen to be good");
            assert_eq!(after.order().percent, 100, "I1");
        }
        if after.phase() == Phase::Ended(End::RolledBack) {
            assert_eq!(world.router.percent, 0, "I5");
        }
    }

    fn windows(&mut self, before: &Rollout, came: &Came) {
        if let Some(Input::Judged { question, .. }) = &came.input {
            let decided = came
                .decisions
                .iter()
                .any(|d| matches!(d.cause, Cause::Verdict { .. }));
            if decided {
                let new = self.answered.insert((0, question.stage, question.until));
                assert!(new, "I6: {question:?} decided twice");
            }
        }
        if let Some(Input::Seen(window)) = &came.input {
            let replayed = before.evidence().windows().contains(window);
            assert!(!replayed || came.records == 0, "I6: a window counted twice");
            // What was seen at another share, or before it was in force, is not in its stage.
            let own =
                window.from >= before.evidence().stage().from && window.weight == before.order().percent;
            assert!(
                own || came.records == 0,
                "I6: a window of another stage: {window:?}"
            );
        }
    }
}

/// What holds of A/B runs: somebody decides how they end, and good or bad numbers only whether they are rolled back.
fn ab_runs(before: &Rollout, after: &Rollout, came: &Came) {
    if !before.plan().is_ab_test() || !after.plan().is_ab_test() {
        return;
    }
    for decision in &came.decisions {
        let by_somebody = matches!(decision.cause, Cause::Operator { .. });
        assert!(
            decision.change != Change::Approve,
            "an A/B run has no stage to approve"
        );
        let advances = matches!(decision.change, Change::Advance { .. });
        assert!(!advances || by_somebody, "an A/B run is promoted by {decision:?}");
        if let Change::Pause { reason } = decision.change {
            let in_split = after.stage() == 0 && after.order().percent == 50;
            assert!(
                reason != PauseReason::Inconclusive || !in_split,
                "numbers that say nothing pause an A/B run: {decision:?}"
            );
        }
    }
    let promoted = operated(came, Operation::PromoteFully)
        || operated(came, Operation::Promote { stage: 0 }) && came.outcome.ignored.is_none();
    let split = before.order().percent == 50 && after.order().percent == 50;
    let ended = matches!(after.phase(), Phase::RollingBack | Phase::Ended(_));
    let begins = before.order().percent == 0;
    let moved = before.order().percent != after.order().percent;
    assert!(
        split || !moved || ended || begins || promoted,
        "the split changes: {came:?}"
    );
}

/// What is tried above comes to everything there is: no invariant holds for want of cases.
#[test]
fn what_is_tried_comes_to_every_end_and_every_pause() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let cases = (plans(), proptest::collection::vec(event(), 40..90));
    let mut met: HashMap<String, usize> = HashMap::new();
    for _ in 0..1500 {
        let (plan, events) = cases.new_tree(&mut runner).expect("a case").current();
        let mut world = World::new(plan);
        let mut phases = HashSet::new();
        for event in &events {
            world.happens(event);
            phases.insert(match world.rollout().phase() {
                Phase::Paused { reason, .. } => format!("{reason:?}"),
                phase => phase.word().to_owned(),
            });
        }
        phases
            .into_iter()
            .for_each(|phase| *met.entry(phase).or_default() += 1);
    }
    let expected = [
        "starting",
        "analyzing",
        "awaiting_promotion",
        "baking",
        "rolling_back",
        "succeeded",
        "rolled_back",
        "halted",
        "superseded",
        "Manual",
        "Inconclusive",
        "MetricsUnavailable",
        "BaselineUnhealthy",
        "Alarm",
    ];
    for phase in expected {
        assert!(
            met.get(phase).is_some_and(|times| *times >= 10),
            "{phase} is met too seldom: {met:?}"
        );
    }
}

/// I7 and I20: what the log comes to, and what is told of it.
fn same_after_a_crash(world: &World) {
    let folded = world.folded();
    assert_eq!(folded, world.history, "I7");
    let (live, read) = (world.rollout(), folded.rollout().expect("it is in the log"));
    assert_eq!(live.order(), read.order(), "I7");
    assert_eq!(live.status(), read.status(), "I20");
    let mut read = read.clone();
    let outcome = read.on(Input::Endpoints { stable: 2, canary: 2 }, world.now);
    let again = outcome.actions.iter().find_map(|action| match action {
        Action::SetWeights { order, .. } => Some(*order),
        _ => None,
    });
    let begins = live.phase() == Phase::Running(Step::Starting);
    let ordered =
        !begins && !live.phase().has_ended() && live.takes_pinned() | (live.phase() == Phase::RollingBack);
    assert!(
        !ordered || again == Some(live.order()),
        "I7: {again:?} for {:?}",
        live.order()
    );
}

fn run(plan: crate::plan::Plan, events: &[Event]) -> World {
    let mut world = World::new(plan);
    let mut watcher = Watcher::default();
    for event in events {
        let before = world.rollout().clone();
        if matches!(event, Event::Crash) {
            same_after_a_crash(&world);
        }
        let jump = matches!(event, Event::Jump(_)).then(|| before.clone());
        let then = world.now;
        let came = world.happens(event);
        if let Some(mut standing) = jump {
            // I17: the same happens as if no time had gone by.
            let still = standing.on(Input::Tick, then);
            assert_eq!(came.decisions.len(), decisions(&still.actions), "I17: {came:?}");
            assert_eq!(standing.phase(), world.rollout().phase(), "I17");
        }
        watcher.look(&before, &world, &came);
    }
    same_after_a_crash(&world);
    world
}

fn decisions(actions: &[Action]) -> usize {
    let persisted = |action: &&Action| matches!(action, Action::Persist { .. });
    actions.iter().filter(persisted).count()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() })]

    /// I1 to I7, I9 to I15, I17, I20, and then I18 and I19 at the end.
    #[test]
    fn the_invariants_hold_whatever_happens(
        plan in prop_oneof![3 => plans(), 1 => ab_plans()],
        events in proptest::collection::vec(event(), 1..90),
    ) {
        let mut world = run(plan.clone(), &events);
        let phase = world.rollout().phase();
        let rejected = matches!(phase, Phase::Ended(End::RolledBack | End::Halted));
        let again = world.start("v2", plan.clone(), false);
        match phase {
            // I19: what was rolled back is tried again only if somebody says so.
            _ if rejected => {
                prop_assert!(again.expect_err("I19").contains("rolled back before"), "I19");
                prop_assert_eq!(world.start("v2", plan, true), Ok(()), "I19");
            }
            Phase::Ended(End::Succeeded) => {
                prop_assert!(again.expect_err("it is stable").contains("stable"));
                prop_assert_eq!(world.start("v3", plan, false), Ok(()));
                prop_assert_eq!(world.rollout().stable().as_str(), "v2");
            }
            Phase::Ended(_) => prop_assert_eq!(again, Ok(())),
            _ => {
                prop_assert!(again.expect_err("I18").contains("is being rolled out"), "I18");
                return Ok(());
            }
        }
        // I18: a new rollout knows nothing of the one before.
        let fresh = world.rollout();
        prop_assert_eq!(fresh.stage(), 0, "I18");
        prop_assert!(fresh.evidence().windows().is_empty() && fresh.state.requests == 0, "I18");
        prop_assert_eq!(fresh.phase(), Phase::Running(Step::Starting), "I18");
        prop_assert_eq!(world.folded(), world.history, "I7");
    }

    /// I8: of two controllers, the one that lost the log orders nothing that counts.
    #[test]
    fn only_the_one_whose_record_was_taken_sets_weights(
        plan in plans(),
        events in proptest::collection::vec((event(), any::<bool>()), 1..60),
    ) {
        let mut world = World::new(plan);
        let mut other = world.history.clone();
        let mut router = Router::default();
        let mut delayed: Vec<Order> = Vec::new();
        for (event, takes_over) in &events {
            let before = world.log.len();
            let came = world.happens(event);
            for (order, _) in &came.orders {
                prop_assert!(router.set(*order), "I8");
            }
            // The other one decides by what it knew: its record has a position that is taken.
            if world.log.len() > before {
                let rollout = other.rollout_mut().expect("one has started");
                let outcome = rollout.on(Input::Operator(Command::new(Operation::Rollback, "bob")), world.now);
                for action in outcome.actions {
                    match action {
                        Action::Persist { position, .. } => {
                            prop_assert!(position < world.log.len() as u64, "I8: it would have been taken");
                            break;
                        }
                        Action::SetWeights { order, .. } => delayed.push(order),
                        _ => {}
                    }
                }
                other = if *takes_over { world.folded() } else { history_before(&world, before) };
            }
        }
        // What it was told long ago and does only now is refused, or is what is in force anyhow.
        for order in came_before(&world).into_iter().chain(delayed) {
            let in_force = (router.highest, router.percent);
            router.set(order);
            prop_assert_eq!((router.highest, router.percent), in_force, "I8: {:?}", order);
        }
    }

    /// I16: worse numbers never make a promotion of a rollback.
    #[test]
    fn a_worse_verdict_never_promotes_what_was_rolled_back(
        auto_promote in any::<bool>(),
        mut verdicts in proptest::collection::vec(said(), 1..40),
        at in any::<prop::sample::Index>(),
        worse in said(),
        pauses in proptest::collection::vec(0..6_u8, 40),
    ) {
        let end = |verdicts: &[Said]| {
            let mut world = World::new(plan(auto_promote, true, 0, 0));
            for (said, operator) in verdicts.iter().zip(&pauses) {
                for event in [
                    Event::Endpoints(2, 2),
                    Event::Confirm,
                    Event::Window { seconds: 12, requests: 30, errors: 0 },
                    Event::Answer(*said),
                    Event::Confirm,
                ] {
                    world.happens(&event);
                }
                match operator {
                    0 => drop(world.happens(&Event::Operator(Operation::Pause))),
                    // Who goes on in spite of bad numbers has decided so: that is no measurement.
                    1 | 2 if manual(world.rollout().phase()) => {
                        drop(world.happens(&Event::Operator(Operation::Resume)));
                    }
                    _ => {}
                }
                // Who promotes, promotes what waits for it and nothing else.
                if world.rollout().phase() == Phase::Running(Step::AwaitingPromotion) && *operator > 3 {
                    let stage = world.rollout().stage();
                    world.happens(&Event::Operator(Operation::Promote { stage }));
                }
            }
            world.rollout().phase()
        };
        let before = end(&verdicts);
        let at = at.index(verdicts.len());
        verdicts[at] = verdicts[at].max(worse);
        let after = end(&verdicts);
        let was_bad = before == Phase::Ended(End::RolledBack);
        prop_assert!(!was_bad || after != Phase::Ended(End::Succeeded), "I16: {before:?}, then {after:?}");
    }

    /// Whatever a log says, it is read or refused.
    #[test]
    fn a_log_in_any_order_is_read_or_refused(
        plan in plans(),
        events in proptest::collection::vec(event(), 1..60),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 1..60),
    ) {
        let world = run(plan, &events);
        let records = order.iter().map(|at| at.get(&world.log).1.clone());
        // The start first, so that something comes of the rest.
        let records = std::iter::once(world.log[0].1.clone()).chain(records);
        if let Ok(history) = History::read(super::world::service(), (0..).zip(records)) {
            let rollout = history.rollout().expect("it starts with one");
            prop_assert!(rollout.order().percent <= 100 && rollout.stage() <= rollout.plan().last_stage());
        }
    }

    /// I12, the other half: paused time does count for the call that somebody should look.
    #[test]
    fn a_pause_is_called_stuck_and_nothing_else(ticks in proptest::collection::vec(1..60_u64, 1..40)) {
        let mut world = World::new(plan(false, true, 0, 0));
        world.happens(&Event::Operator(Operation::Pause));
        let mut calls = 0;
        for tick in &ticks {
            let came = world.happens(&Event::Tick(*tick));
            calls += came.decisions.iter().filter(|d| d.change == Change::CallStuck).count();
            prop_assert!(matches!(world.rollout().phase(), Phase::Paused { reason: PauseReason::Manual, .. }), "I12");
        }
        let total: u64 = ticks.iter().sum();
        // The first input only starts the clock.
        prop_assert_eq!(calls, usize::from(s(total) > world.rollout().plan().stuck_after()), "I12");
    }
}

fn manual(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Paused {
            reason: PauseReason::Manual,
            ..
        }
    )
}

fn history_before(world: &World, records: usize) -> History {
    let log = world.log[..records.max(1)].iter().cloned();
    History::read(super::world::service(), log).expect("its own log")
}

/// Every order that was ever given.
fn came_before(world: &World) -> Vec<Order> {
    let orders = (1..=world.log.len()).filter_map(|records| {
        let history = history_before(world, records);
        let rollout = history.rollout()?;
        let begun = rollout.phase().step() != Some(Step::Starting);
        (begun && rollout.order().number <= world.sent?.number).then(|| rollout.order())
    });
    orders.collect()
}
