//! The sooner answering of two.

use std::sync::Arc;

use tokio::time::Instant;

use super::candidate::{Candidate, candidates};
use super::two_choices::TwoChoices;
use crate::balancer::{LoadBalancer, Picker, SlotView};

/// Two endpoints at random (two different ones, by weight), and of these the one that is likely to answer
/// sooner: the expected latency times the requests it would then have, for its weight.
///
/// The latency is the peak-sensitive estimate of [`EndpointLoad`](crate::load::EndpointLoad): one slow answer
/// counts at once and is forgotten within tens of seconds, a failure counts as a slow answer, and an endpoint
/// that has not answered yet as one of 30 ms. A good choice when endpoints differ in speed, or a few of them
/// suffer for a while; [`LeastConnections`](super::LeastConnections) is when they are alike.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use mesh_core::Endpoint;
/// use mesh_lb::{LoadBalancer, PeakEwma, PickContext, SlotView};
/// use tokio::time::Instant;
///
/// let slot = |address: &str| -> Result<SlotView, mesh_core::endpoint::AddressError> {
///     Ok(SlotView::new(Arc::new(Endpoint::new(address.parse()?)), Arc::default()))
/// };
/// let slots = [slot("10.0.0.7:3001")?, slot("10.0.0.8:3001")?];
/// let now = Instant::now();
/// slots[0].load.record_latency(Duration::from_millis(90), now);
/// let picker = PeakEwma::new().picker(&slots);
/// assert_eq!(picker.pick(&PickContext::new(fastrand::u64(..), now)), Some(1));
/// # Ok::<(), mesh_core::endpoint::AddressError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PeakEwma;

impl PeakEwma {
    /// The sooner answering of two.
    pub fn new() -> Self {
        Self
    }
}

impl LoadBalancer for PeakEwma {
    fn picker(&self, slots: &[SlotView]) -> Arc<dyn Picker> {
        Arc::new(TwoChoices::new(candidates(slots), sooner))
    }
}

fn sooner(a: &Candidate, b: &Candidate, now: Instant) -> bool {
    cost(a, now) < cost(b, now)
}

fn cost(of: &Candidate, now: Instant) -> f64 {
    // Of endpoints whose latency is forgotten, the requests in flight still tell who is better.
    let latency = of.load.latency_nanos(now).max(1.0);
    latency * (f64::from(of.load.in_flight()) + 1.0) / f64::from(of.weight)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::test_slots;
    use super::*;
    use crate::balancer::PickContext;

    fn share_of_first(slots: &[SlotView], now: Instant) -> f64 {
        let picker = PeakEwma::new().picker(slots);
        let mut random = fastrand::Rng::with_seed(5);
        let mut pick = || picker.pick(&PickContext::new(random.u64(..), now));
        f64::from((0..1_000).filter(|_| pick() == Some(0)).count() as u32) / 1_000.0
    }

    #[test]
    fn a_slow_endpoint_is_avoided_until_its_slowness_is_forgotten() {
        let slots = test_slots(&[1, 1]);
        let start = Instant::now();
        slots[0].load.record_latency(Duration::from_secs(1), start);
        slots[1].load.record_latency(Duration::from_millis(40), start);
        assert_eq!(share_of_first(&slots, start), 0.0);
        let later = start + Duration::from_secs(40);
        slots[1].load.record_latency(Duration::from_millis(40), later);
        assert_eq!(share_of_first(&slots, later), 1.0, "it is tried again");
    }

    #[test]
    fn who_fails_fast_is_not_taken_for_fast() {
        let slots = test_slots(&[1, 1, 1]);
        let now = Instant::now();
        slots[0].load.penalise(Duration::from_micros(80), now);
        slots[1].load.record_latency(Duration::from_millis(200), now);
        slots[2].load.record_latency(Duration::from_millis(300), now);
        assert_eq!(share_of_first(&slots, now), 0.0);
    }

    #[test]
    fn a_fast_endpoint_takes_more_requests_until_its_cost_is_the_same() {
        let slots = test_slots(&[1, 1]);
        let now = Instant::now();
        slots[0].load.record_latency(Duration::from_millis(40), now);
        slots[1].load.record_latency(Duration::from_millis(160), now);
        let picker = PeakEwma::new().picker(&slots);
        let mut held = Vec::new();
        for random in 0..100 {
            let slot = picker
                .pick(&PickContext::new(random << 32, now))
                .expect("there are slots");
            held.push(slots[slot].load.begin());
        }
        assert!(
            (79..=81).contains(&slots[0].load.in_flight()),
            "{:?}",
            slots[0].load
        );
    }

    #[test]
    fn endpoints_whose_latency_is_forgotten_are_compared_by_their_requests() {
        let slots = test_slots(&[1, 1]);
        let later = Instant::now() + Duration::from_secs(10_000_000);
        let _busy = slots[0].load.begin();
        assert_eq!(share_of_first(&slots, later), 0.0);
    }
}
