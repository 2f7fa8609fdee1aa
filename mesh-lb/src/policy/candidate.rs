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

/// The slots of positive weight, in their order.
pub(super) fn candidates(slots: &[SlotView]) -> Box<[Candidate]> {
    let candidate = |(slot, view): (usize, &SlotView)| Candidate {
        slot,
        weight: view.weight,
        load: Arc::clone(&view.load),
    };
    let all = slots.iter().enumerate().map(candidate);
    all.filter(|candidate| candidate.weight > 0).collect()
}
