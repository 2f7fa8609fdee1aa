use proptest::prelude::*;

use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_default_is_the_documented_process() {
    let plan = Plan::builder().build().expect("nothing is wrong with it");
    assert_eq!(plan, Plan::default());
    assert_eq!(
        plan.to_string(),
        "5% for 5m, 10% for 5m, 20% for 10m, 50% for 10m, 100%"
    );
    assert_eq!(plan.min_requests(), 59);
    assert_eq!(plan.last_stage(), 4);
}

#[test]
fn every_problem_is_told_at_once() {
    let error = Plan::builder()
        .stages([
            PlanStage {
                weight: 0,
                duration: None,
            },
            PlanStage::new(30, s(0)),
            PlanStage::new(20, s(60)),
            PlanStage {
                weight: 50,
                duration: Some(s(60)),
            },
        ])
        .false_rollback(1.0)
        .min_requests(0)
        .interval(s(61))
        .success(Criteria::over(s(0)).error_rate(2.0))
        .rollback(Criteria::over(s(60)))
        .build()
        .expect_err("much is wrong");
    let keys: Vec<&str> = error.problems().iter().map(PlanProblem::key).collect();
    assert_eq!(
        keys,
        [
            "stages[0].weight",
            "stages[0].duration",
            "stages[1].duration",
            "stages[2].weight",
            "stages[3].weight",
            "analysis.falseRollback",
            "minimumRequests",
            "interval",
            "successCriteria.duration",
            "successCriteria.errorRate",
            "rollbackCriteria",
        ]
    );
    assert_eq!(error.to_string().lines().count(), keys.len());
}

#[test]
fn the_last_stage_is_everything_and_has_no_duration() {
    let refused = |stages: Vec<PlanStage>| {
        Plan::builder()
            .stages(stages)
            .build()
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        refused(vec![PlanStage::full()]),
        "stages is a list of 1: expected 2 to 100 stages, or there is nothing to look at before all traffic is moved"
    );
    assert_eq!(
        refused(vec![PlanStage::new(5, s(1)), PlanStage::new(50, s(1))]),
        "stages[1].weight is 50: expected 100: a rollout ends with everything"
    );
    assert_eq!(
        refused(vec![PlanStage::new(5, s(1)), PlanStage::new(100, s(1))]),
        "stages[1].duration is 1s: expected none: nothing comes after the last stage"
    );
}

#[test]
fn a_plan_that_was_written_is_read_back_and_checked_again() {
    let plan = Plan::builder()
        .auto_promote(true)
        .warm_up(s(30))
        .build()
        .expect("valid");
    let mut json = serde_json::to_value(&plan).expect("written");
    assert_eq!(serde_json::from_value::<Plan>(json.clone()).expect("read"), plan);
    json["stages"][0]["weight"] = 99.into();
    let error = serde_json::from_value::<Plan>(json).expect_err("10 does not follow 99");
    assert!(error.to_string().contains("stages[1].weight is 10"), "{error}");
}

#[test]
fn a_plan_agrees_with_another_up_to_where_their_stages_differ() {
    let other = Plan::builder()
        .stages([
            PlanStage::new(5, s(1)),
            PlanStage::new(10, s(1)),
            PlanStage::full(),
        ])
        .build()
        .expect("valid");
    let plan = Plan::default();
    assert!(plan.agrees_until(&other, 0) && plan.agrees_until(&other, 1));
    assert!(!plan.agrees_until(&other, 2) && !other.agrees_until(&plan, 2));
    assert!(!plan.agrees_until(&other, 17));
}

proptest! {
    #[test]
    fn what_is_accepted_rises_to_everything(
        stages in proptest::collection::vec((0..=120_u8, proptest::option::of(0..3_u64)), 0..6)
    ) {
        let stages = stages.into_iter().map(|(weight, duration)| PlanStage { weight, duration: duration.map(s) });
        if let Ok(plan) = Plan::builder().stages(stages).build() {
            prop_assert!(plan.stages().is_sorted_by(|a, b| a.weight < b.weight));
            prop_assert_eq!(plan.stages().last().copied(), Some(PlanStage::full()));
            let (_, others) = plan.stages().split_last().expect("one at least");
            prop_assert!(others.iter().all(|stage| stage.duration.is_some_and(|d| !d.is_zero())));
            prop_assert!(plan.stages()[0].weight > 0);
        }
    }
}
