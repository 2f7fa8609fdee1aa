//! Simulated rollouts, the same for the same seed.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use mesh_canary::Window;
use mesh_core::metric::{Histogram, Traffic};

/// The stages of the mesh's documentation: the canary's share in percent, and when the stage ends.
pub(crate) const STAGES: [(u8, u64); 4] = [(5, 300), (10, 600), (20, 1200), (50, 1800)];
pub(crate) const PLANNED: Duration = Duration::from_secs(1800);
pub(crate) const TICK: u64 = 5;

/// The 50th, 90th, 95th and 99th percentile of a lognormal distribution (σ = 0.6), and the limits of the mesh's
/// documentation, in milliseconds.
pub(crate) const EDGES: [u64; 6] = [100, 216, 268, 404, 500, 1000];

/// How many rollouts are simulated for each number that is asked for.
pub(crate) fn runs() -> u64 {
    let default = if cfg!(debug_assertions) { 50 } else { 1000 };
    std::env::var("STATISTICS_RUNS")
        .map_or(default, |runs| runs.parse().expect("STATISTICS_RUNS is a number"))
}

/// How many of the rollouts something happens in.
pub(crate) fn count(cell: &str, mut happens: impl FnMut(u64) -> bool) -> u64 {
    // Each cell has its own worlds, and the same ones each time.
    let salt = cell.bytes().fold(7_u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    (0..runs())
        .filter(|run| happens(salt.wrapping_add(run.wrapping_mul(0x9E37_79B9_7F4A_7C15))))
        .count() as u64
}

/// No more often than `share`, as far as so many runs can tell.
pub(crate) fn at_most(cell: &str, share: f64, happens: impl FnMut(u64) -> bool) {
    let found = count(cell, happens) as f64 / runs() as f64;
    let most = share + 3.0 * (share * (1.0 - share) / runs() as f64).sqrt();
    println!("{cell}: {found:.4} (at most {share})");
    assert!(
        found <= most,
        "{cell}: {found} of the rollouts, expected at most {most}"
    );
}

/// One tick of both versions.
#[derive(Clone, Debug)]
pub(crate) struct Tick {
    pub(crate) until: u64,
    pub(crate) weight: u8,
    pub(crate) stable: Arm,
    pub(crate) canary: Arm,
}

/// The requests of a version in a tick, its failures, and how many were slower than each edge.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arm {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) slower: Vec<u64>,
}

impl Tick {
    pub(crate) fn share(&self) -> f64 {
        self.canary.requests as f64 / (self.canary.requests + self.stable.requests).max(1) as f64
    }

    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(TICK)
    }

    pub(crate) fn window(&self, edges: &Arc<[Duration]>) -> Window {
        let (from, until) = (
            Duration::from_secs(self.until - TICK),
            Duration::from_secs(self.until),
        );
        Window::new(from, until)
            .with_weight(self.weight)
            .with_stable(self.stable.traffic(edges))
            .with_canary(self.canary.traffic(edges))
    }
}

impl Arm {
    fn traffic(&self, edges: &Arc<[Duration]>) -> Traffic {
        let latency = if self.slower.is_empty() {
            Histogram::default()
        } else {
            let above = self.slower.iter().copied();
            let below = std::iter::once(self.requests).chain(above.clone());
            let counts = below
                .zip(above.chain([0]))
                .map(|(more, less)| more - less)
                .collect();
            Histogram::new(Arc::clone(edges), counts).expect("a count for each edge")
        };
        Traffic {
            requests: self.requests,
            errors: self.errors,
            latency,
            ..Traffic::default()
        }
    }
}

/// What a version does at a moment: how many of its requests fail, and how many are slower than each edge.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    pub(crate) errors: f64,
    pub(crate) slower: Vec<f64>,
}

impl Behaviour {
    pub(crate) fn failing(errors: f64) -> Self {
        Self {
            errors,
            slower: Vec::new(),
        }
    }

    /// How many are slower than [`EDGES`], where latencies are `factor` times as long as in the distribution that
    /// the edges are from, and `hanging` of the requests hang.
    pub(crate) fn slow(factor: f64, hanging: f64) -> Self {
        const SIGMA: f64 = 0.6;
        let edges = [
            0.0,
            1.281_551_565_5,
            1.644_853_627,
            2.326_347_874,
            2.682_396_52,
            3.837_641_82,
        ];
        let slower = edges.map(|z: f64| {
            let z = z - factor.ln() / SIGMA;
            hanging + (1.0 - hanging) * 0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
        });
        Self {
            errors: 0.0,
            slower: slower.to_vec(),
        }
    }

    fn arm(&self, requests: u64, rng: &mut Rng) -> Arm {
        let mut left = (requests, 1.0);
        let slower = self.slower.iter().map(|slower| {
            let of_those = binomial(left.0, slower / left.1, rng);
            left = (of_those, *slower);
            of_those
        });
        Arm {
            slower: slower.collect(),
            errors: binomial(requests, self.errors, rng),
            requests,
        }
    }
}

/// A rollout by the stages: requests a second, and what the stable version and the canary do, at each moment.
pub(crate) fn rollout(
    seed: u64,
    rate: impl Fn(u64) -> f64,
    behaves: impl Fn(u64) -> (Behaviour, Behaviour),
) -> impl Iterator<Item = Tick> {
    let mut rng = Rng::with_seed(seed);
    (0..STAGES[3].1).step_by(TICK as usize).map(move |at| {
        let weight = STAGES
            .iter()
            .find(|(_, until)| at < *until)
            .expect("in a stage")
            .0;
        let all = poisson(rate(at) * TICK as f64, &mut rng);
        let canary = binomial(all, f64::from(weight) / 100.0, &mut rng);
        let (stable_does, canary_does) = behaves(at);
        Tick {
            until: at + TICK,
            weight,
            stable: stable_does.arm(all - canary, &mut rng),
            canary: canary_does.arm(canary, &mut rng),
        }
    })
}

pub(crate) fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Exact up to a mean of 30.
pub(crate) fn poisson(mean: f64, rng: &mut Rng) -> u64 {
    if mean > 30.0 {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0) as u64;
    }
    let (mut count, mut left) = (0, mean);
    loop {
        left += (1.0 - rng.f64()).ln();
        if left < 0.0 {
            return count;
        }
        count += 1;
    }
}

/// Exact: it counts how long one waits for each, or, where there are many, refuses some of what a simpler distribution
/// gives.
pub(crate) fn binomial(of: u64, share: f64, rng: &mut Rng) -> u64 {
    if share <= 0.0 {
        return 0;
    }
    if share > 0.5 {
        return of - binomial(of, 1.0 - share, rng);
    }
    if of as f64 * share >= 10.0 {
        return many_of(of as f64, share, rng) as u64;
    }
    let (mut count, mut at, rest) = (0, 0.0, (-share).ln_1p());
    loop {
        at += ((1.0 - rng.f64()).ln() / rest).floor() + 1.0;
        if at > of as f64 {
            return count;
        }
        count += 1;
    }
}

/// W. Hörmann, *The Generation of Binomial Random Variates* (1993), algorithm BTRS: for a mean of 10 or more.
fn many_of(of: f64, share: f64, rng: &mut Rng) -> f64 {
    let deviation = (of * share * (1.0 - share)).sqrt();
    let b = 1.15 + 2.53 * deviation;
    let a = -0.0873 + 0.0248 * b + 0.01 * share;
    let middle = of * share + 0.5;
    let most_accepted = 0.92 - 4.2 / b;
    let alpha = (2.83 + 5.1 / b) * deviation;
    let ln_odds = (share / (1.0 - share)).ln();
    let mode = ((of + 1.0) * share).floor();
    let ln_ways = |k: f64| -libm::lgamma(k + 1.0) - libm::lgamma(of - k + 1.0);
    let ln_at_mode = ln_ways(mode);
    loop {
        let (u, v) = (rng.f64() - 0.5, 1.0 - rng.f64());
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + middle).floor();
        if us >= 0.07 && v <= most_accepted {
            return k;
        }
        if !(0.0..=of).contains(&k) {
            continue;
        }
        let ln_likely = ln_ways(k) - ln_at_mode + (k - mode) * ln_odds;
        if (v * alpha / (a / (us * us) + b)).ln() <= ln_likely {
            return k;
        }
    }
}

#[test]
fn what_is_drawn_is_distributed_as_it_should() {
    for (of, share) in [
        (20, 0.01),
        (100, 0.3),
        (40, 0.5),
        (5000, 0.1),
        (25_000, 0.001),
        (2000, 0.9),
    ] {
        let (draws, mut rng) = (100_000, Rng::with_seed(1));
        let mut counts = vec![0_u32; of as usize + 1];
        (0..draws).for_each(|_| counts[binomial(of, share, &mut rng) as usize] += 1);
        // The largest distance of the two cumulated distributions; 2.0 are exceeded by chance once in 1500 times.
        let (mut found, mut expected, mut distance) = (0.0, 0.0, 0.0_f64);
        for (k, count) in (0..=of).zip(counts) {
            let (k, of) = (k as f64, of as f64);
            let ways = libm::lgamma(of + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(of - k + 1.0);
            expected += (ways + k * share.ln() + (of - k) * (-share).ln_1p()).exp();
            found += f64::from(count) / f64::from(draws);
            distance = distance.max((found - expected).abs());
        }
        let distance = distance * f64::from(draws).sqrt();
        assert!(distance < 2.0, "{of}, {share}: {distance}");
    }
}
