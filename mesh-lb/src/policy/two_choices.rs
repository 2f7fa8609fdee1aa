//! The better of two endpoints at random.

use tokio::time::Instant;

use super::alias::AliasTable;
use super::candidate::Candidate;
use super::chance::below;
use crate::balancer::{PickContext, Picker};

/// Draws two different candidates by weight, and takes the second if `better(second, first, now)`.
pub(super) struct TwoChoices<F> {
    candidates: Box<[Candidate]>,
    weights: Weights,
    better: F,
}

enum Weights {
    Equal,
    Different {
        table: AliasTable,
        /// The sum of the weights up to and with each candidate's.
        sums: Box<[u64]>,
    },
}

impl<F> TwoChoices<F>
where
    F: Fn(&Candidate, &Candidate, Instant) -> bool,
{
    pub(super) fn new(candidates: Box<[Candidate]>, better: F) -> Self {
        let equal = candidates.iter().all(|c| c.weight == candidates[0].weight);
        let weights = if equal {
            Weights::Equal
        } else {
            let sums = candidates.iter().scan(0, |sum, candidate| {
                *sum += u64::from(candidate.weight);
                Some(*sum)
            });
            Weights::Different {
                table: AliasTable::new((0..).zip(candidates.iter().map(|c| c.weight))),
                sums: sums.collect(),
            }
        };
        Self {
            candidates,
            weights,
            better,
        }
    }

    fn better_of<'a>(&self, a: &'a Candidate, b: &'a Candidate, now: Instant) -> &'a Candidate {
        if (self.better)(b, a, now) { b } else { a }
    }

    /// Two different ones by weight; nothing if there are not two.
    fn draw(&self, random: u64) -> Option<(&Candidate, &Candidate)> {
        let n = self.candidates.len();
        if n < 2 {
            return None;
        }
        let (first, second) = match &self.weights {
            Weights::Equal => {
                let first = below(n, (random >> 32) as u32);
                let other = below(n - 1, random as u32);
                (first, if other < first { other } else { other + 1 })
            }
            Weights::Different { table, sums } => {
                let mut more = fastrand::Rng::with_seed(random);
                let first = table.draw(random)? as usize;
                // Of a heavy one the table would draw the same again and again.
                let second = match table.draw(more.u64(..))? as usize {
                    second if second != first => second,
                    _ => other_by_weight(sums, first, more.u64(..)),
                };
                (first, second)
            }
        };
        Some((self.candidates.get(first)?, self.candidates.get(second)?))
    }
}

impl<F> Picker for TwoChoices<F>
where
    F: Fn(&Candidate, &Candidate, Instant) -> bool + Send + Sync + 'static,
{
    fn pick(&self, cx: &PickContext<'_>) -> Option<usize> {
        let Some((a, b)) = self.draw(cx.random) else {
            return self.candidates.first().map(|c| c.slot);
        };
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

/// The place in `sums` of a candidate other than this one, by weight. There are at least two.
fn other_by_weight(sums: &[u64], than: usize, random: u64) -> usize {
    let before = than.checked_sub(1).map_or(0, |at| sums[at]);
    let weight = sums[than] - before;
    let rest = sums[sums.len() - 1] - weight;
    let point = ((u128::from(rest) * u128::from(random)) >> 64) as u64;
    let point = if point < before { point } else { point + weight };
    sums.partition_point(|sum| *sum <= point)
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
            let (first, second) = choices.draw(random.u64(..)).expect("there are two");
            counts[first.slot][second.slot] += 1.0 / f64::from(draws);
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
            let pairs = pairs(weights, 50_000);
            for (a, of_a) in weights.iter().zip(&pairs).enumerate() {
                for (b, weight) in weights.iter().enumerate() {
                    let (wa, wb) = (f64::from(*of_a.0), f64::from(*weight));
                    let want = if a == b {
                        0.0
                    } else {
                        wa / total * wb / (total - wa)
                    };
                    let tolerance = if want == 0.0 { 0.0 } else { 0.01 };
                    assert!((of_a.1[b] - want).abs() <= tolerance, "{weights:?}: {pairs:?}");
                }
            }
        }
    }
}
