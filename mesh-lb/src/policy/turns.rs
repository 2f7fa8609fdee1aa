//! Turns by weight, spread out as evenly as they can be.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// Whose turn it is, `count` times: after `t` turns each weight `w` of a sum `W` has had `t·w/W` of them, give
/// or take less than one (Tijdeman's answer to the chairman assignment problem). Of equals the first goes
/// first; a weight of zero has no turn.
pub(super) fn turns(weights: &[u32], count: u32) -> Vec<u32> {
    let all = (0..).zip(weights.iter().copied());
    let all: Vec<Due> = all
        .filter(|(_, weight)| *weight > 0)
        .map(|(who, weight)| Due {
            turns: 0,
            weight,
            who,
        })
        .collect();
    if all.iter().all(|due| due.weight == all[0].weight) {
        let round = all.iter().map(|due| due.who);
        return round.cycle().take(count as usize).collect();
    }
    let sum: u128 = all.iter().map(|due| u128::from(due.weight)).sum();
    // Those who may go, by when they must have gone; and those who had more than their share until now, by when
    // that is no longer so.
    let mut behind = BinaryHeap::with_capacity(all.len());
    let mut ahead: BinaryHeap<Reverse<Due>> = all.into_iter().map(Reverse).collect();
    let mut turns = Vec::with_capacity(count as usize);
    for turn in 0..count {
        let fair = |next: &PeekMut<'_, Reverse<Due>>| next.0.is_fair(turn, sum);
        while let Some(next) = ahead.peek_mut().filter(fair) {
            let Reverse(mut due) = PeekMut::pop(next);
            due.turns += 1;
            behind.push(Reverse(due));
        }
        let Some(next) = behind.pop() else { break };
        turns.push(next.0.who);
        ahead.push(next);
    }
    turns
}

/// When so many turns are one's share.
struct Due {
    turns: u32,
    weight: u32,
    who: u32,
}

impl Due {
    /// Whether so many are no more than the share of the first `turn` turns.
    fn is_fair(&self, turn: u32, sum: u128) -> bool {
        u128::from(self.turns) * sum <= u128::from(turn) * u128::from(self.weight)
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        let at = |of: &Self, other: &Self| u64::from(of.turns) * u64::from(other.weight);
        at(self, other)
            .cmp(&at(other, self))
            .then(self.who.cmp(&other.who))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn many_light_ones_come_between_the_turns_of_a_heavy_one() {
        assert_eq!(turns(&[3, 1, 1, 1], 12), [0, 1, 0, 2, 0, 3, 0, 1, 0, 2, 0, 3]);
    }

    #[test]
    fn equals_take_turns_in_order() {
        assert_eq!(turns(&[7, 0, 7, 7], 7), [0, 2, 3, 0, 2, 3, 0]);
        assert!(turns(&[0, 0], 5).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn at_each_turn_everyone_has_had_their_share_but_for_less_than_one(
            weights in proptest::collection::vec(prop_oneof![0_u32..9, 0..=u32::MAX], 1..20),
        ) {
            let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
            let mut had = vec![0.0; weights.len()];
            for (turn, who) in turns(&weights, 500).into_iter().enumerate() {
                had[who as usize] += 1.0;
                for (weight, had) in weights.iter().zip(&had) {
                    let share = (turn as f64 + 1.0) * f64::from(*weight) / sum;
                    prop_assert!((share - had).abs() < 1.0, "{} of {} at {}", had, share, turn);
                }
            }
        }
    }
}
