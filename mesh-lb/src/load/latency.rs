//! How long an endpoint takes to answer: its peaks, and how they are forgotten.

use std::time::Duration;

use tokio::time::Instant;

use crate::sync::{AtomicU64, Ordering};

/// What an endpoint that has not answered yet is taken for.
pub(crate) const INITIAL: Duration = Duration::from_millis(30);

/// After this time without a new peak, 1/e of the old one is left.
pub(crate) const DECAY: Duration = Duration::from_secs(10);

/// The most that one sample counts.
pub(crate) const CEILING: Duration = Duration::from_secs(300);

/// An exponentially weighted moving average that goes up at once and comes down with time: a peak EWMA.
///
/// Estimate and time of the last sample are one word, so that a sample is one compare-and-swap, and a reader
/// never sees the one without the other.
#[derive(Debug)]
pub(crate) struct LatencyEstimate {
    epoch: Instant,
    state: AtomicU64,
}

impl LatencyEstimate {
    /// The initial estimate, which is forgotten as a sample is.
    pub(crate) fn new(now: Instant) -> Self {
        let state = State {
            nanos: nanos(INITIAL) as f32,
            tick: 0,
        };
        Self {
            epoch: now,
            state: AtomicU64::new(state.pack()),
        }
    }

    /// Takes a sample in.
    pub(crate) fn record(&self, sample: Duration, now: Instant) {
        let (sample, tick) = (nanos(sample.min(CEILING)), self.tick(now));
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let next = State::unpack(seen).after(sample, tick).pack();
            // Most samples of a busy endpoint are lower than its peak and in the tick of the last one: they
            // change nothing, and must not take the cache line from who reads it.
            if next == seen {
                return;
            }
            // Relaxed: the word is all there is, nothing else is published by it.
            match self
                .state
                .compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// The estimate in nanoseconds: without new samples it goes to zero.
    pub(crate) fn nanos(&self, now: Instant) -> f64 {
        let state = State::unpack(self.state.load(Ordering::Relaxed));
        f64::from(state.nanos) * kept(elapsed(state.tick, self.tick(now)))
    }

    /// Ticks since the start, modulo 2³².
    fn tick(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.epoch).as_nanos() >> TICK_BITS) as u32
    }
}

/// A tick is 2²⁰ ns, about a millisecond: 2³² of them are 52 days.
const TICK_BITS: u32 = 20;

/// How far a time may lie before the last sample's and still be taken for a late one, not for one that is 52
/// days later: 18 minutes.
const LATE: u32 = 1 << 20;

/// What the atomic word holds.
#[derive(Clone, Copy)]
struct State {
    /// The estimate when it was last changed. The steps of an average that is updated each tick are a ten
    /// thousandth: its 24 bits hold them, 16 would not.
    nanos: f32,
    /// When that was.
    tick: u32,
}

impl State {
    fn pack(self) -> u64 {
        u64::from(self.nanos.to_bits()) << 32 | u64::from(self.tick)
    }

    fn unpack(word: u64) -> Self {
        Self {
            nanos: f32::from_bits((word >> 32) as u32),
            tick: word as u32,
        }
    }

    fn after(self, sample: f64, tick: u32) -> Self {
        let elapsed = elapsed(self.tick, tick);
        let before = f64::from(self.nanos);
        let nanos = if sample >= before {
            sample
        } else {
            sample + (before - sample) * kept(elapsed)
        };
        Self {
            nanos: nanos as f32,
            tick: self.tick.wrapping_add(elapsed),
        }
    }
}

/// The ticks from one time to another, zero if the other is earlier.
fn elapsed(from: u32, to: u32) -> u32 {
    let ticks = to.wrapping_sub(from);
    if ticks > u32::MAX - LATE { 0 } else { ticks }
}

/// The part of an estimate that is left after this many ticks.
fn kept(ticks: u32) -> f64 {
    match ticks {
        0 => 1.0,
        _ => (-f64::from(ticks) * (1_u64 << TICK_BITS) as f64 / nanos(DECAY)).exp(),
    }
}

fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}
