//! Each of the statistics is wrong no more often than it says.

use mesh_canary::statistics::{Comparison, Confidence, Guard, SplitCheck, Tally};

use crate::world::{Behaviour, PLANNED, Tick, at_most, rollout};

const RATES: [f64; 3] = [10.0, 100.0, 1000.0];
const ERRORS: [f64; 3] = [0.001, 0.01, 0.03];
const ALPHAS: [f64; 2] = [0.05, 0.01];

fn both(errors: f64) -> (Behaviour, Behaviour) {
    (Behaviour::failing(errors), Behaviour::failing(errors))
}

/// Whether the comparison of errors ever reaches the evidence.
fn found(mut comparison: Comparison, ticks: impl Iterator<Item = Tick>, alpha: f64) -> bool {
    for tick in ticks {
        comparison.observe(
            tick.share(),
            tick.canary.errors,
            tick.stable.errors,
            tick.length(),
        );
        if comparison.evidence() >= 1.0 / alpha {
            return true;
        }
    }
    false
}

#[test]
fn two_versions_that_fail_as_often_are_told_apart_no_more_often_than_stated() {
    for alpha in ALPHAS {
        for rate in RATES {
            for errors in ERRORS {
                let cell = format!("equal, {rate} rps, {errors} errors, alpha {alpha}");
                at_most(&cell, alpha, |seed| {
                    let ticks = rollout(seed, |_| rate, |_| both(errors));
                    found(Comparison::at_any_time(PLANNED), ticks, alpha)
                });
            }
        }
    }
}

#[test]
fn a_bet_from_the_start_is_wrong_no_more_often_either() {
    for rate in RATES {
        at_most(&format!("plain, {rate} rps"), 0.05, |seed| {
            let ticks = rollout(seed, |_| rate, |_| both(0.01));
            found(Comparison::from_the_start(), ticks, 0.05)
        });
    }
}

#[test]
fn a_canary_within_the_tolerance_is_found_no_more_often_than_stated() {
    for alpha in ALPHAS {
        for rate in RATES {
            at_most(&format!("tolerated, {rate} rps, alpha {alpha}"), alpha, |seed| {
                let worse = (Behaviour::failing(0.01), Behaviour::failing(0.015));
                let ticks = rollout(seed, |_| rate, |_| worse.clone());
                found(Comparison::at_any_time(PLANNED).tolerate(1.5), ticks, alpha)
            });
        }
    }
}

#[test]
fn load_and_errors_that_change_for_both_are_not_held_against_the_canary() {
    for rate in RATES {
        at_most(&format!("drifting, {rate} rps"), 0.01, |seed| {
            // Twice up and down again within the rollout.
            let swing = |at: u64| (1.0 - (at as f64 / 900.0 * std::f64::consts::TAU).cos()) / 2.0;
            let ticks = rollout(
                seed,
                |at| rate * (0.1 + 0.9 * swing(at)),
                |at| both(0.01 + 0.04 * swing(at)),
            );
            found(Comparison::at_any_time(PLANNED), ticks, 0.01)
        });
    }
}

#[test]
fn an_outage_of_both_is_not_held_against_the_canary() {
    for rate in RATES {
        at_most(&format!("outage, {rate} rps"), 0.01, |seed| {
            let errors = |at: u64| if (700..760).contains(&at) { 0.5 } else { 0.001 };
            let ticks = rollout(seed, |_| rate, |at| both(errors(at)));
            found(Comparison::at_any_time(PLANNED), ticks, 0.01)
        });
    }
}

#[test]
fn a_version_at_its_limit_exceeds_it_no_more_often_than_stated() {
    for alpha in ALPHAS {
        for rate in RATES {
            for errors in [0.03, 0.05] {
                at_most(
                    &format!("guard, {rate} rps, {errors} errors, alpha {alpha}"),
                    alpha,
                    |seed| {
                        let mut guard = Guard::at_any_time(0.05, PLANNED);
                        rollout(seed, |_| rate, |_| both(errors)).any(|tick| {
                            guard.observe(
                                Tally::new(tick.canary.errors, tick.canary.requests),
                                tick.length(),
                            );
                            guard.evidence() >= 1.0 / alpha
                        })
                    },
                );
            }
        }
    }
}

#[test]
fn bounds_hold_at_every_moment_of_a_rollout() {
    for (what, confidence) in [
        ("bounds", Confidence::new(0.05)),
        ("bounds of at most 0.01", Confidence::of_at_most(0.01, 0.05)),
    ] {
        for errors in ERRORS {
            at_most(&format!("{what}, {errors} errors"), 0.05, |seed| {
                let mut seen = Tally::default();
                rollout(seed, |_| 30.0, |_| both(errors)).any(|tick| {
                    seen = seen.plus(Tally::new(tick.canary.errors, tick.canary.requests));
                    confidence.proves_at_most(errors, seen) || confidence.proves_more_than(errors, seen)
                })
            });
        }
    }
}

#[test]
fn a_split_that_is_right_is_called_wrong_no_more_often_than_stated() {
    for alpha in ALPHAS {
        for rate in RATES {
            at_most(&format!("split, {rate} rps, alpha {alpha}"), alpha, |seed| {
                let (check, mut seen) = (SplitCheck::of(0.05), Tally::default());
                rollout(seed, |_| rate, |_| both(0.0))
                    .take_while(|tick| tick.weight == 5)
                    .any(|tick| {
                        let (canary, stable) = (tick.canary.requests, tick.stable.requests);
                        seen = seen.plus(Tally::new(canary, canary + stable));
                        check.evidence(seen) >= 1.0 / alpha
                    })
            });
        }
    }
}
