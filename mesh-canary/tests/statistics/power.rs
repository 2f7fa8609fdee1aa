//! How soon what is wrong is found. The numbers were simulated apart from this code, from the formulas alone: they
//! must come out again within 15 % (or one tick).

use mesh_canary::statistics::{Comparison, Guard, Tally};

use crate::world::{Behaviour, PLANNED, TICK, Tick, rollout, runs};

/// When the evidence reaches 100, in each of the rollouts; `u64::MAX` where it does not. Sorted.
fn times(cell: &str, mut when: impl FnMut(u64) -> Option<u64>) -> Vec<u64> {
    let mut times = Vec::new();
    crate::world::count(cell, |seed| {
        times.push(when(seed).unwrap_or(u64::MAX));
        true
    });
    times.sort_unstable();
    times
}

fn expect_time(cell: &str, times: &[u64], quantile: f64, expected: u64) {
    let found = times[((times.len() - 1) as f64 * quantile) as usize];
    println!("{cell}: {found} s (expected {expected} s)");
    // So few runs as without optimization tell no quantiles.
    if runs() >= 1000 {
        let within = (expected as f64 * 0.15).max(TICK as f64);
        assert!(
            (found as f64 - expected as f64).abs() <= within,
            "{cell}: after {found} s, expected {expected} s"
        );
    }
}

fn expect_share(cell: &str, found: usize, expected: f64) {
    let found = found as f64 / runs() as f64;
    println!("{cell}: in {found:.3} of the rollouts (expected {expected})");
    let noise = 3.0 * (expected * (1.0 - expected) / runs() as f64).sqrt();
    assert!(
        (found - expected).abs() <= expected * 0.15 + noise,
        "{cell}: {found}, expected {expected}"
    );
}

fn found(mut comparison: Comparison, ticks: impl Iterator<Item = Tick>) -> Option<u64> {
    let mut ticks = ticks;
    let found = ticks.find(|tick| {
        comparison.observe(
            tick.share(),
            tick.canary.errors,
            tick.stable.errors,
            tick.length(),
        );
        comparison.evidence() >= 100.0
    });
    found.map(|tick| tick.until)
}

/// A canary that goes from one error rate to another at a moment, while the stable version stays.
fn worse(cell: &str, rate: f64, errors: (f64, f64), since: u64, comparison: &Comparison) -> Vec<u64> {
    let all = times(cell, |seed| {
        let behaves = |at| {
            let canary = if at < since { errors.0 } else { errors.1 };
            (Behaviour::failing(errors.0), Behaviour::failing(canary))
        };
        found(comparison.clone(), rollout(seed, |_| rate, behaves))
    });
    all.into_iter()
        .map(|time| {
            if time == u64::MAX {
                time
            } else {
                time.saturating_sub(since)
            }
        })
        .collect()
}

#[test]
fn a_canary_that_fails_from_the_start_is_found_as_soon_as_it_should() {
    // Requests a second, errors before and after, found in the first stage, median, 90th percentile.
    let cases = [
        (10.0, (0.001, 0.01), 0.13, Some(590), Some(950)),
        (100.0, (0.001, 0.01), 0.98, Some(85), Some(200)),
        (1000.0, (0.001, 0.01), 1.0, Some(10), Some(25)),
        (10.0, (0.01, 0.05), 0.54, Some(275), Some(480)),
        (100.0, (0.01, 0.05), 1.0, Some(35), Some(65)),
        (1000.0, (0.01, 0.05), 1.0, Some(5), Some(10)),
        (10.0, (0.01, 0.02), 0.03, Some(1220), None),
        (100.0, (0.01, 0.02), 0.51, Some(295), Some(465)),
        (1000.0, (0.01, 0.02), 1.0, Some(35), Some(70)),
    ];
    for (rate, errors, early, median, late) in cases {
        let cell = format!("from the start, {rate} rps, {errors:?}");
        let times = worse(&cell, rate, errors, 0, &Comparison::from_the_start());
        expect_share(&cell, times.iter().filter(|time| **time <= 300).count(), early);
        for (quantile, expected) in [(0.5, median), (0.9, late)] {
            if let Some(expected) = expected {
                expect_time(&format!("{cell}, {quantile}"), &times, quantile, expected);
            }
        }
    }
}

#[test]
fn a_canary_that_begins_to_fail_later_is_found_sooner_by_bets_that_begin_later() {
    // Requests a second, errors before and after, since when, median of bets from the start and at any time.
    let cases = [
        (10.0, (0.001, 0.01), 900, 435, 380),
        (100.0, (0.001, 0.01), 900, 100, 55),
        (1000.0, (0.001, 0.01), 900, 30, 10),
        (10.0, (0.01, 0.05), 900, 240, 155),
        (100.0, (0.01, 0.05), 900, 65, 25),
        (1000.0, (0.01, 0.05), 900, 40, 5),
        (100.0, (0.01, 0.02), 1300, 295, 115),
        (1000.0, (0.01, 0.02), 1300, 215, 15),
    ];
    for (rate, errors, since, plain, mixed) in cases {
        let cell = format!("since {since} s, {rate} rps, {errors:?}");
        let times = worse(&cell, rate, errors, since, &Comparison::from_the_start());
        expect_time(&format!("{cell}, from the start"), &times, 0.5, plain);
        let times = worse(&cell, rate, errors, since, &Comparison::at_any_time(PLANNED));
        expect_time(&format!("{cell}, at any time"), &times, 0.5, mixed);
    }
}

#[test]
fn a_version_above_its_limit_is_found_as_soon_as_it_should() {
    let cases = [
        (10.0, 0.1, 405),
        (100.0, 0.1, 55),
        (1000.0, 0.1, 10),
        (10.0, 0.2, 80),
        (100.0, 0.2, 10),
        (1000.0, 0.2, 5),
    ];
    for (rate, errors, median) in cases {
        let cell = format!("guard, {rate} rps, {errors} errors");
        let times = times(&cell, |seed| {
            let mut guard = Guard::from_the_start(0.05);
            let fails = (Behaviour::failing(0.001), Behaviour::failing(errors));
            let mut ticks = rollout(seed, |_| rate, |_| fails.clone());
            let found = ticks.find(|tick| {
                guard.observe(
                    Tally::new(tick.canary.errors, tick.canary.requests),
                    tick.length(),
                );
                guard.evidence() >= 100.0
            });
            found.map(|tick| tick.until)
        });
        expect_time(&cell, &times, 0.5, median);
    }
}

/// The mean of comparisons at four percentiles.
fn slower(mut comparisons: [Comparison; 4], ticks: impl Iterator<Item = Tick>) -> Option<u64> {
    let mut ticks = ticks;
    let found = ticks.find(|tick| {
        for (n, comparison) in comparisons.iter_mut().enumerate() {
            comparison.observe(
                tick.share(),
                tick.canary.slower[n],
                tick.stable.slower[n],
                tick.length(),
            );
        }
        comparisons.iter().map(Comparison::evidence).sum::<f64>() / 4.0 >= 100.0
    });
    found.map(|tick| tick.until)
}

#[test]
fn a_canary_that_is_slower_is_found_as_soon_as_it_should() {
    // Requests a second, how much slower, how many hang, median.
    let cases = [
        (10.0, 1.1, 0.0, 1315),
        (100.0, 1.1, 0.0, 335),
        (1000.0, 1.1, 0.0, 40),
        (10.0, 1.25, 0.0, 400),
        (100.0, 1.25, 0.0, 55),
        (1000.0, 1.25, 0.0, 10),
        (10.0, 1.5, 0.0, 130),
        (100.0, 1.5, 0.0, 15),
        (1000.0, 1.5, 0.0, 5),
        (10.0, 1.0, 0.05, 275),
        (100.0, 1.0, 0.05, 30),
        (1000.0, 1.0, 0.05, 5),
    ];
    for (rate, factor, hanging, median) in cases {
        let cell = format!("slower, {rate} rps, {factor} times, {hanging} hang");
        let times = times(&cell, |seed| {
            let does = (Behaviour::slow(1.0, 0.0), Behaviour::slow(factor, hanging));
            let comparisons = std::array::from_fn(|_| Comparison::from_the_start());
            slower(comparisons, rollout(seed, |_| rate, |_| does.clone()))
        });
        expect_time(&cell, &times, 0.5, median);
    }
}
