//! In turn, by weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

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
        let turns = turns(&reduced_weights(slots));
        let start = fastrand::usize(..turns.len().max(1));
        Arc::new(Turns {
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

struct Turns {
    turns: Box<[u32]>,
    next: CachePadded<AtomicUsize>,
}

impl Picker for Turns {
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

/// Smooth weighted turns: at each step the slot whose credit is highest goes, and pays the sum of all.
fn turns(weights: &[u32]) -> Box<[u32]> {
    let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
    let scale = |w: u32| {
        let turns = if sum > MAX_TURNS {
            u64::from(w) * MAX_TURNS / sum
        } else {
            u64::from(w)
        };
        if w == 0 { 0 } else { turns.max(1) as i64 }
    };
    let weights: Vec<i64> = weights.iter().map(|w| scale(*w)).collect();
    let sum: i64 = weights.iter().sum();
    if weights.iter().all(|w| *w == 1) {
        return (0..weights.len() as u32).collect();
    }
    let mut queue: std::collections::BinaryHeap<Due> = std::collections::BinaryHeap::new();
    for (slot, weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0) {
        queue.push(Due {
            at: sum / weight / 2,
            slot: slot as u32,
        });
    }
    let mut turns = Vec::with_capacity(usize::try_from(sum).unwrap_or(0));
    while (turns.len() as i64) < sum {
        let Some(due) = queue.pop() else { break };
        turns.push(due.slot);
        queue.push(Due {
            at: due.at + sum * 1024 / weights[due.slot as usize],
            slot: due.slot,
        });
    }
    turns.into_boxed_slice()
}

/// When a slot's next turn is due; the earliest is the greatest.
#[derive(PartialEq, Eq)]
struct Due {
    at: i64,
    slot: u32,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at).then_with(|| other.slot.cmp(&self.slot))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
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
        let turns = turns(&[2, 1, 1]);
        assert!(turns.windows(2).all(|w| w[0] != w[1]), "{turns:?}");
    }

    proptest::proptest! {
        #[test]
        fn every_round_holds_every_positive_weight(weights in proptest::collection::vec(0_u32..2_000_000, 1..20)) {
            let turns = turns(&weights);
            for (slot, weight) in weights.iter().enumerate() {
                let n = turns.iter().filter(|t| **t as usize == slot).count() as u64;
                let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
                if *weight == 0 {
                    proptest::prop_assert_eq!(n, 0);
                } else if sum <= MAX_TURNS {
                    let want = i64::from(*weight);
                    proptest::prop_assert!((n as i64 - want).abs() <= 1, "slot {} of {:?}: {}", slot, weights, n);
                } else {
                    proptest::prop_assert!(n >= 1 || *weight < 100);
                }
            }
        }
    }
}
