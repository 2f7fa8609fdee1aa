//! The less loaded of two.

use std::sync::Arc;

use super::reduced_weights;
use crate::balancer::{LoadBalancer, PickContext, Picker, SlotView};
use crate::load::EndpointLoad;

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
        let weights = reduced_weights(slots);
        let mut upper = 0_u64;
        let candidates = slots
            .iter()
            .enumerate()
            .zip(&weights)
            .filter(|(_, w)| **w > 0)
            .map(|((slot, view), w)| {
                upper += u64::from(*w);
                Candidate {
                    slot,
                    weight: *w,
                    upper,
                    load: Arc::clone(&view.load),
                }
            });
        let candidates: Box<[Candidate]> = candidates.collect();
        let equal = candidates.iter().all(|c| c.weight == candidates[0].weight);
        Arc::new(TwoChoices { candidates, equal })
    }
}

struct TwoChoices {
    candidates: Box<[Candidate]>,
    equal: bool,
}

struct Candidate {
    slot: usize,
    weight: u32,
    /// The sum of the weights up to and with this one.
    upper: u64,
    load: Arc<EndpointLoad>,
}

impl Picker for TwoChoices {
    fn pick(&self, cx: &PickContext<'_>) -> Option<usize> {
        let n = self.candidates.len();
        if n < 2 {
            return self.candidates.first().map(|c| c.slot);
        }
        let (a, b) = (
            self.choose(cx.random as u32, None),
            self.choose((cx.random >> 32) as u32, None),
        );
        let b = if a == b {
            self.choose((cx.random >> 32) as u32, Some(a))
        } else {
            b
        };
        let (a, b) = (&self.candidates[a], &self.candidates[b]);
        if cx.tried.is_empty() {
            return Some(lighter(a, b).slot);
        }
        match (cx.was_tried(a.slot), cx.was_tried(b.slot)) {
            (false, false) => Some(lighter(a, b).slot),
            (false, true) => Some(a.slot),
            (true, false) => Some(b.slot),
            (true, true) => {
                let untried = self
                    .candidates
                    .iter()
                    .filter(|c| !cx.was_tried(c.slot))
                    .reduce(|a, b| lighter(a, b));
                Some(untried.unwrap_or(a).slot)
            }
        }
    }
}

impl TwoChoices {
    /// A candidate by weight; with `without`, a candidate other than that one, by weight.
    fn choose(&self, random: u32, without: Option<usize>) -> usize {
        let n = self.candidates.len() as u64;
        if self.equal {
            return match without {
                None => ((u64::from(random) * n) >> 32) as usize,
                Some(not) => {
                    let i = ((u64::from(random) * (n - 1)) >> 32) as usize;
                    if i >= not { i + 1 } else { i }
                }
            };
        }
        let total = self.candidates[self.candidates.len() - 1].upper;
        let gap = without.map(|not| &self.candidates[not]);
        let total = total - gap.map_or(0, |c| u64::from(c.weight));
        let mut point = ((u128::from(random) * u128::from(total)) >> 32) as u64;
        if let Some(gap) = gap
            && point >= gap.upper - u64::from(gap.weight)
        {
            point += u64::from(gap.weight);
        }
        self.candidates.partition_point(|c| c.upper <= point)
    }
}

/// The one with the smaller (in flight + 1) / weight; of equals the first.
fn lighter<'a>(a: &'a Candidate, b: &'a Candidate) -> &'a Candidate {
    let burden =
        |of: &Candidate, other: &Candidate| (u64::from(of.load.in_flight()) + 1) * u64::from(other.weight);
    if burden(b, a) < burden(a, b) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::super::test_slots;
    use super::*;

    fn shares(weights: &[u32], picks: u32) -> Vec<f64> {
        let picker = LeastConnections::new().picker(&test_slots(weights));
        let mut rng = fastrand::Rng::with_seed(7);
        let mut counts = vec![0_u32; weights.len()];
        for _ in 0..picks {
            counts[picker
                .pick(&PickContext::new(rng.u64(..)))
                .expect("there are slots")] += 1;
        }
        counts.iter().map(|c| f64::from(*c) / f64::from(picks)).collect()
    }

    #[test]
    fn of_two_endpoints_the_less_loaded_is_picked() {
        let slots = test_slots(&[1, 1]);
        let _busy = slots[0].load.begin();
        let picker = LeastConnections::new().picker(&slots);
        let mut rng = fastrand::Rng::with_seed(1);
        assert!((0..100).all(|_| picker.pick(&PickContext::new(rng.u64(..))) == Some(1)));
    }

    #[test]
    fn a_weight_of_three_carries_three_times_the_load() {
        let slots = test_slots(&[3, 1]);
        let picker = LeastConnections::new().picker(&slots);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut held = Vec::new();
        for _ in 0..400 {
            let slot = picker
                .pick(&PickContext::new(rng.u64(..)))
                .expect("there are slots");
            held.push(slots[slot].load.begin());
        }
        let heavy = slots[0].load.in_flight();
        assert!((297..=303).contains(&heavy), "{heavy}");
    }

    #[test]
    fn idle_equal_endpoints_share_alike() {
        assert!(shares(&[1; 10], 100_000).iter().all(|s| (s - 0.1).abs() < 0.01));
    }

    #[test]
    fn an_endpoint_of_weight_zero_is_never_picked() {
        assert_eq!(shares(&[0, 1, 1], 1_000)[0], 0.0);
    }

    #[test]
    fn a_tried_endpoint_is_avoided_while_there_is_another() {
        let picker = LeastConnections::new().picker(&test_slots(&[1, 1, 1]));
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            assert_eq!(
                picker.pick(&PickContext::new(rng.u64(..)).avoiding(&[0, 2])),
                Some(1)
            );
            assert!(
                picker
                    .pick(&PickContext::new(rng.u64(..)).avoiding(&[0, 1, 2]))
                    .is_some()
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn a_pick_is_always_a_slot_of_positive_weight(
            weights in proptest::collection::vec(0_u32..u32::MAX, 0..9),
            randoms in proptest::collection::vec(0_u64.., 50),
        ) {
            let picker = LeastConnections::new().picker(&test_slots(&weights));
            for random in randoms {
                match picker.pick(&PickContext::new(random)) {
                    Some(slot) => proptest::prop_assert!(weights[slot] > 0),
                    None => proptest::prop_assert!(weights.iter().all(|w| *w == 0)),
                }
            }
        }
    }
}
