use std::time::Duration;

use fastrand::Rng;

use super::draw::{binomial, poisson};
use super::*;
use crate::judge::Threshold;

fn scenario(rate: f64, canary: &[(u64, f64, u64)]) -> Scenario {
    let steps = canary.iter().map(|(at, errors, p95)| Behaviour {
        at: Duration::from_secs(*at),
        error_rate: Some(*errors),
        p95: Some(Duration::from_millis(*p95)),
    });
    let stable = Behaviour {
        error_rate: Some(0.001),
        p95: Some(Duration::from_millis(120)),
        ..Behaviour::default()
    };
    let arms = Arms {
        stable: vec![stable],
        canary: steps.collect(),
    };
    Scenario::new(Duration::from_secs(3600), rate, arms)
}

fn simulation(scenario: Scenario) -> Simulation {
    Simulation::new(Plan::default(), scenario).expect("nothing is wrong with it")
}

fn with_operator(mut scenario: Scenario, steps: &[(u64, What)]) -> Scenario {
    scenario.operator = steps
        .iter()
        .map(|(at, what)| Intervention {
            at: Duration::from_secs(*at),
            what: *what,
        })
        .collect();
    scenario
}

#[test]
fn a_good_canary_is_promoted_through_every_stage() {
    let report = simulation(scenario(100.0, &[(0, 0.001, 120)])).run(1);
    assert_eq!(
        (report.decision, report.weight),
        (Outcome::Promoted, 100),
        "{report:#?}"
    );
    assert!((1800.0..2400.0).contains(&report.at_s), "{}", report.at_s);
    assert_eq!(report.users_hurt, 0);
    let weights: Vec<u8> = report.timeline.iter().map(|line| line.weight).collect();
    assert_eq!(weights, [5, 10, 20, 50, 100, 100], "{report:#?}");
}

#[test]
fn a_bad_canary_is_rolled_back_and_hurts_few() {
    let report = simulation(scenario(100.0, &[(0, 0.2, 120)])).run(1);
    assert_eq!((report.decision, report.weight), (Outcome::RolledBack, 0));
    assert!(report.at_s <= 60.0, "{}", report.at_s);
    // 5 % of a hundred requests a second, of which 20 % fail.
    assert!(
        report.users_hurt > 0 && (report.users_hurt as f64) < 2.5 * report.at_s,
        "{}",
        report.users_hurt
    );
    assert!(
        report.reason.starts_with("rollback: error rate"),
        "{}",
        report.reason
    );
    assert!(
        report
            .timeline
            .iter()
            .any(|line| line.evidence.is_some_and(|evidence| evidence >= 100.0))
    );
}

#[test]
fn a_slow_canary_is_rolled_back_though_nothing_fails() {
    let report = simulation(scenario(100.0, &[(0, 0.001, 400)])).run(1);
    assert_eq!(report.decision, Outcome::RolledBack);
    assert!(
        report.reason.starts_with("rollback: P95 response time"),
        "{}",
        report.reason
    );
    assert_eq!(report.users_hurt, 0);
}

#[test]
fn no_traffic_decides_nothing() {
    let report = simulation(scenario(0.0, &[(0, 0.001, 120)])).run(1);
    assert_eq!((report.decision, report.at_s), (Outcome::Undecided, 3600.0));
    assert_eq!(report.weight, 5);
}

#[test]
fn what_the_operator_does_at_the_beginning_happens_then() {
    let at_once = with_operator(scenario(100.0, &[(0, 0.001, 120)]), &[(0, What::Rollback)]);
    let report = simulation(at_once).run(1);
    assert_eq!((report.decision, report.at_s), (Outcome::RolledBack, 0.0));
}

#[test]
fn an_ab_run_ends_undecided_with_the_figures_of_both_versions() {
    let day = Duration::from_secs(600);
    let plan = Plan::builder().ab_test(50, day).build().expect("a plan");
    let better = scenario(100.0, &[(0, 0.0, 120)]);
    let run = |scenario: Scenario| Simulation::new(plan.clone(), scenario).expect("good").run(1);
    let report = run(better.clone());
    assert_eq!(
        (report.decision, report.weight),
        (Outcome::Undecided, 50),
        "{report:#?}"
    );
    assert!(
        report
            .reason
            .starts_with("an A/B run ends when somebody ends it: error rate -0."),
        "{}",
        report.reason
    );
    let [stable, canary] = [report.arms.stable, report.arms.canary];
    assert!(
        stable.requests > 170_000 && canary.requests > 170_000,
        "{report:#?}"
    );
    assert!(stable.errors > 100 && canary.errors == 0, "{report:#?}");

    let promoted = run(with_operator(better.clone(), &[(60, What::Promote)]));
    assert_eq!(
        (promoted.decision, promoted.at_s),
        (Outcome::Promoted, 60.0),
        "{promoted:#?}"
    );
    let ended = run(with_operator(better, &[(60, What::Rollback)]));
    assert_eq!((ended.decision, ended.at_s), (Outcome::RolledBack, 60.0));
    let worse = run(scenario(100.0, &[(0, 0.2, 120)]));
    assert_eq!(worse.decision, Outcome::RolledBack, "autoRollback is on");
}

#[test]
fn what_the_operator_does_happens_when_it_is_done() {
    let good = scenario(100.0, &[(0, 0.001, 120)]);
    let back = with_operator(good.clone(), &[(7, What::Rollback)]);
    let report = simulation(back).run(1);
    assert_eq!((report.decision, report.at_s), (Outcome::RolledBack, 7.0));
    assert_eq!(report.reason, "the operator of the scenario said so");

    let paused = with_operator(good.clone(), &[(8 * 60, What::Pause), (9 * 60, What::Resume)]);
    let late = simulation(paused).run(1).at_s - simulation(good.clone()).run(1).at_s;
    assert!((55.0..=65.0).contains(&late), "{late}");

    // Who promotes once is waited for in every stage.
    let once = with_operator(good, &[(2000, What::Promote), (2001, What::Resume)]);
    let report = simulation(once).run(1);
    assert_eq!((report.decision, report.weight), (Outcome::Undecided, 10));
    assert_eq!(
        report.reason,
        "the scenario was over while stage 2 of 5 waited for somebody to promote it"
    );
    let nothing = |line: &Line| line.event == "resume changed nothing: it is not paused";
    assert!(report.timeline.iter().any(nothing), "{report:#?}");
}

#[test]
fn a_seed_gives_the_same_rollout_and_another_seed_another_one() {
    let simulation = simulation(scenario(20.0, &[(0, 0.001, 120), (700, 0.03, 130)]));
    assert_eq!(simulation.run(5), simulation.run(5));
    assert_ne!(simulation.run(5), simulation.run(6));
    assert_eq!(simulation.runs(5, 1), simulation.runs(5, 1));
}

#[test]
fn many_runs_are_counted() {
    let runs = if cfg!(debug_assertions) { 12 } else { 100 };
    let summary = simulation(scenario(100.0, &[(0, 0.001, 120), (60, 0.1, 120)])).runs(runs, 1);
    assert_eq!((summary.runs, summary.promoted, summary.undecided), (runs, 0, 0));
    assert_eq!(summary.rolled_back, runs);
    let (p50, p90) = (
        summary.detection_s.p50.expect("some"),
        summary.detection_s.p90.expect("some"),
    );
    assert!(p50 > 0.0 && p50 <= p90 && p90 < 120.0, "{summary:?}");
    assert!(summary.users_hurt.mean > 0.0);
    assert_eq!(
        simulation(scenario(1.0, &[(0, 0.0, 120)]))
            .runs(0, 1)
            .detection_s
            .p50,
        None
    );
}

#[test]
fn a_plan_may_be_tried_with_fixed_limits() {
    let tried = simulation(scenario(100.0, &[(0, 0.001, 120)])).with_analyzer(Threshold::default());
    assert_eq!(tried.run(1).decision, Outcome::Promoted);
    let between = simulation(scenario(100.0, &[(0, 0.02, 120)])).with_analyzer(Threshold::default());
    let report = between.run(1);
    assert_eq!(report.decision, Outcome::Undecided, "{report:#?}");
    assert_eq!(report.timeline.last().expect("one").state, "paused");
}

#[test]
fn the_report_has_the_keys_that_were_promised() {
    let simulation = simulation(scenario(100.0, &[(0, 0.2, 120)]));
    let json = serde_json::to_string(&simulation.run(1)).expect("written");
    assert!(
        json.starts_with(r#"{"decision":"rolled_back","reason":""#),
        "{json}"
    );
    let keys = |json: &serde_json::Value| -> Vec<String> {
        let mut keys: Vec<String> = json.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        keys
    };
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        keys(&json),
        [
            "arms",
            "at_s",
            "decision",
            "reason",
            "timeline",
            "users_hurt",
            "weight"
        ]
    );
    assert_eq!(
        keys(&json["timeline"][0]),
        ["at_s", "event", "evidence", "samples", "state", "weight"]
    );
    let summary = serde_json::to_value(simulation.runs(2, 1)).expect("written");
    assert_eq!(
        keys(&summary),
        [
            "detection_s",
            "promoted",
            "rolled_back",
            "runs",
            "undecided",
            "users_hurt"
        ]
    );
    assert_eq!(keys(&summary["detection_s"]), ["p50", "p90"]);
    assert_eq!(keys(&summary["users_hurt"]), ["mean"]);
}

#[test]
fn all_that_is_wrong_with_a_scenario_is_told_at_once() {
    let json = r#"{"duration": 0, "requestsPerSecond": -1,
        "arms": {"stable": [], "canary": [{"at": 60, "errorRate": 2}, {"at": "1m", "p95": 0}]},
        "operator": [{"at": "2h", "do": "promote"}]}"#;
    let scenario: Scenario = serde_json::from_str(json).expect("its shape is right");
    let error = Simulation::new(Plan::default(), scenario).expect_err("much is wrong");
    assert_eq!(
        error.to_string().lines().collect::<Vec<_>>(),
        [
            "duration is 0s: expected a duration above zero and at most 7d",
            "requestsPerSecond is -1: expected a number from 0 to 1000000",
            "arms.stable is a list of 0: expected 1 to 10000 steps",
            "arms.canary[0].errorRate is 2: expected a ratio between 0 and 1 (0.01 is 1%)",
            "arms.canary[1].at is 1m: expected later than the step before",
            "arms.canary[1].p95 is 0s: expected a duration above zero, as \"120ms\"",
            "operator[0].at is 2h: expected no later than the end of the scenario",
        ]
    );
    for (bad, why) in [
        (r#"{"at": "5min"}"#, "did you mean"),
        (r#"{"at": -1}"#, "is not a duration"),
        (r#"{"when": 1}"#, "unknown field"),
        (r#"{"p95": true}"#, "a bare number counts 1ms"),
    ] {
        let error = serde_json::from_str::<Behaviour>(bad).expect_err(bad);
        assert!(error.to_string().contains(why), "{bad}: {error}");
    }
}

#[test]
fn a_scenario_is_read_as_it_was_written() {
    let scenario = with_operator(
        scenario(12.5, &[(0, 0.001, 120), (700, 0.03, 130)]),
        &[(8, What::Pause)],
    );
    let json = serde_json::to_string(&scenario).expect("written");
    assert_eq!(serde_json::from_str::<Scenario>(&json).expect("read"), scenario);
}

/// Mean and variance are what they are to be, within five standard errors.
#[test]
fn what_is_drawn_is_distributed_as_it_should_be() {
    let mut rng = Rng::with_seed(3);
    let mut check = |what: &str, mean: f64, variance: f64, draw: &mut dyn FnMut(&mut Rng) -> u64| {
        let drawn: Vec<f64> = (0..20_000).map(|_| draw(&mut rng) as f64).collect();
        let n = drawn.len() as f64;
        let found = drawn.iter().sum::<f64>() / n;
        let spread = drawn.iter().map(|x| (x - found).powi(2)).sum::<f64>() / n;
        let error = 5.0 * (variance / n).sqrt() + 1e-9;
        assert!(
            (found - mean).abs() <= error,
            "{what}: a mean of {found}, expected {mean}"
        );
        // The kurtosis of these is at most 3 + 1 / variance.
        let error = 5.0 * variance * ((2.0 + 1.0 / variance.max(1e-9)) / n).sqrt() + 1e-9;
        assert!(
            (spread - variance).abs() <= error,
            "{what}: a variance of {spread}, expected {variance}"
        );
    };
    for mean in [0.0, 0.3, 5.0, 99.0, 101.0, 5000.0] {
        check(&format!("poisson {mean}"), mean, mean, &mut |rng| {
            poisson(mean, rng)
        });
    }
    for (of, p) in [
        (0, 0.5),
        (1, 0.3),
        (10, 1.0),
        (25, 0.05),
        (300, 0.9),
        (500, 0.5),
        (5000, 0.001),
        (5000, 0.4),
    ] {
        let (mean, variance) = (of as f64 * p, of as f64 * p * (1.0 - p));
        check(&format!("{p} of {of}"), mean, variance, &mut |rng| {
            binomial(of, p, rng)
        });
    }
}
