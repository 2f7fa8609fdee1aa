//! Counts of the last while in a ring of slots, written by many threads without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many slots a window has.
pub(super) const STEPS: u64 = 20;

/// One more than a window has: a moment may begin anywhere in a slot, and what reaches back a whole window from there
/// touches them all.
const SLOTS: usize = STEPS as usize + 1;

/// A slot holds the tick it counts for in its upper 40 bits and the count in its lower 24, so that one atomic operation
/// sees both.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Counts by ticks. A count of a slot stops at 16 777 215.
#[derive(Debug)]
pub(super) struct Slots([AtomicU64; SLOTS]);

/// One that was counted, to be taken back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    at: usize,
    tick: u64,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Counts one for a tick; if its slot counts for a later one already, for that.
    pub(super) fn add(&self, tick: u64) -> Option<Counted> {
        let at = (tick % SLOTS as u64) as usize;
        let slot = self.0.get(at)?;
        let mut found = slot.load(Ordering::Relaxed);
        loop {
            let (of, count) = (found >> COUNT_BITS, found & COUNT_MASK);
            let next = match of < tick {
                true => (tick << COUNT_BITS) | 1,
                false if count == COUNT_MASK => return None,
                false => found + 1,
            };
            // In one order with everything that is counted and summed: of two that add and then sum, the later sees both.
            match slot.compare_exchange_weak(found, next, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    let tick = next >> COUNT_BITS;
                    return Some(Counted { at, tick });
                }
                Err(other) => found = other,
            }
        }
    }

    /// Takes one back, unless it is forgotten by now.
    pub(super) fn take_back(&self, counted: Counted) {
        let Some(slot) = self.0.get(counted.at) else {
            return;
        };
        // That it changed so that nothing is to be taken back is fine as well.
        let _ = slot.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |found| {
            let is_there = found >> COUNT_BITS == counted.tick && found & COUNT_MASK > 0;
            is_there.then(|| found - 1)
        });
    }

    /// What was counted from one tick to another, both included.
    pub(super) fn sum(&self, from: u64, to: u64) -> u64 {
        let of = |slot: &AtomicU64| {
            let found = slot.load(Ordering::SeqCst);
            let is_in = (from..=to).contains(&(found >> COUNT_BITS));
            if is_in { found & COUNT_MASK } else { 0 }
        };
        self.0.iter().map(of).sum()
    }
}
