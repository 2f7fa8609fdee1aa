//! The judge as a whole: its parts together use up no more than what is allowed.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use mesh_canary::judge::Sequential;
use mesh_canary::{CanaryAnalyzer, Evidence, Stage, Verdict, Window};
use mesh_core::metric::Traffic;

use crate::world::{
    Behaviour, EDGES, PLANNED, STAGES, TICK, Tick, at_most, count, normal, poisson, rollout, runs,
};

fn judge(alpha: f64) -> Sequential {
    Sequential::default()
        .false_rollback(alpha)
        .expect("between 0 and 1")
}

fn edges() -> Arc<[Duration]> {
    EDGES.map(Duration::from_millis).into()
}

fn judged(judge: &Sequential, windows: impl Iterator<Item = Window>) -> Verdict {
    let mut evidence =
        Evidence::new(Stage::new(3, 50, Duration::from_secs(STAGES[2].1))).with_planned(PLANNED);
    windows.for_each(|window| evidence.push(window).expect("in order"));
    judge.judge(&evidence)
}

/// Whether the rollout is rolled back at any time: what is an alarm once stays one.
fn rolled_back(judge: &Sequential, ticks: impl Iterator<Item = Tick>) -> bool {
    let edges = edges();
    matches!(
        judged(judge, ticks.map(|tick| tick.window(&edges))),
        Verdict::Rollback(_)
    )
}

/// What both versions do alike.
fn both(errors: f64, factor: f64) -> (Behaviour, Behaviour) {
    let behaviour = Behaviour {
        errors,
        ..Behaviour::slow(factor, 0.0)
    };
    (behaviour.clone(), behaviour)
}

fn without_latencies(errors: f64) -> (Behaviour, Behaviour) {
    (Behaviour::failing(errors), Behaviour::failing(errors))
}

#[test]
fn a_canary_that_is_no_worse_is_rolled_back_no_more_often_than_stated() {
    for alpha in [0.05, 0.01] {
        for rate in [10.0, 100.0] {
            for errors in [0.001, 0.01, 0.03] {
                at_most(
                    &format!("harmless, {rate} rps, {errors} errors, alpha {alpha}"),
                    alpha,
                    |seed| rolled_back(&judge(alpha), rollout(seed, |_| rate, |_| both(errors, 1.0))),
                );
            }
        }
    }
}

#[test]
fn an_outage_of_both_versions_rolls_no_canary_back() {
    // Errors of both for so long, from so many seconds on.
    for (errors, from, until) in [
        (0.5, 100, 160),
        (0.5, 700, 760),
        (0.5, 1500, 1560),
        (0.1, 1300, 1600),
        (0.08, 400, 1700),
    ] {
        for rate in [10.0, 100.0, 1000.0] {
            at_most(
                &format!("outage of {errors} from {from} until {until}, {rate} rps"),
                0.01,
                |seed| {
                    let at = |at: u64| {
                        if (from..until).contains(&at) {
                            errors
                        } else {
                            0.001
                        }
                    };
                    rolled_back(
                        &judge(0.01),
                        rollout(seed, |_| rate, |now| without_latencies(at(now))),
                    )
                },
            );
        }
    }
}

#[test]
fn a_while_in_which_both_versions_hang_rolls_no_canary_back() {
    for rate in [10.0, 100.0] {
        at_most(&format!("slow, {rate} rps"), 0.01, |seed| {
            let factor = |at: u64| if (700..800).contains(&at) { 10.0 } else { 1.0 };
            rolled_back(
                &judge(0.01),
                rollout(seed, |_| rate, |at| both(0.001, factor(at))),
            )
        });
    }
}

#[test]
fn what_is_worse_is_found() {
    let fine = || Behaviour {
        errors: 0.001,
        ..Behaviour::slow(1.0, 0.0)
    };
    let cases = [
        (
            "errors",
            Behaviour {
                errors: 0.01,
                ..fine()
            },
        ),
        (
            "many errors",
            Behaviour {
                errors: 0.1,
                ..fine()
            },
        ),
        (
            "slow",
            Behaviour {
                errors: 0.001,
                ..Behaviour::slow(1.5, 0.0)
            },
        ),
        (
            "hanging",
            Behaviour {
                errors: 0.001,
                ..Behaviour::slow(1.0, 0.1)
            },
        ),
    ];
    for (what, canary) in cases {
        let found = count(what, |seed| {
            let ticks = rollout(seed, |_| 100.0, |_| (fine(), canary.clone()));
            rolled_back(&judge(0.01), ticks.take_while(|tick| tick.until <= 300))
        });
        let share = found as f64 / runs() as f64;
        println!("{what}: {share} of the rollouts in the first stage");
        assert!(share > 0.9, "{what}: found in {share} of the rollouts");
    }
}

/// Users that stay with their version: few make most of the requests, and those that fail, fail half of the time.
struct Users {
    failing: Vec<Failing>,
    /// The requests a second of the others, added up for each percent of the split.
    well: [f64; 100],
}

/// A user that fails with the canary, or with both versions.
struct Failing {
    rate: f64,
    /// Where it stands in the split, 0 to 1.
    place: f64,
    with_stable: bool,
    failed: bool,
}

impl Users {
    /// What share of the users fails with the stable version and, no less, with the canary.
    fn new(rate: f64, stable: f64, canary: f64, rng: &mut Rng) -> Self {
        let busy: Vec<f64> = (0..3000).map(|_| (1.5 * normal(rng)).exp()).collect();
        let all: f64 = busy.iter().sum();
        let mut users = Self {
            failing: Vec::new(),
            well: [0.0; 100],
        };
        for busy in busy {
            let (rate, place, luck) = (busy / all * rate, rng.f64(), rng.f64());
            if luck < canary {
                users.failing.push(Failing {
                    rate,
                    place,
                    with_stable: luck < stable,
                    failed: false,
                });
            } else {
                users.well[(place * 100.0) as usize] += rate;
            }
        }
        users
    }

    fn window(&mut self, at: u64, rng: &mut Rng) -> Window {
        let weight = STAGES
            .iter()
            .find(|(_, until)| at < *until)
            .expect("in a stage")
            .0;
        let mut arms = [0, 1].map(|_| Traffic {
            failed_users: Some(0),
            ..Traffic::default()
        });
        for (percent, rate) in (0..).zip(&self.well) {
            arms[usize::from(percent < weight)].requests += poisson(rate * TICK as f64, rng);
        }
        for user in &mut self.failing {
            let in_canary = user.place * 100.0 < f64::from(weight);
            let arm = &mut arms[usize::from(in_canary)];
            for _ in 0..poisson(user.rate * TICK as f64, rng) {
                arm.requests += 1;
                if (in_canary || user.with_stable) && rng.bool() {
                    arm.errors += 1;
                    let first = !std::mem::replace(&mut user.failed, true);
                    arm.failed_users = arm.failed_users.map(|users| users + u64::from(first));
                }
            }
        }
        let [stable, canary] = arms;
        Window::new(Duration::from_secs(at), Duration::from_secs(at + TICK))
            .with_weight(weight)
            .with_stable(stable)
            .with_canary(canary)
    }
}

fn sticky(seed: u64, judge: &Sequential, stable: f64, canary: f64) -> Verdict {
    let mut rng = Rng::with_seed(seed);
    let mut users = Users::new(100.0, stable, canary, &mut rng);
    judged(
        judge,
        (0..1800)
            .step_by(TICK as usize)
            .map(|at| users.window(at, &mut rng)),
    )
}

#[test]
fn users_that_stay_and_fail_alike_with_both_versions_roll_no_canary_back() {
    let told = judge(0.01).sticky(true);
    at_most("users that stay", 0.01, |seed| {
        matches!(sticky(seed, &told, 0.01, 0.01), Verdict::Rollback(_))
    });

    // Had it not been told that they stay, each of their failures would look like one of its own.
    let not_told = judge(0.01);
    let wrong = count("users that stay", |seed| {
        matches!(sticky(seed, &not_told, 0.01, 0.01), Verdict::Rollback(_))
    });
    assert!(
        wrong as f64 > 0.1 * runs() as f64,
        "only {wrong} of {} were wrong: the world is too mild",
        runs()
    );
}

#[test]
fn a_canary_that_fails_more_users_is_found() {
    let told = judge(0.01).sticky(true);
    let found = count("users of a bad canary", |seed| {
        matches!(sticky(seed, &told, 0.002, 0.02), Verdict::Rollback(_))
    });
    println!("users of a bad canary: {found} of {}", runs());
    assert!(found as f64 > 0.9 * runs() as f64, "found {found} of {}", runs());
}
