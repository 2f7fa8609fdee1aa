//! Anyone, by weight.

use std::sync::Arc;

use super::candidate::{Candidate, candidates};
use super::chance::{ByChance, Chances, below};
use crate::balancer::{LoadBalancer, Picker, SlotView};

/// Any endpoint, as likely as its weight says. What it carries makes no difference.
///
/// A pick takes the same time for two endpoints and for ten thousand: they stand in an alias table (Walker's,
/// as Vose builds it).
///
/// ```
/// use std::sync::Arc;
/// use mesh_core::Endpoint;
/// use mesh_lb::{LoadBalancer, PickContext, SlotView, Weighted};
/// use tokio::time::Instant;
///
/// let slot = |weight| -> Result<SlotView, mesh_core::endpoint::AddressError> {
///     let endpoint = Endpoint::new(format!("10.0.0.{weight}:3001").parse()?).with_weight(weight);
///     Ok(SlotView::new(Arc::new(endpoint), Arc::default()))
/// };
/// let picker = Weighted::new().picker(&[slot(1)?, slot(3)?]);
/// let mut random = fastrand::Rng::with_seed(1);
/// let mut pick = || picker.pick(&PickContext::new(random.u64(..), Instant::now()));
/// let heavy = (0..10_000).filter(|_| pick() == Some(1)).count();
/// assert!((7_300..7_700).contains(&heavy), "{heavy}");
/// # Ok::<(), mesh_core::endpoint::AddressError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Weighted;

impl Weighted {
    /// Anyone, by weight.
    pub fn new() -> Self {
        Self
    }
}

impl LoadBalancer for Weighted {
    fn picker(&self, slots: &[SlotView]) -> Arc<dyn Picker> {
        Arc::new(ByChance(AliasTable::new(&candidates(slots))))
    }
}

/// As many columns of one height as there are slots, each filled by one slot, or by two.
struct AliasTable {
    columns: Box<[Column]>,
    /// Slots and their weights, for the draws that must leave some out.
    weights: Box<[(usize, u32)]>,
}

#[derive(Clone, Copy)]
struct Column {
    slot: u32,
    alias: u32,
    /// The part of the column that is `slot`'s, in 2⁻³²; the rest is `alias`'s.
    part: u32,
}

impl AliasTable {
    fn new(candidates: &[Candidate]) -> Self {
        let total: u64 = candidates.iter().map(|c| u64::from(c.weight)).sum();
        // Each column is `total` high, so that a slot fills its weight times the number of columns.
        let mut fill: Vec<u64> = candidates
            .iter()
            .map(|c| u64::from(c.weight) * candidates.len() as u64)
            .collect();
        let mut columns: Vec<Column> = candidates
            .iter()
            .map(|c| Column {
                slot: c.slot as u32,
                alias: c.slot as u32,
                part: u32::MAX,
            })
            .collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..fill.len()).partition(|column| fill[*column] < total);
        while let (Some(&giver), Some(column)) = (large.last(), small.pop()) {
            columns[column].alias = columns[giver].slot;
            columns[column].part = ((u128::from(fill[column]) << 32) / u128::from(total)) as u32;
            fill[giver] -= total - fill[column];
            if fill[giver] < total {
                large.pop();
                small.push(giver);
            }
        }
        Self {
            columns: columns.into_boxed_slice(),
            weights: candidates.iter().map(|c| (c.slot, c.weight)).collect(),
        }
    }
}

impl Chances for AliasTable {
    fn draw(&self, random: u64) -> Option<usize> {
        let column = self
            .columns
            .get(below(self.columns.len(), (random >> 32) as u32))?;
        let own = (random as u32) < column.part;
        Some(if own { column.slot } else { column.alias } as usize)
    }

    fn shares(&self) -> impl Iterator<Item = (usize, u32)> + Clone {
        self.weights.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_slots;
    use super::*;
    use crate::balancer::PickContext;

    proptest::proptest! {
        #[test]
        fn the_columns_hold_each_weight_to_the_last_bit(
            weights in proptest::collection::vec(proptest::prop_oneof![0_u32..5, 0_u32..=u32::MAX], 0..50),
        ) {
            let table = AliasTable::new(&candidates(&test_slots(&weights)));
            let mut held = vec![0_u64; weights.len()];
            for column in &table.columns {
                // What is all a slot's own has itself for an alias.
                held[column.slot as usize] += u64::from(column.part);
                held[column.alias as usize] += (1 << 32) - u64::from(column.part);
            }
            let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
            let height = 2_f64.powi(32) * table.columns.len() as f64;
            for (weight, held) in weights.iter().zip(held) {
                let want = if total > 0.0 { f64::from(*weight) / total * height } else { 0.0 };
                proptest::prop_assert!((held as f64 - want).abs() <= table.columns.len() as f64 * 2.0 + want * 1e-9);
            }
        }
    }

    #[test]
    fn what_is_left_when_the_likely_ones_were_tried_is_found_by_its_weight() {
        let picker = Weighted::new().picker(&test_slots(&[1_000_000, 1, 3]));
        let mut random = fastrand::Rng::with_seed(1);
        let now = tokio::time::Instant::now();
        let mut pick = || picker.pick(&PickContext::new(random.u64(..), now).avoiding(&[0]));
        let heavy = (0..10_000).filter(|_| pick() == Some(2)).count();
        assert!((7_300..7_700).contains(&heavy), "{heavy}");
    }
}
