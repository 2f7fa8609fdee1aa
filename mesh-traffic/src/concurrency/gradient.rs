//! A limit that follows the latency: plain state, as in Netflix's concurrency limits and Envoy's adaptive concurrency.

use std::time::Duration;

use tokio::time::Instant;

use super::config::AdaptiveConfig;

/// Answers of one interval say nothing if they are fewer.
const ENOUGH: usize = 5;

/// Latencies that are kept of one interval, at most; those after them are not looked at.
const KEPT: usize = 512;

/// A measurement at rest is over after so long, even with few answers: little traffic must not keep the limit low.
const REST_AT_MOST: Duration = Duration::from_secs(5);

/// A limit, and what was seen since it was set.
#[derive(Debug)]
pub(super) struct Gradient {
    config: AdaptiveConfig,
    limit: u32,
    phase: Phase,
    /// When the phase or its interval began; what began earlier says nothing about it.
    since: Instant,
    seen: Vec<Duration>,
    /// The most that were under way at once since then.
    busiest: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Few are let through, to see how long it takes at rest.
    Resting,
    /// The limit moves.
    Moving { at_rest: Duration, rest_at: Instant },
}

/// One request that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) began: Instant,
    pub(super) answered: Instant,
    /// How many were under way when it was answered, itself included.
    pub(super) in_flight: u32,
}

impl Gradient {
    pub(super) fn new(config: AdaptiveConfig, now: Instant) -> Self {
        Self {
            config,
            limit: config.initial,
            phase: Phase::Resting,
            since: now,
            seen: Vec::with_capacity(KEPT),
            busiest: 0,
        }
    }

    /// The limit that holds now.
    pub(super) fn limit(&self) -> u32 {
        match self.phase {
            Phase::Resting => self.config.min,
            Phase::Moving { .. } => self.limit,
        }
    }

    /// A request was answered. `random` spreads the measurements at rest of many processes.
    pub(super) fn on_answer(&mut self, sample: Sample, random: u32) {
        let Sample {
            began,
            answered: now,
            in_flight,
        } = sample;
        if began < self.since {
            // While resting, it ran beside more than there should be; otherwise it belongs to the interval before,
            // unless it is slower than an interval: it must be heard, or slow services never are.
            let is_slow = now.saturating_duration_since(began) >= self.config.interval;
            if self.phase == Phase::Resting || !is_slow {
                return;
            }
        }
        self.busiest = self.busiest.max(in_flight);
        if self.seen.len() < KEPT {
            self.seen.push(now.saturating_duration_since(began));
        }
        let lasted = now.saturating_duration_since(self.since);
        match self.phase {
            Phase::Resting => {
                let enough = self.seen.len() >= (self.config.rest_samples as usize).min(KEPT);
                if enough || lasted >= REST_AT_MOST {
                    let at_rest = self.median();
                    let rest_at = now + jittered(self.config.rest_every, random);
                    self.begin(Phase::Moving { at_rest, rest_at }, now);
                }
            }
            Phase::Moving { rest_at, .. } if rest_at <= now => self.begin(Phase::Resting, now),
            Phase::Moving { at_rest, .. } if lasted >= self.config.interval && self.seen.len() >= ENOUGH => {
                self.limit = self.moved(at_rest);
                self.begin(self.phase, now);
            }
            Phase::Moving { .. } => {}
        }
    }

    fn moved(&mut self, at_rest: Duration) -> u32 {
        let limit = f64::from(self.limit);
        let allowed = at_rest.as_secs_f64() * (1.0 + self.config.buffer);
        // At least a nanosecond, so that answers in no time do not divide by zero.
        let median = self.median().as_secs_f64().max(1e-9);
        let gradient = (allowed.max(1e-9) / median).clamp(0.5, 2.0);
        // The root is room to grow into: large for a small limit, small for a large one.
        let next = (limit * gradient + limit.sqrt()).round();
        let next = (next as u32).clamp(self.config.min, self.config.max);
        // A limit that nobody came near was not put to the test.
        let is_tested = self.busiest.saturating_mul(2) >= self.limit;
        if next > self.limit && !is_tested {
            return self.limit;
        }
        next
    }

    fn median(&mut self) -> Duration {
        let middle = self.seen.len() / 2;
        if self.seen.is_empty() {
            return Duration::ZERO;
        }
        *self.seen.select_nth_unstable(middle).1
    }

    fn begin(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
        self.seen.clear();
        self.busiest = 0;
    }
}

/// 85 % to 115 % of it.
fn jittered(time: Duration, random: u32) -> Duration {
    let part = f64::from(random) / f64::from(u32::MAX);
    time.mul_f64(0.85 + 0.3 * part)
}

#[cfg(test)]
mod tests;
