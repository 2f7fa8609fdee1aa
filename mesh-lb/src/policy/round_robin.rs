//! In turn, by weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use super::turns::turns;
use crate::balancer::{LoadBalancer, PickContext, Picker, SlotView};

/// Each endpoint in turn, as often as its weight says and spread out: weights 2 and 1 give A B A, not A A B.
///
/// The start is random, so that many clients do not march in step.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RoundRobin;

impl RoundRobin {
    /// In turn.
    pub fn new() -> Self {
        Self
    }
}

impl LoadBalancer for RoundRobin {
    fn picker(&self, slots: &[SlotView]) -> Arc<dyn Picker> {
        let turns = round(&reduced_weights(slots));
        let start = fastrand::usize(..turns.len().max(1));
        Arc::new(Round {
            turns,
            next: CachePadded::new(AtomicUsize::new(start)),
        })
    }
}

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

struct Round {
    turns: Box<[u32]>,
    next: CachePadded<AtomicUsize>,
}

impl Picker for Round {
    fn pick(&self, cx: &PickContext<'_>) -> Option<usize> {
        let len = self.turns.len();
        if len == 0 {
            return None;
        }
        let at = self.next.fetch_add(1, Ordering::Relaxed) % len;
        let first = self.turns[at] as usize;
        if cx.tried.is_empty() {
            return Some(first);
        }
        let untried = (0..len)
            .map(|i| self.turns[(at + i) % len] as usize)
            .find(|slot| !cx.was_tried(*slot));
        Some(untried.unwrap_or(first))
    }
}

/// The longest schedule. Weights whose sum is larger are scaled down; a positive weight keeps one turn.
const MAX_TURNS: u64 = 1 << 16;

/// One round, in which each slot has the turns of its weight.
fn round(weights: &[u32]) -> Box<[u32]> {
    let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
    let scale = |weight: u32| match weight {
        0 => 0,
        _ if sum > MAX_TURNS => (u64::from(weight) * MAX_TURNS / sum).max(1) as u32,
        _ => weight,
    };
    let scaled: Vec<u32> = weights.iter().map(|weight| scale(*weight)).collect();
    turns(&scaled, scaled.iter().sum()).into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::super::test_slots;
    use super::*;

    fn counts(weights: &[u32], picks: usize) -> Vec<usize> {
        let picker = RoundRobin::new().picker(&test_slots(weights));
        let cx = PickContext::new(0, tokio::time::Instant::now());
        let mut counts = vec![0; weights.len()];
        for _ in 0..picks {
            counts[picker.pick(&cx).expect("there are slots")] += 1;
        }
        counts
    }

    #[test]
    fn equal_endpoints_take_turns() {
        assert_eq!(counts(&[1, 1, 1], 30), [10, 10, 10]);
    }

    #[test]
    fn a_heavier_endpoint_gets_its_share_and_no_burst() {
        assert_eq!(counts(&[50, 25, 25], 400), [200, 100, 100]);
        assert_eq!(*round(&[2, 1, 1]), [0, 1, 0, 2]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]

        #[test]
        fn every_round_holds_every_weight(
            weights in proptest::collection::vec(
                proptest::prop_oneof![0_u32..2_000, 0_u32..=u32::MAX], 1..20
            ),
        ) {
            let turns = round(&weights);
            let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
            proptest::prop_assert!(turns.len() as u64 <= MAX_TURNS + weights.len() as u64);
            for (slot, weight) in weights.iter().enumerate() {
                let had = turns.iter().filter(|turn| **turn as usize == slot).count() as u64;
                let want = if sum > MAX_TURNS {
                    (u64::from(*weight) * MAX_TURNS / sum).max(u64::from(*weight > 0))
                } else {
                    u64::from(*weight)
                };
                proptest::prop_assert_eq!(had, want, "slot {} of {:?}", slot, &weights);
            }
        }
    }
}
