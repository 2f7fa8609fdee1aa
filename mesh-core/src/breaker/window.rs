//! Counts of the last while: a ring of ten slots that many threads write without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

const SLOTS: usize = 10;

/// A counter holds the tick it counts for in its upper 40 bits and the count in its lower 24, so that one
/// atomic operation sees both.
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// Counting stops here, far enough below the end for every thread that is about to add one.
const COUNT_LIMIT: u64 = COUNT_MASK / 2;

/// How many requests ended, and how many of them failed, in the last `length`.
///
/// The window moves in steps of a tenth of its length. Results may be told late or out of order: what is older
/// than the window is ignored. A slot counts at most 8 388 607 of each kind.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::breaker::{Totals, Window};
/// use tokio::time::Instant;
///
/// let start = Instant::now();
/// let window = Window::new(Duration::from_secs(10), start);
/// window.record(true, start);
/// window.record(false, start + Duration::from_secs(5));
/// assert_eq!(window.totals(start + Duration::from_secs(9)), Totals { requests: 2, failed: 1 });
/// assert_eq!(window.totals(start + Duration::from_secs(10)), Totals { requests: 1, failed: 0 });
/// ```
// On its own cache lines: every request writes here, and what stands beside it is only read.
#[repr(align(128))]
pub struct Window {
    origin: Instant,
    slot_nanos: u64,
    slots: [Slot; SLOTS],
}

#[derive(Default)]
struct Slot {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// What a [`Window`] holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many requests ended.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
}

impl Window {
    /// The shortest window; a shorter one is as long as this.
    pub const MIN_LENGTH: Duration = Duration::from_millis(10);

    /// An empty window that begins at `origin`; what happens before counts as happening then.
    pub fn new(length: Duration, origin: Instant) -> Self {
        let nanos = length.max(Self::MIN_LENGTH).as_nanos() / SLOTS as u128;
        Self {
            origin,
            slot_nanos: u64::try_from(nanos).unwrap_or(u64::MAX),
            slots: std::array::from_fn(|_| Slot::default()),
        }
    }

    /// Counts a request that ended at `now`.
    pub fn record(&self, failed: bool, now: Instant) {
        let tick = self.tick(now);
        let slot = &self.slots[(tick % SLOTS as u64) as usize];
        add_one(if failed { &slot.failed } else { &slot.succeeded }, tick);
    }

    /// What ended in the window up to `now`.
    pub fn totals(&self, now: Instant) -> Totals {
        let tick = self.tick(now);
        let mut totals = Totals::default();
        for slot in &self.slots {
            let failed = count_in_window(&slot.failed, tick);
            totals.failed += failed;
            totals.requests += failed + count_in_window(&slot.succeeded, tick);
        }
        totals
    }

    /// Forgets everything. A result that is told at the same moment may stay.
    pub fn clear(&self) {
        for slot in &self.slots {
            slot.succeeded.fetch_and(!COUNT_MASK, Ordering::Relaxed);
            slot.failed.fetch_and(!COUNT_MASK, Ordering::Relaxed);
        }
    }

    fn tick(&self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX) / self.slot_nanos
    }
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window")
            .field("slot", &Duration::from_nanos(self.slot_nanos))
            .finish_non_exhaustive()
    }
}

// All orders here are relaxed: the counts decide by themselves, nothing else is read through them.
fn add_one(counter: &AtomicU64, tick: u64) {
    let mut seen = counter.load(Ordering::Relaxed);
    loop {
        match age(seen, tick) {
            // Between the load and the addition the slot may have passed to a later tick; then one result
            // is counted a window late.
            0 => {
                if seen & COUNT_MASK < COUNT_LIMIT {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
            // The slot is a later tick's already: this result is a whole window old.
            ..0 => return,
            1.. => {
                let fresh = tick << COUNT_BITS | 1;
                match counter.compare_exchange_weak(seen, fresh, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return,
                    Err(newer) => seen = newer,
                }
            }
        }
    }
}

fn count_in_window(counter: &AtomicU64, tick: u64) -> u64 {
    let seen = counter.load(Ordering::Relaxed);
    if age(seen, tick) < SLOTS as i64 {
        seen & COUNT_MASK
    } else {
        0
    }
}

/// How many ticks the counter is behind `tick`, modulo 2^40: 35 years of the shortest ticks.
fn age(counter: u64, tick: u64) -> i64 {
    let behind = (tick << COUNT_BITS).wrapping_sub(counter & !COUNT_MASK);
    behind.cast_signed() >> COUNT_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ten_seconds() -> (Window, Instant) {
        let start = Instant::now();
        (Window::new(10 * SECOND, start), start)
    }

    #[test]
    fn a_result_leaves_the_window_after_its_length() {
        let (window, start) = ten_seconds();
        window.record(true, start + SECOND);
        assert_eq!(
            window.totals(start + 10 * SECOND),
            Totals {
                requests: 1,
                failed: 1
            }
        );
        assert_eq!(window.totals(start + 11 * SECOND), Totals::default());
    }

    #[test]
    fn a_slot_that_is_used_again_starts_from_one() {
        let (window, start) = ten_seconds();
        for _ in 0..3 {
            window.record(false, start);
        }
        window.record(false, start + 10 * SECOND);
        assert_eq!(
            window.totals(start + 10 * SECOND),
            Totals {
                requests: 1,
                failed: 0
            }
        );
    }

    #[test]
    fn a_result_from_before_the_window_is_ignored() {
        let (window, start) = ten_seconds();
        window.record(false, start + 25 * SECOND);
        window.record(true, start + 5 * SECOND);
        assert_eq!(
            window.totals(start + 25 * SECOND),
            Totals {
                requests: 1,
                failed: 0
            }
        );
    }

    #[test]
    fn a_late_result_inside_the_window_counts() {
        let (window, start) = ten_seconds();
        window.record(false, start + 25 * SECOND);
        window.record(true, start + 20 * SECOND);
        assert_eq!(
            window.totals(start + 25 * SECOND),
            Totals {
                requests: 2,
                failed: 1
            }
        );
    }

    #[test]
    fn a_reader_with_an_old_clock_sees_what_is_newer() {
        let (window, start) = ten_seconds();
        window.record(true, start + 3 * SECOND);
        assert_eq!(
            window.totals(start + 2 * SECOND),
            Totals {
                requests: 1,
                failed: 1
            }
        );
    }

    #[test]
    fn a_cleared_window_is_empty_and_counts_on() {
        let (window, start) = ten_seconds();
        window.record(true, start);
        window.clear();
        assert_eq!(window.totals(start), Totals::default());
        window.record(true, start);
        assert_eq!(
            window.totals(start),
            Totals {
                requests: 1,
                failed: 1
            }
        );
    }

    #[test]
    fn a_full_counter_stops_and_never_touches_its_tick() {
        let counter = AtomicU64::new(7 << COUNT_BITS | COUNT_LIMIT);
        add_one(&counter, 7);
        assert_eq!(counter.load(Ordering::Relaxed), 7 << COUNT_BITS | COUNT_LIMIT);
    }

    #[test]
    fn a_window_without_length_has_the_shortest() {
        let start = Instant::now();
        let window = Window::new(Duration::ZERO, start);
        window.record(true, start);
        assert_eq!(window.totals(start + Duration::from_millis(9)).failed, 1);
        assert_eq!(window.totals(start + Duration::from_millis(10)).failed, 0);
    }

    #[test]
    fn threads_that_write_together_lose_nothing() {
        let (window, start) = ten_seconds();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let window = &window;
                scope.spawn(move || {
                    for i in 0..10_000_u64 {
                        window.record(thread == 0, start + Duration::from_micros(i * 900));
                    }
                });
            }
        });
        assert_eq!(
            window.totals(start + 9 * SECOND),
            Totals {
                requests: 40_000,
                failed: 10_000
            }
        );
    }
}
