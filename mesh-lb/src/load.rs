//! What an endpoint is carrying and how long it takes to answer: kept by its identity, so that it survives a
//! discovery update, and shared by all pools to it.

mod latency;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use tokio::time::Instant;

use latency::LatencyEstimate;

/// The load of one endpoint.
///
/// Its latency is an estimate that goes up at once and comes down with time (a peak EWMA): it starts at 30 ms,
/// and of a peak 1/e is left after 10 s, so that an endpoint that was slow is tried again. No sample counts
/// more than 300 s.
///
/// ```
/// use std::time::Duration;
/// use mesh_lb::load::EndpointLoad;
/// use tokio::time::Instant;
///
/// let start = Instant::now();
/// let load = EndpointLoad::new(start);
/// load.record_latency(Duration::from_millis(400), start);
/// load.record_latency(Duration::from_millis(2), start);
/// assert_eq!(load.latency(start), Duration::from_millis(400));
/// assert!(load.latency(start + Duration::from_secs(30)) < Duration::from_millis(20));
/// ```
#[derive(Debug)]
pub struct EndpointLoad {
    /// On one cache line: who compares endpoints reads both.
    counters: CachePadded<Counters>,
}

#[derive(Debug)]
struct Counters {
    in_flight: AtomicU32,
    connections: AtomicU32,
    latency: LatencyEstimate,
}

impl EndpointLoad {
    /// What a failure counts at least as, however fast it came: 5 s.
    pub const PENALTY: Duration = Duration::from_secs(5);

    /// No load yet.
    pub fn new(now: Instant) -> Self {
        Self {
            counters: CachePadded::new(Counters {
                in_flight: AtomicU32::new(0),
                connections: AtomicU32::new(0),
                latency: LatencyEstimate::new(now),
            }),
        }
    }

    /// The requests it is answering now, each counted from the pick until the end of its response's body.
    pub fn in_flight(&self) -> u32 {
        self.counters.in_flight.load(Ordering::Relaxed)
    }

    /// The connections to it that are open or being made, from this process.
    pub fn connections(&self) -> u32 {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// Counts a connection until the guard is dropped, unless there are so many already.
    pub(crate) fn open_within(self: &Arc<Self>, max: u32) -> Option<OpenConnection> {
        let connections = &self.counters.connections;
        if connections.fetch_add(1, Ordering::Relaxed) < max {
            return Some(OpenConnection(Arc::clone(self)));
        }
        connections.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Counts a request until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Counts a request until the guard is dropped, unless it carries so many already.
    pub(crate) fn begin_within(self: &Arc<Self>, max: u32) -> Option<InFlight> {
        let in_flight = &self.counters.in_flight;
        if in_flight.fetch_add(1, Ordering::Relaxed) < max {
            return Some(InFlight(Arc::clone(self)));
        }
        in_flight.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Takes in how long an answer took.
    pub fn record_latency(&self, took: Duration, now: Instant) {
        self.counters.latency.record(took, now);
    }

    /// Takes in a failure: an answer that took at least [`EndpointLoad::PENALTY`], so that who fails fast does
    /// not look fast. `for_at_least` is how long it really took, or how long the endpoint asks to be spared
    /// (`Retry-After`), whichever is longer.
    pub fn penalise(&self, for_at_least: Duration, now: Instant) {
        self.record_latency(for_at_least.max(Self::PENALTY), now);
    }

    /// Takes in that an answer was waited for so long and did not come: it would have taken longer. That less than
    /// the expected time was not enough is no news.
    pub fn waited_in_vain(&self, waited: Duration, now: Instant) {
        if waited > self.latency(now) {
            self.record_latency(waited, now);
        }
    }

    /// How long it is expected to take. Reading changes nothing.
    pub fn latency(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.latency_nanos(now) as u64)
    }

    /// The same, in nanoseconds.
    pub(crate) fn latency_nanos(&self, now: Instant) -> f64 {
        self.counters.latency.nanos(now)
    }
}

impl Default for EndpointLoad {
    /// No load yet, as of now.
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<EndpointLoad>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request in flight.
#[derive(Debug)]
pub struct InFlight(Arc<EndpointLoad>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
