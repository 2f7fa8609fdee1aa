//! What is counted of one version.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mesh_core::metric::{Histogram, Refusals, Repeats, Traffic};
use mesh_core::{Assignment, ErrorKind};
use tokio::time::Instant;

use super::noisy_users::NoisyUsers;
use super::past::Past;
use super::users::Users;

/// In microseconds. Among them the edges of the page's histogram, and 1 s and 500 ms, which criteria ask for; between
/// neighbours lies a third or so, so that a canary that is a quarter slower shows.
const EDGES: [u64; 40] = [
    250, 500, 750, 1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 7_500, 10_000, 15_000, 20_000, 25_000, 35_000,
    50_000, 75_000, 100_000, 125_000, 150_000, 200_000, 250_000, 300_000, 400_000, 500_000, 600_000, 750_000,
    1_000_000, 1_250_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 4_000_000, 5_000_000, 7_500_000,
    10_000_000, 15_000_000, 30_000_000, 60_000_000,
];

const BUCKETS: usize = EDGES.len() + 1;

/// The edges between which latencies are counted.
pub fn edges() -> Arc<[Duration]> {
    static SHARED: LazyLock<Arc<[Duration]>> =
        LazyLock::new(|| EDGES.iter().copied().map(Duration::from_micros).collect());
    Arc::clone(&SHARED)
}

fn bucket(took: Duration) -> usize {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    EDGES.partition_point(|edge| edge * 1_000 < nanos)
}

/// What is counted of one version. An attempt is one addition, so that numbers read at any moment agree: there are never
/// more errors than requests.
pub(super) struct Counts {
    name: Arc<str>,
    well: [AtomicU64; BUCKETS],
    failed: [AtomicU64; BUCKETS],
    failed_users: AtomicU64,
    users: AtomicU64,
    circuit_open: AtomicU64,
    no_healthy_endpoint: AtomicU64,
    repeats: AtomicU64,
    repeated_errors: AtomicU64,
    pinned: AtomicU64,
    since: Instant,
    past: Past,
}

/// The counts of a moment, as far as windows need them: a difference of two is right as long as it is no larger than
/// four billion.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    well: [u32; BUCKETS],
    failed: [u32; BUCKETS],
    failed_users: u32,
    users: u32,
    circuit_open: u32,
    no_healthy_endpoint: u32,
    repeats: u32,
    repeated_errors: u32,
    pinned: u32,
}

/// What tells the users of a service apart, whichever version they have.
#[derive(Default)]
pub(super) struct ToldApart {
    pub(super) seen: Users,
    pub(super) failed: Users,
    noisy: NoisyUsers,
}

/// An attempt that is over.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub(super) assignment: Assignment,
    pub(super) failed: bool,
    /// Why it was refused, if it was.
    pub(super) refused: Option<ErrorKind>,
    pub(super) took: Duration,
}

impl Counts {
    pub(super) fn new(name: Arc<str>, since: Instant, now: Instant) -> Self {
        let zeros = || array::from_fn(|_| AtomicU64::new(0));
        Self {
            name,
            well: zeros(),
            failed: zeros(),
            failed_users: AtomicU64::new(0),
            users: AtomicU64::new(0),
            circuit_open: AtomicU64::new(0),
            no_healthy_endpoint: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            repeated_errors: AtomicU64::new(0),
            pinned: AtomicU64::new(0),
            since,
            past: Past::new(second(since, now)),
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        &*self.name == name
    }

    /// In which second the first attempt was counted that was counted in the newest second of all.
    pub(super) fn last_second(&self) -> u64 {
        self.past.last_second()
    }

    pub(super) fn count(&self, ended: Ended, users: &ToldApart, now: Instant) {
        let second = second(self.since, now);
        self.past.turn(second, || self.moment());
        let Ended {
            assignment,
            failed,
            refused,
            took,
        } = ended;
        if assignment == Assignment::Asked {
            self.pinned.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let counts = if failed { &self.failed } else { &self.well };
        counts[bucket(took)].fetch_add(1, Ordering::Relaxed);
        match refused {
            Some(ErrorKind::CircuitOpen) => self.circuit_open.fetch_add(1, Ordering::Relaxed),
            Some(ErrorKind::NoHealthyEndpoint) => self.no_healthy_endpoint.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        if let Assignment::Kept(user) = assignment {
            self.count_user(user, failed, users, second);
        }
    }

    fn count_user(&self, user: u64, failed: bool, users: &ToldApart, second: u64) {
        let add = |count: &AtomicU64, is_so: bool| {
            if is_so {
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        let is_noisy = users.noisy.is_noisy(user, second);
        add(&self.users, users.seen.is_first(user));
        add(&self.repeats, is_noisy);
        if failed {
            add(&self.repeated_errors, is_noisy);
            add(&self.failed_users, users.failed.is_first(user));
            users.noisy.failed(user, second);
        }
    }

    /// All, or what ended in the last `window`. [`Traffic::covered`] is for the caller to say.
    pub(super) fn traffic(&self, window: Option<Duration>, tells_users: bool, now: Instant) -> Traffic {
        let age = now.saturating_duration_since(self.since);
        let before = window.and_then(|window| self.past.before(age, window));
        let before = match (window, before) {
            (Some(_), None) => Some(self.moment()),
            (_, before) => before,
        };
        let load = |count: &AtomicU64, then: Option<u32>| {
            let now = count.load(Ordering::Relaxed);
            // The lower half is what the moment kept.
            then.map_or(now, |then| u64::from((now as u32).wrapping_sub(then)))
        };
        let between = |counts: &[AtomicU64; BUCKETS], then: Option<&[u32; BUCKETS]>| -> [u64; BUCKETS] {
            array::from_fn(|n| load(&counts[n], then.map(|then| then[n])))
        };
        let failed = between(&self.failed, before.as_ref().map(|moment| &moment.failed));
        let well = between(&self.well, before.as_ref().map(|moment| &moment.well));
        let sum = |counts: &[u64]| counts.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
        let both = well
            .iter()
            .zip(failed)
            .map(|(well, failed)| well.saturating_add(failed));
        let told = |count: &AtomicU64, of: fn(&Moment) -> u32| load(count, before.as_ref().map(of));
        let failed_users = told(&self.failed_users, |moment| moment.failed_users);
        let users = told(&self.users, |moment| moment.users);
        Traffic {
            requests: sum(&well).saturating_add(sum(&failed)),
            errors: sum(&failed),
            failed_users: tells_users.then_some(failed_users),
            users: tells_users.then_some(users),
            refusals: Refusals {
                circuit_open: told(&self.circuit_open, |moment| moment.circuit_open),
                no_healthy_endpoint: told(&self.no_healthy_endpoint, |moment| moment.no_healthy_endpoint),
            },
            repeats: Repeats {
                requests: told(&self.repeats, |moment| moment.repeats),
                errors: told(&self.repeated_errors, |moment| moment.repeated_errors),
            },
            pinned: told(&self.pinned, |moment| moment.pinned),
            latency: Histogram::new(edges(), both.collect()).unwrap_or_default(),
            covered: Duration::ZERO,
        }
    }

    fn moment(&self) -> Moment {
        // Only the lower half: see there.
        let low = |count: &AtomicU64| count.load(Ordering::Relaxed) as u32;
        Moment {
            well: array::from_fn(|n| low(&self.well[n])),
            failed: array::from_fn(|n| low(&self.failed[n])),
            failed_users: low(&self.failed_users),
            users: low(&self.users),
            circuit_open: low(&self.circuit_open),
            no_healthy_endpoint: low(&self.no_healthy_endpoint),
            repeats: low(&self.repeats),
            repeated_errors: low(&self.repeated_errors),
            pinned: low(&self.pinned),
        }
    }
}

impl Moment {
    /// Before anything was counted.
    pub(super) const ZERO: Self = Self {
        well: [0; BUCKETS],
        failed: [0; BUCKETS],
        failed_users: 0,
        users: 0,
        circuit_open: 0,
        no_healthy_endpoint: 0,
        repeats: 0,
        repeated_errors: 0,
        pinned: 0,
    };
}

fn second(since: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(since).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_rise_and_have_those_of_the_page_among_them() {
        assert!(EDGES.is_sorted_by(|a, b| a < b));
        for edge in crate::metrics::EDGES {
            let edge = Duration::from_secs_f64(edge);
            assert!(edges().contains(&edge), "{edge:?}");
        }
    }

    #[test]
    fn a_latency_on_an_edge_is_within_it() {
        for (n, edge) in edges().iter().enumerate() {
            assert_eq!(bucket(*edge), n);
            assert_eq!(bucket(*edge + Duration::from_nanos(1)), n + 1);
        }
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), EDGES.len());
    }
}
