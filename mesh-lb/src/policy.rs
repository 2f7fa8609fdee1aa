//! The algorithms, one a file.

mod least_connections;
mod round_robin;

pub use least_connections::LeastConnections;
pub use round_robin::RoundRobin;

use crate::balancer::SlotView;

/// The weights of the slots, divided by what they have in common.
fn reduced_weights(slots: &[SlotView]) -> Vec<u32> {
    let gcd = slots.iter().fold(0, |a, slot| gcd(a, slot.weight));
    slots
        .iter()
        .map(|slot| slot.weight.checked_div(gcd).unwrap_or(0))
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
pub(crate) fn test_slots(weights: &[u32]) -> Vec<SlotView> {
    let address = |i: usize| std::net::SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 80)).into();
    let slot = |(i, weight): (usize, &u32)| {
        let endpoint = mesh_core::Endpoint::new(address(i)).with_weight(*weight);
        SlotView::new(std::sync::Arc::new(endpoint), std::sync::Arc::default())
    };
    weights.iter().enumerate().map(slot).collect()
}
