//! Latencies as counts: how many were slower than an edge of the histogram.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::metric::{Histogram, Traffic};

use crate::analyzer::Window;
use crate::statistics::{AtShare, Comparison, Tally};

/// Where the versions are compared: at what the stable version's latencies did not exceed before.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// Whether the canary is slower than the stable version.
pub(super) struct Slower {
    past: Past,
    tolerated: f64,
    comparisons: [Comparison; 4],
}

impl Slower {
    /// Tolerates as much as the comparison, which is asked at each quantile.
    pub(super) fn new(comparison: &Comparison) -> Self {
        Self {
            tolerated: comparison.tolerated(),
            past: Past::default(),
            comparisons: std::array::from_fn(|_| comparison.clone()),
        }
    }

    /// Adds a window; at the canary's share of all requests, which most often is that of the measured ones.
    pub(super) fn observe(&mut self, window: &Window, of_all: AtShare) {
        let (canary, stable) = (&window.canary.latency, &window.stable.latency);
        let (of_canary, of_stable) = (canary.count(), stable.count());
        let share = of_canary as f64 / of_canary.saturating_add(of_stable) as f64;
        let at = if share == of_all.share() {
            of_all
        } else {
            AtShare::new(share, self.tolerated)
        };
        for (comparison, edge) in self.comparisons.iter_mut().zip(self.past.chosen) {
            let slower = |latency: &Histogram| edge.and_then(|edge| latency.slower_than(edge)).unwrap_or(0);
            comparison.observe_at(&at, slower(canary), slower(stable), window.length());
        }
        self.past.add(stable, of_stable);
    }

    /// The mean of what each quantile says.
    pub(super) fn evidence(&self) -> f64 {
        self.comparisons.iter().map(Comparison::evidence).sum::<f64>() / QUANTILES.len() as f64
    }
}

/// The stable version's latencies before the present window: where a window is compared must not depend on what is
/// in it.
#[derive(Default)]
struct Past {
    edges: Arc<[Duration]>,
    counts: Vec<u64>,
    count: u64,
    /// The edges nearest to the quantiles.
    chosen: [Option<Duration>; 4],
    /// How many latencies they were chosen by.
    chosen_by: u64,
}

impl Past {
    fn add(&mut self, latency: &Histogram, count: u64) {
        if self.count == 0 {
            self.edges = Arc::clone(latency.edges());
            self.counts = vec![0; latency.counts().len()];
        }
        if count == 0 || *self.edges != **latency.edges() {
            return;
        }
        for (sum, more) in self.counts.iter_mut().zip(latency.counts()) {
            *sum = sum.saturating_add(*more);
        }
        self.count = self.count.saturating_add(count);
        // Quantiles move little after that, and there are many windows.
        if self.count >= self.chosen_by.saturating_mul(2) {
            self.chosen_by = self.count;
            if let Some(past) = Histogram::new(Arc::clone(&self.edges), self.counts.clone()) {
                self.chosen =
                    QUANTILES.map(|q| past.quantile(q).and_then(|latency| past.nearest_edge(latency)));
            }
        }
    }
}

/// How many were slower than a limit: certainly, if it lies between two edges.
pub(super) fn certainly_slower(traffic: &Traffic, limit: Duration) -> Option<Tally> {
    let latency = &traffic.latency;
    let edge = *latency.edges().iter().find(|edge| **edge >= limit)?;
    Some(Tally::new(latency.slower_than(edge)?, latency.count()))
}

/// How many were slower than a limit: possibly, if it lies between two edges.
pub(super) fn possibly_slower(traffic: &Traffic, limit: Duration) -> Option<Tally> {
    let latency = &traffic.latency;
    if latency.count() == 0 {
        return None;
    }
    let slower = match latency.edges().iter().rev().find(|edge| **edge <= limit) {
        Some(edge) => latency.slower_than(*edge)?,
        None => latency.count(),
    };
    Some(Tally::new(slower, latency.count()))
}
