//! The newest stretch of evidence that is long enough and has enough requests.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::metric::{Histogram, Refusals, Traffic};

use crate::analyzer::{Finding, Number, Reason, Window};

/// What was looked at. It follows windows as they come: what is old goes out of the sums when what is new comes in.
#[derive(Debug)]
pub(super) struct Observation {
    window: Duration,
    min_requests: u64,
    /// The first window that is in the sums, and the one that comes next.
    first: usize,
    next: usize,
    span: Duration,
    stable: Sums,
    canary: Sums,
    /// For how long the canary has had no request; nothing before the first.
    silent: Option<Duration>,
}

/// The newest windows that are long enough together and have enough requests of the canary, or all there are.
pub(super) fn newest(windows: &[Window], window: Duration, min_requests: u64) -> &[Window] {
    let (mut span, mut requests) = (Duration::ZERO, 0_u64);
    let needed = windows.iter().rev().take_while(|next| {
        let is_needed = span < window || requests < min_requests;
        span = span.saturating_add(next.length());
        requests = requests.saturating_add(next.canary.requests);
        is_needed
    });
    let first = windows.len() - needed.count();
    windows.get(first..).unwrap_or_default()
}

impl Observation {
    /// Nothing seen yet.
    pub(super) fn over(window: Duration, min_requests: u64) -> Self {
        Self {
            window,
            min_requests,
            first: 0,
            next: 0,
            span: Duration::ZERO,
            stable: Sums::default(),
            canary: Sums::default(),
            silent: None,
        }
    }

    /// Looks at the newest of these windows: those of the last time, and more.
    pub(super) fn follow(&mut self, windows: &[Window]) {
        if self.next == 0 {
            let newest = newest(windows, self.window, self.min_requests);
            self.first = windows.len() - newest.len();
            self.next = self.first;
        }
        for window in windows.get(self.next..).unwrap_or_default() {
            self.span = self.span.saturating_add(window.length());
            self.stable.add(&window.stable);
            self.canary.add(&window.canary);
            self.silent = if window.canary.requests > 0 {
                Some(Duration::ZERO)
            } else {
                self.silent.map(|silent| silent.saturating_add(window.length()))
            };
        }
        self.next = windows.len();
        while let Some(oldest) = windows.get(self.first) {
            let span = self.span.saturating_sub(oldest.length());
            let requests = self.canary.requests - u128::from(oldest.canary.requests);
            if span < self.window || requests < u128::from(self.min_requests) {
                break;
            }
            self.first += 1;
            self.span = span;
            self.stable.remove(&oldest.stable);
            self.canary.remove(&oldest.canary);
        }
    }

    /// How long it is.
    pub(super) fn span(&self) -> Duration {
        self.span
    }

    pub(super) fn stable(&self) -> &Sums {
        &self.stable
    }

    pub(super) fn canary(&self) -> &Sums {
        &self.canary
    }

    pub(super) fn is_enough(&self) -> bool {
        self.is_flowing() && self.span >= self.window && self.canary.requests() >= self.min_requests
    }

    /// Old requests may fill up a low rate, but must not hide that none come any more.
    fn is_flowing(&self) -> bool {
        self.silent.is_some_and(|silent| silent < self.window)
    }

    /// Why it is not enough, and when it will be.
    pub(super) fn what_is_missing(&self) -> Reason {
        let requests = self.canary.requests();
        if requests > 0 && !self.is_flowing() {
            let none = Finding::at_least("newest requests", Number::Count(0), Number::Count(1));
            return Reason::from(none.seen(0, self.window));
        }
        let least = Number::Count(self.min_requests);
        let enough = Finding::at_least("requests", Number::Count(requests), least);
        Reason::from(enough.seen(requests, self.span)).with_wait(self.wait())
    }

    fn wait(&self) -> Option<Duration> {
        let time = self.window.saturating_sub(self.span);
        let missing = self.min_requests.saturating_sub(self.canary.requests());
        if missing == 0 {
            return Some(time);
        }
        let rate = self.canary.requests() as f64 / self.span.as_secs_f64();
        let filling = Duration::try_from_secs_f64(missing as f64 / rate).ok()?;
        Some(time.max(filling))
    }
}

/// What a version did in several windows. Wider than what is added up, so that what was added can be taken off again.
#[derive(Debug)]
pub(super) struct Sums {
    requests: u128,
    errors: u128,
    circuit_open: u128,
    no_healthy_endpoint: u128,
    edges: Arc<[Duration]>,
    latencies: Vec<u128>,
}

/// Nothing, between no edges.
impl Default for Sums {
    fn default() -> Self {
        Self {
            requests: 0,
            errors: 0,
            circuit_open: 0,
            no_healthy_endpoint: 0,
            edges: Arc::from([]),
            latencies: vec![0],
        }
    }
}

impl Sums {
    fn add(&mut self, more: &Traffic) {
        self.requests += u128::from(more.requests);
        self.errors += u128::from(more.errors);
        self.circuit_open += u128::from(more.refusals.circuit_open);
        self.no_healthy_endpoint += u128::from(more.refusals.no_healthy_endpoint);
        let latency = &more.latency;
        // Where something was counted, the edges are the same in all windows.
        if self.edges != *latency.edges() {
            if latency.count() == 0 {
                return;
            }
            self.edges = Arc::clone(latency.edges());
            self.latencies = vec![0; latency.counts().len()];
        }
        for (sum, more) in self.latencies.iter_mut().zip(latency.counts()) {
            *sum += u128::from(*more);
        }
    }

    fn remove(&mut self, old: &Traffic) {
        self.requests -= u128::from(old.requests);
        self.errors -= u128::from(old.errors);
        self.circuit_open -= u128::from(old.refusals.circuit_open);
        self.no_healthy_endpoint -= u128::from(old.refusals.no_healthy_endpoint);
        if self.edges == *old.latency.edges() {
            for (sum, old) in self.latencies.iter_mut().zip(old.latency.counts()) {
                *sum -= u128::from(*old);
            }
        }
    }

    pub(super) fn requests(&self) -> u64 {
        narrow(self.requests)
    }

    pub(super) fn refusals(&self) -> Refusals {
        Refusals {
            circuit_open: narrow(self.circuit_open),
            no_healthy_endpoint: narrow(self.no_healthy_endpoint),
        }
    }

    pub(super) fn error_rate(&self) -> Option<f64> {
        let (requests, errors) = (narrow(self.requests), narrow(self.errors));
        (requests > 0).then(|| errors as f64 / requests as f64)
    }

    pub(super) fn latency(&self) -> Histogram {
        let counts = self.latencies.iter().map(|sum| narrow(*sum)).collect();
        Histogram::new(Arc::clone(&self.edges), counts).unwrap_or_default()
    }
}

fn narrow(sum: u128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}
