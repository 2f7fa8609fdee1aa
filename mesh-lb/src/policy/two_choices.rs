//! The better of two endpoints at random.

use tokio::time::Instant;

use super::candidate::Candidate;
use super::chance::below;
use crate::balancer::{PickContext, Picker};

/// Draws two different candidates by weight, and takes the second if `better(second, first, now)`.
pub(super) struct TwoChoices<F> {
    candidates: Box<[Candidate]>,
    /// The sum of the weights up to and with each candidate's; empty if all weigh the same.
    sums: Box<[u64]>,
    better: F,
}

impl<F> TwoChoices<F>
where
    F: Fn(&Candidate, &Candidate, Instant) -> bool,
{
    pub(super) fn new(candidates: Box<[Candidate]>, better: F) -> Self {
        let equal = candidates.iter().all(|c| c.weight == candidates[0].weight);
        let sums = candidates.iter().scan(0, |sum, candidate| {
            *sum += u64::from(candidate.weight);
            Some(*sum)
        });
        Self {
            sums: if equal { Box::default() } else { sums.collect() },
            candidates,
            better,
        }
    }

    fn better_of<'a>(&self, a: &'a Candidate, b: &'a Candidate, now: Instant) -> &'a Candidate {
        if (self.better)(b, a, now) { b } else { a }
    }

    /// A candidate, by weight.
    fn draw(&self, random: u32) -> usize {
        match self.sums.last() {
            None => below(self.candidates.len(), random),
            Some(total) => self.at(scale(*total, random)),
        }
    }

    /// A candidate other than this one, by weight. There are at least two.
    fn draw_other(&self, than: usize, random: u32) -> usize {
        let weight = u64::from(self.candidates[than].weight);
        match self.sums.last() {
            None => {
                let other = below(self.candidates.len() - 1, random);
                if other < than { other } else { other + 1 }
            }
            Some(total) => {
                let point = scale(*total - weight, random);
                let before = point < self.sums[than] - weight;
                self.at(if before { point } else { point + weight })
            }
        }
    }

    /// The candidate whose part of the sum holds this point.
    fn at(&self, point: u64) -> usize {
        self.sums.partition_point(|sum| *sum <= point)
    }
}

impl<F> Picker for TwoChoices<F>
where
    F: Fn(&Candidate, &Candidate, Instant) -> bool + Send + Sync + 'static,
{
    fn pick(&self, cx: &PickContext<'_>) -> Option<usize> {
        if self.candidates.len() < 2 {
            return self.candidates.first().map(|c| c.slot);
        }
        let first = self.draw((cx.random >> 32) as u32);
        let second = self.draw_other(first, cx.random as u32);
        let (a, b) = (&self.candidates[first], &self.candidates[second]);
        let picked = match (cx.was_tried(a.slot), cx.was_tried(b.slot)) {
            (false, false) => self.better_of(a, b, cx.now),
            (false, true) => a,
            (true, false) => b,
            (true, true) => {
                let untried = self.candidates.iter().filter(|c| !cx.was_tried(c.slot));
                untried.reduce(|a, b| self.better_of(a, b, cx.now)).unwrap_or(a)
            }
        };
        Some(picked.slot)
    }
}

/// A number below `end`, from 32 random bits.
fn scale(end: u64, random: u32) -> u64 {
    ((u128::from(end) * u128::from(random)) >> 32) as u64
}

#[cfg(test)]
mod tests {
    use super::super::candidate::candidates;
    use super::super::test_slots;
    use super::*;

    /// How often each pair of candidates is compared.
    fn pairs(weights: &[u32], draws: u32) -> Vec<Vec<f64>> {
        let choices = TwoChoices::new(candidates(&test_slots(weights)), |_, _, _| false);
        let mut random = fastrand::Rng::with_seed(3);
        let mut counts = vec![vec![0.0; weights.len()]; weights.len()];
        for _ in 0..draws {
            let first = choices.draw(random.u32(..));
            let second = choices.draw_other(first, random.u32(..));
            counts[first][second] += 1.0 / f64::from(draws);
        }
        counts
    }

    #[test]
    fn the_two_are_different_and_both_drawn_by_weight() {
        for weights in [
            &[1, 1, 1, 1][..],
            &[5, 1, 2, 4],
            &[7, 0, 7],
            &[1, u32::MAX, 3],
            &[2, 1],
        ] {
            let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
            let pairs = pairs(weights, 200_000);
            let kept: Vec<f64> = weights
                .iter()
                .filter(|w| **w > 0)
                .map(|w| f64::from(*w))
                .collect();
            for (a, wa) in kept.iter().enumerate() {
                assert_eq!(pairs[a][a], 0.0);
                for (b, wb) in kept.iter().enumerate().filter(|(b, _)| *b != a) {
                    let want = wa / total * wb / (total - wa);
                    assert!((pairs[a][b] - want).abs() < 0.005, "{weights:?}: {pairs:?}");
                }
            }
        }
    }
}
