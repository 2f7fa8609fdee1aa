//! Counts drawn at random, the same on every machine: logarithms and cosines are `libm`'s.

use fastrand::Rng;

/// Above this variance a normal distribution is as good: what it is wrong by is far less than what a run differs from
/// the next by.
const NORMAL_FROM: f64 = 100.0;

fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * libm::log(1.0 - rng.f64())).sqrt();
    radius * libm::cos(std::f64::consts::TAU * rng.f64())
}

/// How many come, of whom `mean` come on average.
pub(super) fn poisson(mean: f64, rng: &mut Rng) -> u64 {
    if mean > NORMAL_FROM {
        // The conversion saturates.
        return (mean + mean.sqrt() * normal(rng)).round() as u64;
    }
    if mean <= 0.0 {
        return 0;
    }
    let (mut count, mut likely, mut left) = (0_u64, libm::exp(-mean), rng.f64());
    while left > likely && count < 1000 {
        left -= likely;
        count += 1;
        likely *= mean / count as f64;
    }
    count
}

/// How many of so many, each with this probability.
pub(super) fn binomial(of: u64, probability: f64, rng: &mut Rng) -> u64 {
    if probability > 0.5 {
        return of.saturating_sub(binomial(of, 1.0 - probability, rng));
    }
    if probability <= 0.0 || of == 0 {
        return 0;
    }
    let n = of as f64;
    let (mean, rest) = (n * probability, 1.0 - probability);
    if mean * rest > NORMAL_FROM {
        let count = (mean + (mean * rest).sqrt() * normal(rng)).round();
        return (count as u64).min(of);
    }
    let (mut count, mut likely, mut left) = (0_u64, libm::exp(n * libm::log1p(-probability)), rng.f64());
    let odds = probability / rest;
    while left > likely && count < of {
        left -= likely;
        count += 1;
        likely *= odds * (n - count as f64 + 1.0) / count as f64;
    }
    count
}
