//! Latencies as counts: how many were slower than an edge of the histogram.

use std::time::Duration;

use mesh_core::metric::{Histogram, Traffic};

use crate::analyzer::Window;
use crate::statistics::{Comparison, Tally};

/// Where the versions are compared: at what the stable version's latencies did not exceed before.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// Whether the canary is slower than the stable version.
pub(super) struct Slower {
    /// The stable version's latencies before the present window: where the window is compared must not depend on
    /// what is in it.
    past: Histogram,
    comparisons: [Comparison; 4],
}

impl Slower {
    pub(super) fn new(comparison: &Comparison) -> Self {
        Self {
            past: Histogram::default(),
            comparisons: std::array::from_fn(|_| comparison.clone()),
        }
    }

    pub(super) fn observe(&mut self, window: &Window) {
        let (canary, stable) = (&window.canary.latency, &window.stable.latency);
        let share = canary.count() as f64 / (canary.count().saturating_add(stable.count())) as f64;
        for (comparison, quantile) in self.comparisons.iter_mut().zip(QUANTILES) {
            let edge = self
                .past
                .quantile(quantile)
                .and_then(|latency| self.past.nearest_edge(latency));
            let slower = |latency: &Histogram| edge.and_then(|edge| latency.slower_than(edge)).unwrap_or(0);
            comparison.observe(share, slower(canary), slower(stable), window.length());
        }
        if self.past.count() == 0 {
            self.past = stable.clone();
        } else if let Some(both) = self.past.plus(stable) {
            self.past = both;
        }
    }

    /// The mean of what each quantile says.
    pub(super) fn evidence(&self) -> f64 {
        self.comparisons.iter().map(Comparison::evidence).sum::<f64>() / QUANTILES.len() as f64
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
