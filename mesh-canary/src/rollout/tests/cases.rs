use mesh_core::event::MeshEvent;
use mesh_core::split::SplitErrorKind;

use super::world::{Event, Said, World, plan, s};
use crate::rollout::{Action, Change, End, Ignored, Input, Operation, PauseReason, Phase, Step};

fn good_window(world: &mut World) {
    world.happens(&Event::Window {
        seconds: 20,
        requests: 40,
        errors: 0,
    });
}

/// In the first stage, at 10 %.
fn begun(auto_promote: bool, auto_rollback: bool) -> World {
    let mut world = World::new(plan(auto_promote, auto_rollback, 0, 0));
    world.happens(&Event::Endpoints(2, 1));
    world.happens(&Event::Confirm);
    world
}

#[test]
fn after_a_restart_endpoints_have_time_to_be_found_well() {
    let mut world = begun(false, true);
    good_window(&mut world);
    world.crash();
    // The first answer of a health check is bad, and the next ones are good.
    world.happens(&Event::Endpoints(2, 1));
    world.happens(&Event::Confirm);
    world.happens(&Event::Tick(1));
    world.happens(&Event::Endpoints(2, 0));
    assert_eq!(world.rollout().phase(), Phase::Running(Step::Analyzing));
    assert!(!world.rollout().is_in_force(), "what is seen now is of no share");
    world.happens(&Event::Tick(10));
    let came = world.happens(&Event::Endpoints(2, 1));
    assert_eq!(came.orders.len(), 1, "the share is ordered again: {came:?}");
    world.happens(&Event::Confirm);
    assert!(world.rollout().is_in_force());

    // They stay bad.
    world.crash();
    world.happens(&Event::Endpoints(2, 0));
    world.happens(&Event::Tick(1));
    world.happens(&Event::Tick(15));
    assert_eq!(world.rollout().phase(), Phase::Running(Step::Analyzing));
    world.happens(&Event::Tick(5));
    assert_eq!(world.rollout().phase(), Phase::RollingBack);

    // And what is found ill while it goes on is given up at once.
    let mut world = begun(false, true);
    world.happens(&Event::Endpoints(2, 0));
    assert_eq!(world.rollout().phase(), Phase::RollingBack);
}

#[test]
fn a_stable_version_that_is_not_found_well_at_once_after_a_restart_pauses_nothing() {
    let mut world = begun(false, true);
    world.crash();
    world.happens(&Event::Endpoints(0, 1));
    world.happens(&Event::Tick(1));
    assert_eq!(world.rollout().phase(), Phase::Running(Step::Analyzing));
    world.happens(&Event::Tick(25));
    assert!(matches!(
        world.rollout().phase(),
        Phase::Paused {
            reason: PauseReason::BaselineUnhealthy,
            ..
        }
    ));
}

#[test]
fn an_ab_run_lasts_as_long_as_planned_waits_for_somebody_and_is_promoted_at_once() {
    let ab = || {
        let plan = crate::plan::Plan::builder().ab_test(50, s(40)).min_requests(20);
        let mut world = World::new(plan.build().expect("a plan"));
        world.happens(&Event::Endpoints(2, 2));
        world.happens(&Event::Confirm);
        world
    };
    let window = |world: &mut World, said: Said| {
        let seen = Event::Window {
            seconds: 12,
            requests: 30,
            errors: 0,
        };
        world.happens(&seen);
        world.happens(&Event::Answer(said));
    };
    let mut world = ab();
    for _ in 0..3 {
        window(&mut world, Said::Promote);
        assert_eq!(world.rollout().phase(), Phase::Running(Step::Analyzing));
    }
    window(&mut world, Said::Between);
    assert_eq!(world.rollout().phase(), Phase::Running(Step::AwaitingPromotion));
    window(&mut world, Said::Between);
    assert_eq!(
        world.rollout().order().percent,
        50,
        "nothing ends it but somebody"
    );
    world.happens(&Event::Operator(Operation::Promote { stage: 0 }));
    world.happens(&Event::Confirm);
    assert_eq!(world.rollout().phase(), Phase::Ended(End::Succeeded));

    // Before its time as well, and what is bad is rolled back.
    let mut world = ab();
    window(&mut world, Said::Continue);
    world.happens(&Event::Operator(Operation::Promote { stage: 0 }));
    assert_eq!(world.rollout().order().percent, 100);
    let mut world = ab();
    window(&mut world, Said::Rollback);
    assert_eq!(world.rollout().phase(), Phase::RollingBack);
}

#[test]
fn a_good_canary_goes_through_all_stages() {
    let mut world = begun(true, true);
    for _ in 0..2 {
        good_window(&mut world);
        world.happens(&Event::Answer(Said::Promote));
        world.happens(&Event::Confirm);
    }
    assert_eq!(world.rollout().phase(), Phase::Ended(End::Succeeded));
    assert_eq!(world.router.percent, 100);
    assert_eq!(world.history.stable_version().expect("one").as_str(), "v2");
}

#[test]
fn each_stage_waits_to_be_promoted_and_a_second_click_promotes_nothing_else() {
    let mut world = begun(false, true);
    good_window(&mut world);
    world.happens(&Event::Answer(Said::Promote));
    assert_eq!(world.rollout().phase(), Phase::Running(Step::AwaitingPromotion));
    let promote = Event::Operator(Operation::Promote { stage: 0 });
    world.happens(&promote);
    assert_eq!((world.rollout().stage(), world.router.percent), (1, 50));
    let second = world.happens(&promote);
    assert_eq!(second.outcome.ignored, Some(Ignored::OtherStage { stage: 1 }));
    assert_eq!(world.rollout().stage(), 1);
}

#[test]
fn an_approved_stage_ends_as_soon_as_it_went_well() {
    let mut world = begun(false, true);
    world.happens(&Event::Operator(Operation::Promote { stage: 0 }));
    assert_eq!(world.rollout().stage(), 0);
    good_window(&mut world);
    world.happens(&Event::Answer(Said::Promote));
    assert_eq!(world.rollout().stage(), 1);
}

#[test]
fn a_bad_canary_is_rolled_back_with_its_figures() {
    let mut world = begun(true, true);
    good_window(&mut world);
    let came = world.happens(&Event::Answer(Said::Rollback));
    assert_eq!(
        (world.rollout().phase(), world.router.percent),
        (Phase::RollingBack, 0)
    );
    assert_eq!(came.decisions[0].cause.to_string(), "rollback: nothing seen yet");
    let came = world.happens(&Event::Confirm);
    assert!(came.outcome.actions.iter().any(|action| matches!(
        action,
        Action::Emit(MeshEvent::CanaryRolledBack { cause, .. }) if cause == "rollback: nothing seen yet"
    )));
    assert_eq!(world.rollout().phase(), Phase::Ended(End::RolledBack));
}

#[test]
fn without_auto_rollback_an_alarm_pauses_once() {
    let mut world = begun(true, false);
    good_window(&mut world);
    world.happens(&Event::Answer(Said::Rollback));
    let alarm = |phase| {
        matches!(
            phase,
            Phase::Paused {
                reason: PauseReason::Alarm,
                ..
            }
        )
    };
    assert!(alarm(world.rollout().phase()));
    world.happens(&Event::Operator(Operation::Resume));
    good_window(&mut world);
    world.happens(&Event::Answer(Said::Rollback));
    assert_eq!(world.rollout().phase(), Phase::Running(Step::Analyzing));
}

#[test]
fn numbers_neither_good_nor_bad_pause_and_a_human_may_go_on() {
    let mut world = begun(true, true);
    good_window(&mut world);
    world.happens(&Event::Answer(Said::Between));
    let paused = Phase::Paused {
        reason: PauseReason::Inconclusive,
        during: Step::Analyzing,
    };
    assert_eq!(world.rollout().phase(), paused);
    world.happens(&Event::Operator(Operation::Promote { stage: 0 }));
    assert_eq!(world.rollout().stage(), 1);
}

#[test]
fn an_outage_of_the_numbers_pauses_and_ends_by_itself() {
    let mut world = begun(true, true);
    world.happens(&Event::NotMeasured(10));
    assert_eq!(world.rollout().phase(), Phase::Running(Step::Analyzing));
    world.happens(&Event::NotMeasured(29));
    world.happens(&Event::NotMeasured(5));
    assert!(matches!(
        world.rollout().phase(),
        Phase::Paused {
            reason: PauseReason::MetricsUnavailable,
            ..
        }
    ));
    good_window(&mut world);
    assert_eq!(world.rollout().phase(), Phase::Running(Step::Analyzing));
}

#[test]
fn a_stage_whose_traffic_stopped_does_not_end() {
    let mut world = begun(true, true);
    for _ in 0..10 {
        world.happens(&Event::Window {
            seconds: 20,
            requests: 0,
            errors: 0,
        });
        world.happens(&Event::Answer(Said::Promote));
    }
    assert_eq!(world.rollout().phase(), Phase::Running(Step::Analyzing));
    assert_eq!(world.rollout().status().sampled_s, 0.0);
}

#[test]
fn a_canary_without_endpoints_is_rolled_back() {
    let mut world = begun(true, false);
    world.happens(&Event::Endpoints(2, 0));
    assert_eq!(
        (world.rollout().phase(), world.router.percent),
        (Phase::RollingBack, 0)
    );
}

#[test]
fn a_rollback_to_nobody_waits_and_is_then_called_impossible() {
    let mut world = begun(true, true);
    world.happens(&Event::Endpoints(0, 1));
    assert!(matches!(
        world.rollout().phase(),
        Phase::Paused {
            reason: PauseReason::BaselineUnhealthy,
            ..
        }
    ));
    world.happens(&Event::Operator(Operation::Rollback));
    assert_eq!(
        (world.rollout().phase(), world.router.percent),
        (Phase::RollingBack, 10)
    );
    world.happens(&Event::Tick(31));
    assert_eq!(world.rollout().phase(), Phase::Ended(End::Halted));
    let cause = world.rollout().cause().expect("one").to_string();
    assert_eq!(cause, "the stable version has no endpoint that takes requests");
}

#[test]
fn a_router_that_cannot_now_is_told_again_after_a_tick() {
    let mut world = World::new(plan(true, true, 0, 0));
    world.happens(&Event::Endpoints(2, 1));
    let first = world.sent.expect("ordered");
    world.happens(&Event::Refuse(SplitErrorKind::Unavailable));
    assert!(world.happens(&Event::Endpoints(2, 1)).orders.is_empty());
    let again = world.happens(&Event::Tick(1)).orders;
    assert_eq!(again[0].0, first);
    world.happens(&Event::Refuse(SplitErrorKind::UnknownVersion));
    assert_eq!(world.rollout().phase(), Phase::RollingBack);
}

#[test]
fn a_newer_version_takes_the_place_after_all_traffic_is_back() {
    let mut world = begun(true, true);
    world.happens(&Event::Newer(3));
    assert_eq!(world.rollout().phase(), Phase::RollingBack);
    world.happens(&Event::Confirm);
    assert_eq!(world.rollout().phase(), Phase::Ended(End::Superseded));
    assert_eq!(world.start("v3", plan(true, true, 0, 0), false), Ok(()));
}

#[test]
fn the_warm_up_is_no_evidence() {
    let mut world = World::new(plan(true, true, 0, 10));
    world.happens(&Event::Endpoints(2, 1));
    world.happens(&Event::Confirm);
    let came = world.happens(&Event::Window {
        seconds: 5,
        requests: 9,
        errors: 0,
    });
    assert_eq!(came.outcome.ignored, Some(Ignored::WarmUp));
}

#[test]
fn a_canary_that_never_comes_up_is_given_up() {
    let mut world = World::new(plan(true, true, 0, 0));
    world.happens(&Event::Endpoints(2, 0));
    for _ in 0..4 {
        world.happens(&Event::Tick(40));
    }
    let came = world.happens(&Event::Confirm);
    assert_eq!(world.rollout().phase(), Phase::Ended(End::RolledBack));
    assert_eq!(came.decisions[0].change, Change::Finish { end: End::RolledBack });
}

#[test]
fn another_plan_is_taken_if_what_was_is_the_same_by_it() {
    let mut world = begun(false, true);
    world.on(Input::Replan(Box::new(plan(true, true, 0, 0))));
    assert!(world.rollout().plan().auto_promote());
    let came = world.on(Input::Replan(Box::default()));
    assert_eq!(came.outcome.ignored, Some(Ignored::OtherStages));
}

#[test]
fn baking_watches_the_new_version_with_all_traffic() {
    let mut world = World::new(plan(true, true, 15, 0));
    world.happens(&Event::Endpoints(2, 1));
    for _ in 0..2 {
        world.happens(&Event::Confirm);
        good_window(&mut world);
        world.happens(&Event::Answer(Said::Promote));
    }
    world.happens(&Event::Confirm);
    assert_eq!(world.rollout().phase(), Phase::Running(Step::Baking));
    assert_eq!(world.rollout().plan().bake(), s(15));
    good_window(&mut world);
    world.happens(&Event::Answer(Said::Continue));
    assert_eq!(world.rollout().phase(), Phase::Ended(End::Succeeded));
}

#[test]
fn a_window_that_began_before_its_share_was_ordered_is_no_evidence() {
    let mut world = World::new(plan(true, true, 0, 0));
    world.happens(&Event::Tick(0));
    world.happens(&Event::Tick(30));
    world.happens(&Event::Endpoints(2, 1));
    world.happens(&Event::Confirm);
    let early = world.happens(&Event::OddWindow(10, 29));
    assert_eq!(early.outcome.ignored, Some(Ignored::Late));
    let other = world.happens(&Event::OddWindow(11, 30));
    assert_eq!(other.outcome.ignored, Some(Ignored::OtherShare));
    assert_eq!(world.happens(&Event::OddWindow(10, 30)).records, 1);
}
