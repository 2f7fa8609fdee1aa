//! How long requests took of late, in bounded memory, written by many threads without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Steps within a doubling: a latency is known to a sixteenth.
const STEPS: u32 = 16;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// The last doubling, in microseconds: what takes longer than two minutes counts as two minutes.
const LAST_DOUBLING: u32 = 26;
const BUCKETS: usize = ((LAST_DOUBLING - STEP_BITS + 2) * STEPS) as usize;

/// A bucket holds the tick it counts for in its upper 32 bits and the count in its lower.
const COUNT_BITS: u32 = 32;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Latencies of the current half of a window and of the one before.
#[derive(Debug)]
pub(super) struct Latencies {
    origin: Instant,
    half_nanos: u64,
    halves: [Box<[AtomicU64]>; 2],
}

impl Latencies {
    pub(super) fn new(window: Duration, origin: Instant) -> Self {
        let half = || (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self {
            origin,
            half_nanos: nanos(window / 2).max(1),
            halves: [half(), half()],
        }
    }

    /// A request took so long.
    pub(super) fn record(&self, latency: Duration, now: Instant) {
        let tick = self.tick(now);
        let Some(bucket) = self.half(tick).get(index(latency)) else {
            return;
        };
        let add = |found: u64| {
            let (of, count) = (found >> COUNT_BITS, found & COUNT_MASK);
            match of == tick {
                true if count == COUNT_MASK => None,
                true => Some(found + 1),
                // Of a half that is over; or of one to come, to which this is late.
                false if of < tick => Some((tick << COUNT_BITS) | 1),
                false => None,
            }
        };
        // What is not counted is one of very many, or late.
        let _ = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// How long so many percent of the requests took at most, to a sixteenth; of fewer than `least` requests nothing is
    /// said.
    pub(super) fn percentile(&self, percent: f64, least: u32, now: Instant) -> Option<Duration> {
        let tick = self.tick(now);
        let counted = |at: usize| {
            let count = |tick: u64| {
                let found = self.half(tick).get(at)?.load(Ordering::Relaxed);
                (found >> COUNT_BITS == tick).then_some(found & COUNT_MASK)
            };
            count(tick).unwrap_or(0) + tick.checked_sub(1).and_then(count).unwrap_or(0)
        };
        let all: u64 = (0..BUCKETS).map(counted).sum();
        if all < u64::from(least) {
            return None;
        }
        let rank = (all as f64 * percent / 100.0).ceil() as u64;
        let mut below = 0;
        for at in 0..BUCKETS {
            below += counted(at);
            // Counts may grow meanwhile, and then the end comes sooner.
            if below >= rank {
                return Some(upper(at));
            }
        }
        None
    }

    fn half(&self, tick: u64) -> &[AtomicU64] {
        let [even, odd] = &self.halves;
        if tick.is_multiple_of(2) { even } else { odd }
    }

    /// Which half of a window it is, from 1: a bucket of 0 was never written.
    fn tick(&self, now: Instant) -> u64 {
        let since = nanos(now.saturating_duration_since(self.origin));
        (since / self.half_nanos + 1).min(COUNT_MASK)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Which bucket: one each microsecond at first, then sixteen to a doubling.
fn index(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let doubling = micros.checked_ilog2().unwrap_or(0);
    if doubling < STEP_BITS {
        return micros as usize;
    }
    if doubling > LAST_DOUBLING {
        return BUCKETS - 1;
    }
    let step = (micros >> (doubling - STEP_BITS)) as u32 - STEPS;
    ((doubling - STEP_BITS + 1) * STEPS + step) as usize
}

/// The latency that all in a bucket are below.
fn upper(at: usize) -> Duration {
    let next = at as u64 + 1;
    let steps = u64::from(STEPS);
    let micros = match next / steps {
        0 => next,
        doubling => (steps + next % steps) << (doubling - 1),
    };
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests;
