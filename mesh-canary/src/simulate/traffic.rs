//! The traffic of a version while it behaves in one way.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use mesh_core::metric::{Histogram, Traffic};

use super::draw::{binomial, poisson};
use super::scenario::Now;

/// The edges of the page's histogram, in milliseconds: fewer than evidence in production has, since each costs a draw. What a
/// plan compares with is among them, so that nothing is decided otherwise; a percentile that is shown is less precise.
const EDGES: [u64; 15] = [
    1, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000,
];

/// How far response times spread: the standard deviation of their logarithm.
const SPREAD: f64 = 0.6;
/// How many of those lie below the 95th percentile of a normal distribution.
const P95: f64 = 1.644_853_626_951_472_7;

/// The mesh's own edges, and those that a plan compares with.
pub(super) fn edges(compared: impl Iterator<Item = Duration>) -> Arc<[Duration]> {
    let own = EDGES.into_iter().map(Duration::from_millis);
    let mut edges: Vec<Duration> = own.chain(compared).collect();
    edges.sort_unstable();
    edges.dedup();
    edges.into()
}

/// A version that behaves in one way.
pub(super) struct Arm {
    now: Now,
    edges: Arc<[Duration]>,
    /// The share of requests slower than each edge.
    slower: Vec<f64>,
}

impl Arm {
    pub(super) fn new(now: Now, edges: &Arc<[Duration]>) -> Self {
        let middle = libm::log(now.p95.as_secs_f64()) - P95 * SPREAD;
        let slower = |edge: &Duration| {
            let z = (libm::log(edge.as_secs_f64()) - middle) / SPREAD;
            0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
        };
        Self {
            now,
            slower: edges.iter().map(slower).collect(),
            edges: Arc::clone(edges),
        }
    }

    /// What it does with `mean` requests on average.
    pub(super) fn traffic(&self, mean: f64, length: Duration, rng: &mut Rng) -> Traffic {
        let requests = poisson(mean, rng);
        let errors = binomial(requests, self.now.error_rate, rng);
        let mut counts = Vec::with_capacity(self.slower.len().saturating_add(1));
        let (mut left, mut share) = (requests, 1.0);
        for slower in &self.slower {
            // Of those that are slower than the edge before, so many are slower than this one too.
            let beyond = if share > 0.0 {
                binomial(left, (slower / share).min(1.0), rng)
            } else {
                0
            };
            counts.push(left.saturating_sub(beyond));
            (left, share) = (beyond, *slower);
        }
        counts.push(left);
        Traffic {
            requests,
            errors,
            latency: Histogram::new(Arc::clone(&self.edges), counts).unwrap_or_default(),
            covered: length,
            ..Traffic::default()
        }
    }

    /// Of the requests that failed with this version, the share that would not have failed with another.
    pub(super) fn blame(&self, other: &Self) -> f64 {
        let (own, other) = (self.now.error_rate, other.now.error_rate);
        if own > other { (own - other) / own } else { 0.0 }
    }
}
