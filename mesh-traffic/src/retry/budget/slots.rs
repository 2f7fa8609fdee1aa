//! Counts of the last while in a ring of slots, written by many threads without a lock.

use crate::sync::{AtomicU64, Ordering, fence};

/// How many slots a window has.
pub(crate) const STEPS: u64 = 20;

/// One more than a window has: a moment may begin anywhere in a slot, and what reaches back a whole window from there
/// touches them all.
const SLOTS: usize = STEPS as usize + 1;

/// A slot holds the tick it counts for in its upper 40 bits and the count in its lower 24, so that one atomic operation
/// sees both.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Counts by ticks. A count of a slot stops at 16 777 215.
#[derive(Debug)]
pub(crate) struct Slots([AtomicU64; SLOTS]);

/// One that was counted, to be taken back.
#[derive(Clone, Copy, Debug)]
struct Counted {
    at: usize,
    tick: u64,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Counts one for a tick. One that is late, or too many, is left out.
    pub(crate) fn count(&self, tick: u64) {
        let _ = self.add(tick);
    }

    /// Counts one for a tick; if its slot counts for a later one already, for that.
    fn add(&self, tick: u64) -> Option<Counted> {
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
            match slot.compare_exchange_weak(found, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let tick = next >> COUNT_BITS;
                    return Some(Counted { at, tick });
                }
                Err(other) => found = other,
            }
        }
    }

    /// Counts one for a tick, if that is allowed of the number that there are then within a window, itself included.
    /// Those that others count for later are included as well.
    pub(crate) fn add_if(&self, tick: u64, is_allowed: impl FnOnce(u64) -> bool) -> bool {
        // Counted first: of those that ask at the same moment, the last one at the fence sees all of them.
        let Some(counted) = self.add(tick) else {
            return false;
        };
        fence(Ordering::SeqCst);
        let allowed = is_allowed(self.sum(tick.saturating_sub(STEPS), u64::MAX));
        if !allowed {
            self.take_back(counted);
        }
        allowed
    }

    /// Takes one back, unless it is forgotten by now.
    fn take_back(&self, counted: Counted) {
        let Some(slot) = self.0.get(counted.at) else {
            return;
        };
        // That it changed so that nothing is to be taken back is fine as well.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |found| {
            let is_there = found >> COUNT_BITS == counted.tick && found & COUNT_MASK > 0;
            is_there.then(|| found - 1)
        });
    }

    /// What was counted from one tick to another, both included.
    pub(crate) fn sum(&self, from: u64, to: u64) -> u64 {
        let of = |slot: &AtomicU64| {
            let found = slot.load(Ordering::Relaxed);
            let is_in = (from..=to).contains(&(found >> COUNT_BITS));
            if is_in { found & COUNT_MASK } else { 0 }
        };
        self.0.iter().map(of).sum()
    }
}
