//! The algorithms, one a file, and the parts that several of them share.

mod alias;
mod candidate;
mod chance;
mod keyed;
mod least_connections;
mod load_bound;
mod maglev;
mod peak_ewma;
mod random;
mod ring_hash;
mod round_robin;
mod turns;
mod two_choices;
mod weighted;

pub use least_connections::LeastConnections;
pub use load_bound::LoadBound;
pub use maglev::Maglev;
pub use peak_ewma::PeakEwma;
pub use random::Random;
pub use ring_hash::RingHash;
pub use round_robin::RoundRobin;
pub use weighted::Weighted;

#[cfg(test)]
pub(crate) fn test_slots(weights: &[u32]) -> Vec<crate::SlotView> {
    let address = |i: usize| std::net::SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 80)).into();
    let slot = |(i, weight): (usize, &u32)| {
        let endpoint = mesh_core::Endpoint::new(address(i)).with_weight(*weight);
        crate::SlotView::new(std::sync::Arc::new(endpoint), std::sync::Arc::default())
    };
    weights.iter().enumerate().map(slot).collect()
}
