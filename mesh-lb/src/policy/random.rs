//! Anyone.

use std::sync::Arc;

use super::chance::{ByChance, Chances, below};
use crate::balancer::{LoadBalancer, Picker, SlotView};

/// Any endpoint, each as likely as the others, whatever its weight; except weight 0, which takes no requests.
///
/// It needs no state, so that many clients neither march in step nor herd. [`Weighted`](super::Weighted) is
/// the same by weight.
///
/// ```
/// use std::sync::Arc;
/// use mesh_core::Endpoint;
/// use mesh_lb::{LoadBalancer, PickContext, Random, SlotView};
/// use tokio::time::Instant;
///
/// let slot = |weight| -> Result<SlotView, mesh_core::endpoint::AddressError> {
///     let endpoint = Endpoint::new(format!("10.0.0.{}:3001", weight + 1).parse()?).with_weight(weight);
///     Ok(SlotView::new(Arc::new(endpoint), Arc::default()))
/// };
/// let picker = Random::new().picker(&[slot(0)?, slot(7)?]);
/// assert_eq!(picker.pick(&PickContext::new(fastrand::u64(..), Instant::now())), Some(1));
/// # Ok::<(), mesh_core::endpoint::AddressError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Random;

impl Random {
    /// Anyone.
    pub fn new() -> Self {
        Self
    }
}

impl LoadBalancer for Random {
    fn picker(&self, slots: &[SlotView]) -> Arc<dyn Picker> {
        let usable = slots.iter().enumerate().filter(|(_, slot)| slot.weight > 0);
        Arc::new(ByChance(Uniform(usable.map(|(slot, _)| slot).collect())))
    }
}

struct Uniform(Box<[usize]>);

impl Chances for Uniform {
    fn draw(&self, random: u64) -> Option<usize> {
        self.0.get(below(self.0.len(), (random >> 32) as u32)).copied()
    }

    fn shares(&self) -> impl Iterator<Item = (usize, u32)> + Clone {
        self.0.iter().map(|slot| (*slot, 1))
    }
}
