//! How requests went in the last minute, for people.
//!
//! ```
//! use http::{Request, StatusCode};
//! use mesh_core::context::{Direction, Target};
//! use mesh_telemetry::Telemetry;
//! use mesh_telemetry::recent::Sum;
//!
//! let telemetry = Telemetry::new();
//! let orders = telemetry.route(&Target::service("orders".parse()?), Direction::Inbound);
//! for status in [200, 200, 200, 503] {
//!     let mut record = orders.begin(&Request::get("/").body(())?);
//!     record.answered(StatusCode::from_u16(status)?, None);
//! }
//! let recent = telemetry.last_minute();
//! let all = recent.sum(|figure| &*figure.service == "orders");
//! assert_eq!((all.requests, all.success_rate()), (4, Some(0.75)));
//! # Ok::<(), mesh_core::BoxError>(())
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mesh_core::context::Direction;
use mesh_core::metric::Histogram;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::metrics::{EDGES, RouteKey, Total, edges};

const MINUTE: Duration = Duration::from_secs(60);

/// How far the samples lie apart: the last minute is 60 to 65 seconds long.
const EVERY: Duration = Duration::from_secs(5);

/// One more than a minute has, so that the oldest is as old as that.
const SAMPLES: usize = 14;

/// How the requests of one source to one target went.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// The service.
    pub service: Arc<str>,
    /// The version they were to go to.
    pub version: Arc<str>,
    /// The id of the rule that decided; empty if none did.
    pub route: Arc<str>,
    /// Which way they came.
    pub direction: Direction,
    /// Who sent them.
    pub source: Arc<str>,
    /// Whether these ended with 5xx.
    pub failed: bool,
    /// How long they took, to the end of the response; its count is how many there were.
    pub latency: Histogram,
}

/// How requests went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sum {
    /// How many there were.
    pub requests: u64,
    /// How many of them ended with 5xx.
    pub failed: u64,
    /// How long they took.
    pub latency: Histogram,
}

impl Sum {
    /// The share that did not end with 5xx, 0 to 1; nothing without requests.
    pub fn success_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| (self.requests - self.failed) as f64 / self.requests as f64)
    }

    fn add(&mut self, figure: &Figure) {
        let count = figure.latency.count();
        self.requests += count;
        self.failed += if figure.failed { count } else { 0 };
        self.latency = match self.latency.edges().is_empty() {
            true => figure.latency.clone(),
            false => self.latency.plus(&figure.latency).unwrap_or_default(),
        };
    }
}

/// How requests went lately, by source and target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recent {
    /// How long that is: about a minute, or less if the process is younger.
    pub covered: Duration,
    /// Of those with any request, in no order.
    pub figures: Vec<Figure>,
}

impl Recent {
    /// Those for which this holds, together.
    pub fn sum(&self, which: impl Fn(&Figure) -> bool) -> Sum {
        let mut sum = Sum::default();
        self.figures
            .iter()
            .filter(|figure| which(figure))
            .for_each(|figure| sum.add(figure));
        sum
    }

    /// All of them by what `key` says of each, in its order.
    pub fn sums<K: Ord>(&self, key: impl Fn(&Figure) -> K) -> std::collections::BTreeMap<K, Sum> {
        let mut sums = std::collections::BTreeMap::<K, Sum>::new();
        for figure in &self.figures {
            sums.entry(key(figure)).or_default().add(figure);
        }
        sums
    }

    /// So many in a second.
    pub fn rate(&self, requests: u64) -> f64 {
        match self.covered.is_zero() {
            true => 0.0,
            false => requests as f64 / self.covered.as_secs_f64(),
        }
    }
}

type Counts = [u64; EDGES.len() + 1];

type Sample = HashMap<(RouteKey, u64), Counts>;

/// What had been counted at some moments.
pub(crate) struct Samples {
    since: Instant,
    kept: VecDeque<(Instant, Sample)>,
}

impl Samples {
    pub(crate) fn new(since: Instant) -> Self {
        Self {
            since,
            kept: VecDeque::with_capacity(SAMPLES),
        }
    }

    pub(crate) fn keep(&mut self, totals: Vec<Total>, now: Instant) {
        if self.kept.len() == SAMPLES {
            self.kept.pop_front();
        }
        let counts = totals
            .into_iter()
            .map(|total| ((total.route, total.labels), total.latencies));
        self.kept.push_back((now, counts.collect()));
    }

    /// What was added to the newest sample that is a minute old, or to the oldest.
    pub(crate) fn recent(&self, totals: &[Total], now: Instant) -> Recent {
        let age = |at: Instant| now.saturating_duration_since(at);
        let old = self.kept.iter().rfind(|(at, _)| age(*at) >= MINUTE);
        // Before the first sample nothing was counted.
        let is_young = age(self.since) <= MINUTE + EVERY;
        let (began, before) = match old.or_else(|| self.kept.front().filter(|_| !is_young)) {
            Some((at, counts)) => (*at, Some(counts)),
            None => (self.since, None),
        };
        let figures = totals.iter().filter_map(|total| {
            let key = (total.route.clone(), total.labels);
            let before = before.and_then(|counts| counts.get(&key));
            let added = added(&total.latencies, before);
            if added.iter().all(|count| *count == 0) {
                return None;
            }
            let RouteKey {
                service,
                version,
                route,
                direction,
            } = key.0;
            Some(Figure {
                service,
                version,
                route,
                direction,
                source: Arc::clone(&total.source),
                failed: total.is_failed(),
                latency: Histogram::new(edges(), added.into()).unwrap_or_default(),
            })
        });
        Recent {
            covered: age(began),
            figures: figures.collect(),
        }
    }
}

/// A target that was forgotten meanwhile began anew.
fn added(now: &Counts, before: Option<&Counts>) -> Counts {
    match before {
        Some(before) if now.iter().zip(before).all(|(now, before)| now >= before) => {
            std::array::from_fn(|n| now[n] - before[n])
        }
        _ => *now,
    }
}

/// Keeps samples until it is dropped: [`Telemetry::start_sampling`](crate::Telemetry::start_sampling).
#[derive(Debug)]
#[must_use = "it stops when this is dropped"]
pub struct Sampling(JoinHandle<()>);

impl Sampling {
    pub(crate) fn start(sample: impl Fn() + Send + 'static) -> Self {
        Self(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                sample();
            }
        }))
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};
    use mesh_core::context::Target;

    use super::*;
    use crate::Telemetry;

    async fn pass(telemetry: &Telemetry, requests: u64, seconds: u64) {
        let target = Target::service("orders".parse().expect("a name"));
        let orders = telemetry.route(&target, Direction::Inbound);
        for _ in 0..seconds {
            for _ in 0..requests {
                let record = orders.begin(&Request::get("/").body(()).expect("a request"));
                drop(record);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn requests(telemetry: &Telemetry) -> (u64, Duration) {
        let recent = telemetry.last_minute();
        (recent.sum(|_| true).requests, recent.covered)
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_last_minute_counts_and_it_is_said_how_long_that_is() {
        let telemetry = Telemetry::new();
        let _sampling = telemetry.start_sampling();
        pass(&telemetry, 10, 30).await;
        assert_eq!(
            requests(&telemetry),
            (300, Duration::from_secs(30)),
            "all there was"
        );
        pass(&telemetry, 10, 300).await;
        let (seen, covered) = requests(&telemetry);
        assert!((60..=65).contains(&covered.as_secs()), "{covered:?}");
        assert!(
            seen.abs_diff(covered.as_secs() * 10) <= 10,
            "{seen} in {covered:?}"
        );
        pass(&telemetry, 0, 66).await;
        assert_eq!(requests(&telemetry).0, 0, "nothing came any more");
    }

    #[test]
    fn what_began_anew_is_counted_from_its_beginning() {
        let (mut before, mut now) = ([0; EDGES.len() + 1], [0; EDGES.len() + 1]);
        (before[0], now[0], now[1]) = (5, 3, 1);
        assert_eq!(added(&now, Some(&before)), now);
        now[0] = 7;
        assert_eq!(added(&now, Some(&before))[..2], [2, 1]);
    }

    #[test]
    fn sums_are_by_what_is_asked_for() {
        let telemetry = Telemetry::new();
        for (service, status, requests) in [("a", 200, 3), ("a", 502, 1), ("b", 404, 2)] {
            let target = Target::service(service.parse().expect("a name"));
            let route = telemetry.route(&target, Direction::Inbound);
            for _ in 0..requests {
                let mut record = route.begin(&Request::get("/").body(()).expect("a request"));
                record.answered(StatusCode::from_u16(status).expect("a status"), None);
            }
        }
        let sums = telemetry.last_minute().sums(|figure| Arc::clone(&figure.service));
        let told: Vec<_> = sums
            .iter()
            .map(|(name, sum)| (&**name, sum.requests, sum.failed))
            .collect();
        assert_eq!(told, [("a", 4, 1), ("b", 2, 0)]);
    }
}
