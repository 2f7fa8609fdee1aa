//! Latencies counted between fixed edges.

use std::sync::Arc;
use std::time::Duration;

/// How many latencies fell between which edges. A latency equal to an edge counts below it, as Prometheus'
/// `le` does.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::metric::Histogram;
///
/// let ms = Duration::from_millis;
/// let histogram = Histogram::new([ms(100), ms(500)].into(), vec![90, 8, 2]).expect("three counts for two edges");
/// assert_eq!(histogram.count(), 100);
/// assert_eq!(histogram.slower_than(ms(500)), Some(2));
/// assert_eq!(histogram.quantile(0.5), Some(ms(100).mul_f64(50.0 / 90.0)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    edges: Arc<[Duration]>,
    counts: Vec<u64>,
}

impl Histogram {
    /// Counts between edges: `counts[0]` up to the first edge, one more than there are edges. `None` if there
    /// are not so many, or the edges do not rise.
    pub fn new(edges: Arc<[Duration]>, counts: Vec<u64>) -> Option<Self> {
        let rising = edges.is_sorted_by(|a, b| a < b);
        (rising && counts.len() == edges.len() + 1).then_some(Self { edges, counts })
    }

    /// The edges.
    pub fn edges(&self) -> &Arc<[Duration]> {
        &self.edges
    }

    /// The counts: up to the first edge, between each two, above the last.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many latencies there are.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many were longer than `edge`; `None` if it is not one of the edges, since the answer would be a
    /// guess. [`nearest_edge`](Self::nearest_edge) finds one.
    pub fn slower_than(&self, edge: Duration) -> Option<u64> {
        let at = self.edges.binary_search(&edge).ok()?;
        Some(
            self.counts
                .iter()
                .skip(at + 1)
                .fold(0, |sum, count| sum.saturating_add(*count)),
        )
    }

    /// The edge nearest to a latency, the lower of two; `None` without edges.
    pub fn nearest_edge(&self, latency: Duration) -> Option<Duration> {
        self.edges
            .iter()
            .copied()
            .min_by_key(|edge| edge.abs_diff(latency))
    }

    /// The latency that the share `q` (0 to 1) did not exceed, evenly spread between two edges. Above the last
    /// edge it is that edge: the true value is at least so long. `None` if nothing was counted.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let total = self.count();
        if total == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = q * total as f64;
        let mut below = 0_u64;
        let mut from = Duration::ZERO;
        for (edge, count) in self.edges.iter().zip(&self.counts) {
            let up_to = below.saturating_add(*count);
            if *count > 0 && up_to as f64 >= rank {
                let share = ((rank - below as f64) / *count as f64).clamp(0.0, 1.0);
                let part = (*edge - from).as_secs_f64() * share;
                let part = Duration::try_from_secs_f64(part).unwrap_or(*edge);
                return Some(from.saturating_add(part).min(*edge));
            }
            below = up_to;
            from = *edge;
        }
        self.edges.last().copied()
    }

    /// What was added since `earlier`. `None` if the edges differ or a count went back.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        self.combine(earlier, u64::checked_sub)
    }

    /// Both together. `None` if the edges differ.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Option<Self> {
        self.combine(other, |a, b| Some(a.saturating_add(b)))
    }

    fn combine(&self, other: &Self, with: impl Fn(u64, u64) -> Option<u64>) -> Option<Self> {
        if self.edges != other.edges {
            return None;
        }
        let pairs = self.counts.iter().zip(&other.counts);
        let counts = pairs.map(|(a, b)| with(*a, *b)).collect::<Option<_>>()?;
        Some(Self {
            edges: Arc::clone(&self.edges),
            counts,
        })
    }
}

/// No edges, nothing counted.
impl Default for Histogram {
    fn default() -> Self {
        Self {
            edges: Arc::from([]),
            counts: vec![0],
        }
    }
}
