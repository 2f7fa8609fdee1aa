//! The less loaded of two.

use std::sync::Arc;

use tokio::time::Instant;

use super::candidate::{Candidate, candidates};
use super::two_choices::TwoChoices;
use crate::balancer::{LoadBalancer, Picker, SlotView};

/// Two endpoints at random (two different ones, by weight), and of these the one with fewer requests in
/// flight for its weight.
///
/// Two choices come close to the best of all and do not send a herd to one endpoint, as looking for the
/// minimum would with many clients.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LeastConnections;

impl LeastConnections {
    /// The less loaded of two.
    pub fn new() -> Self {
        Self
    }
}

impl LoadBalancer for LeastConnections {
    fn picker(&self, slots: &[SlotView]) -> Arc<dyn Picker> {
        Arc::new(TwoChoices::new(candidates(slots), lighter))
    }
}

/// Whether (in flight + 1) / weight is smaller. Of two idle ones none is: chance has drawn them by weight
/// already, and with little traffic nothing else would give a light one its share.
fn lighter(a: &Candidate, b: &Candidate, _: Instant) -> bool {
    let (of_a, of_b) = (u64::from(a.load.in_flight()), u64::from(b.load.in_flight()));
    of_a + of_b > 0 && (of_a + 1) * u64::from(b.weight) < (of_b + 1) * u64::from(a.weight)
}

#[cfg(test)]
mod tests {
    use super::super::test_slots;
    use super::*;
    use crate::balancer::PickContext;

    fn picks(slots: &[SlotView]) -> impl FnMut() -> usize + use<> {
        let picker = LeastConnections::new().picker(slots);
        let (mut random, now) = (fastrand::Rng::with_seed(1), Instant::now());
        move || {
            let cx = PickContext::new(random.u64(..), now);
            picker.pick(&cx).expect("there are slots")
        }
    }

    #[test]
    fn of_two_endpoints_the_less_loaded_is_picked() {
        let slots = test_slots(&[1, 1]);
        let _busy = slots[0].load.begin();
        let mut pick = picks(&slots);
        assert!((0..100).all(|_| pick() == 1));
    }

    #[test]
    fn a_weight_of_three_carries_three_times_the_load() {
        let slots = test_slots(&[3, 1]);
        let mut pick = picks(&slots);
        let _held: Vec<_> = (0..400).map(|_| slots[pick()].load.begin()).collect();
        let heavy = slots[0].load.in_flight();
        assert!((297..=303).contains(&heavy), "{heavy}");
    }

    #[test]
    fn of_idle_endpoints_a_light_one_gets_its_share_too() {
        let mut pick = picks(&test_slots(&[3, 1]));
        let light = (0..10_000).filter(|_| pick() == 1).count();
        assert!((2_300..2_700).contains(&light), "{light}");
    }
}
