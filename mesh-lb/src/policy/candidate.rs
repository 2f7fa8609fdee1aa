//! Slots as algorithms keep them.

use std::sync::Arc;

use crate::balancer::SlotView;
use crate::load::EndpointLoad;

/// A slot that takes requests.
pub(super) struct Candidate {
    pub(super) slot: usize,
    /// Positive.
    pub(super) weight: u32,
    pub(super) load: Arc<EndpointLoad>,
}

/// The slots of positive weight, in their order, with what all weights have in common divided out.
pub(super) fn candidates(slots: &[SlotView]) -> Box<[Candidate]> {
    let weights = reduced_weights(slots);
    let candidate = |(slot, (view, weight)): (usize, (&SlotView, u32))| Candidate {
        slot,
        weight,
        load: Arc::clone(&view.load),
    };
    let all = slots.iter().zip(weights).enumerate();
    all.map(candidate).filter(|c| c.weight > 0).collect()
}

/// The weights of the slots, divided by what they have in common.
pub(super) fn reduced_weights(slots: &[SlotView]) -> Vec<u32> {
    let gcd = slots.iter().fold(0, |a, slot| gcd(a, slot.weight));
    slots
        .iter()
        .map(|slot| slot.weight.checked_div(gcd).unwrap_or(0))
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
