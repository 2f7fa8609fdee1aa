//! Anyone, by weight.

use std::sync::Arc;

use super::alias::AliasTable;
use super::chance::{ByChance, Chances};
use crate::balancer::{LoadBalancer, Picker, SlotView};

/// Any endpoint, as likely as its weight says. What it carries makes no difference.
///
/// A pick takes the same time for two endpoints and for ten thousand: they stand in an alias table.
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
        let weights: Box<[(u32, u32)]> = slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.weight > 0)
            .map(|(slot, view)| (slot as u32, view.weight))
            .collect();
        Arc::new(ByChance(ByWeight {
            table: AliasTable::new(weights.iter().copied()),
            weights,
        }))
    }
}

struct ByWeight {
    table: AliasTable,
    /// Slots and their weights.
    weights: Box<[(u32, u32)]>,
}

impl Chances for ByWeight {
    fn draw(&self, random: u64) -> Option<usize> {
        self.table.draw(random).map(|slot| slot as usize)
    }

    fn shares(&self) -> impl Iterator<Item = (usize, u32)> + Clone {
        self.weights
            .iter()
            .map(|(slot, weight)| (*slot as usize, *weight))
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_slots;
    use super::*;
    use crate::balancer::PickContext;

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
