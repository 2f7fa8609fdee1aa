//! The request metrics of one target, and the table of the combinations of labels seen on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use ::metrics::{Counter, Gauge};
use http::{Request, StatusCode};
use mesh_core::MeshContext;
use mesh_core::context::{Direction, Target};
use tokio::time::Instant;

use crate::labels::{self, MethodLabel, Protocol, RequestLabels, SourceId, StatusLabel};
use crate::metrics::histogram::{EDGES, Histogram};
use crate::metrics::record::RequestRecord;
use crate::metrics::version::{VersionKey, VersionMetrics};
use crate::registry::{GrowOnly, Series, names};
use crate::tap::{Seen, Taps};

/// A target, as label values: two targets that print the same are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RouteKey {
    pub(crate) service: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) route: Arc<str>,
    pub(crate) direction: Direction,
}

impl RouteKey {
    pub(crate) fn of(target: &Target, direction: Direction) -> Self {
        Self {
            service: target.service.shared(),
            version: target
                .version
                .as_ref()
                .map_or_else(|| "stable".into(), |version| version.shared()),
            route: target
                .route
                .as_ref()
                .map_or_else(|| "".into(), |route| labels::configured(route).into()),
            direction,
        }
    }

    pub(crate) fn unrouted(direction: Direction) -> Self {
        Self {
            service: "unknown".into(),
            version: "stable".into(),
            route: "".into(),
            direction,
        }
    }

    pub(crate) fn version(&self) -> VersionKey {
        VersionKey {
            service: Arc::clone(&self.service),
            version: Arc::clone(&self.version),
        }
    }
}

/// The request metrics of one target: [`Telemetry::route`](crate::Telemetry::route).
pub struct RouteMetrics {
    series: Arc<Series>,
    key: RouteKey,
    version: Arc<VersionMetrics>,
    cells: GrowOnly<Cell>,
    durations: GrowOnly<Arc<DurationSeries>>,
    in_flight: AtomicU64,
    in_flight_gauge: Gauge,
    /// How many cells were taken from the budget.
    budgeted: AtomicUsize,
}

/// The handles of one combination of labels.
struct Cell {
    labels: u64,
    requests: Counter,
    code: Counter,
    duration: Arc<DurationSeries>,
}

/// What was counted of a target so far, of one source, method, protocol, class of status and reason.
pub(crate) struct Total {
    pub(crate) route: RouteKey,
    pub(crate) source: Arc<str>,
    pub(crate) labels: u64,
    pub(crate) latencies: [u64; EDGES.len() + 1],
    pub(crate) sum: Duration,
}

impl Total {
    pub(crate) fn method(&self) -> &'static str {
        MethodLabel::from_packed(self.labels).as_str()
    }

    pub(crate) fn protocol(&self) -> Protocol {
        Protocol::from_packed(self.labels)
    }

    pub(crate) fn reason(&self) -> &'static str {
        labels::reason(labels::reason_from_packed(self.labels))
    }

    /// Whether these are requests that ended with 5xx.
    pub(crate) fn is_failed(&self) -> bool {
        StatusLabel::from_packed(self.labels) == StatusLabel::of(StatusCode::INTERNAL_SERVER_ERROR).class()
    }
}

pub(crate) struct DurationSeries {
    labels: u64,
    printed: String,
    histogram: Histogram,
}

impl RouteMetrics {
    pub(crate) fn new(series: Arc<Series>, key: &RouteKey, version: Arc<VersionMetrics>) -> Self {
        let in_flight_gauge = series.gauge(names::IN_FLIGHT, &target_labels(key));
        let route = Self {
            series,
            key: key.clone(),
            version,
            cells: GrowOnly::new(),
            durations: GrowOnly::new(),
            in_flight: AtomicU64::new(0),
            in_flight_gauge,
            budgeted: AtomicUsize::new(0),
        };
        for status in [StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR] {
            let known = RequestLabels {
                source: SourceId::UNKNOWN,
                method: MethodLabel::GET,
                protocol: Protocol::Http1,
                status: StatusLabel::of(status),
                reason: None,
            };
            route.insert(known, || true);
        }
        route
    }

    /// The beginning of a request for this target, as its head and its [`MeshContext`] tell. Without a
    /// context it was received now, from an `unknown` source.
    pub fn begin<B>(self: &Arc<Self>, request: &Request<B>) -> RequestRecord {
        let context = request.extensions().get::<MeshContext>();
        let received = context.map_or_else(Instant::now, |context| context.received);
        let source = context.map_or(SourceId::UNKNOWN, |context| self.source(context.source_service()));
        let protocol = Protocol::of(request.version(), request.headers());
        self.begin_with(received, source, MethodLabel::of(request.method()), protocol)
            .tapped(request.uri().path())
    }

    /// The beginning of a request whose labels the caller has found already.
    pub fn begin_with(
        self: &Arc<Self>,
        received: Instant,
        source: SourceId,
        method: MethodLabel,
        protocol: Protocol,
    ) -> RequestRecord {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        RequestRecord::new(Arc::clone(self), received, source, method, protocol)
    }

    pub(crate) fn ended(&self, labels: RequestLabels, duration: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.count(labels, duration);
    }

    /// Counts one request that is over. No lock and no allocation once this combination of labels, or the
    /// one it is folded into, was seen. A [`RequestRecord`] does this by itself.
    pub fn count(&self, labels: RequestLabels, duration: Duration) {
        let known = self.cell(labels).or_else(|| {
            let spent = self.series.budget.is_spent();
            if spent { self.cell(labels.folded()) } else { None }
        });
        if let Some(cell) = known.or_else(|| self.first(labels)) {
            cell.requests.increment(1);
            cell.code.increment(1);
            cell.duration.histogram.record(duration);
        }
    }

    pub(crate) fn key(&self) -> &RouteKey {
        &self.key
    }

    pub(crate) fn direction(&self) -> Direction {
        self.key.direction
    }

    pub(crate) fn taps(&self) -> &Taps {
        &self.series.taps
    }

    /// Shows a request that is over.
    #[cold]
    pub(crate) fn show(&self, labels: RequestLabels, path: Box<str>, took: Duration) {
        let RouteKey {
            service,
            version,
            route,
            direction,
        } = &self.key;
        self.taps().tell(&Seen {
            at: SystemTime::now(),
            source: self.series.sources.name(labels.source).into(),
            target: Arc::clone(service),
            version: Arc::clone(version),
            route: Arc::clone(route),
            direction: *direction,
            method: labels.method.as_str(),
            path,
            protocol: labels.protocol.as_str(),
            status: labels.status.text().into(),
            reason: labels::reason(labels.reason),
            took,
        });
    }

    /// The label of an originating service's name.
    pub fn source(&self, name: &str) -> SourceId {
        self.series.sources.id(name)
    }

    /// How many requests are under way.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn cell(&self, labels: RequestLabels) -> Option<&Cell> {
        let packed = labels.pack();
        self.cells.get(hash(packed), |cell| cell.labels == packed)
    }

    /// The cell of labels that have none, or of the ones they are folded into.
    #[cold]
    fn first(&self, labels: RequestLabels) -> Option<&Cell> {
        let in_budget = self.insert(labels, || {
            let taken = self.series.budget.take();
            self.budgeted.fetch_add(usize::from(taken), Ordering::Relaxed);
            taken
        });
        // What all else is folded into must exist: it is few, and not in the budget.
        in_budget.or_else(|| self.insert(labels.folded(), || true))
    }

    fn insert(&self, labels: RequestLabels, allowed: impl FnOnce() -> bool) -> Option<&Cell> {
        let packed = labels.pack();
        let make = || allowed().then(|| self.make(labels));
        self.cells
            .get_or_insert_with(hash(packed), |cell| cell.labels == packed, make)
    }

    fn make(&self, labels: RequestLabels) -> Cell {
        let requests = self.with_labels(labels, |printed| self.series.counter(names::REQUESTS, printed));
        let duration = self.duration(labels.by_class());
        Cell {
            labels: labels.pack(),
            requests,
            code: self.version.code(&self.series, labels.status),
            duration,
        }
    }

    fn duration(&self, labels: RequestLabels) -> Arc<DurationSeries> {
        let packed = labels.pack();
        let make = || {
            let printed = self.with_labels(labels, print);
            Arc::new(DurationSeries {
                labels: packed,
                printed,
                histogram: Histogram::new(),
            })
        };
        let same = |series: &Arc<DurationSeries>| series.labels == packed;
        let found = self
            .durations
            .get_or_insert_with(hash(packed), same, || Some(make()));
        found.map_or_else(make, Arc::clone)
    }

    fn with_labels<T>(&self, labels: RequestLabels, then: impl FnOnce(&[(&'static str, &str)]) -> T) -> T {
        let status = labels.status.text();
        let [target, version, route, direction] = target_labels(&self.key);
        then(&[
            ("source_service", self.series.sources.name(labels.source)),
            target,
            version,
            route,
            ("method", labels.method.as_str()),
            ("status", &status),
            ("protocol", labels.protocol.as_str()),
            direction,
            ("reason", labels::reason(labels.reason)),
        ])
    }

    /// Keeps the series on the page, and brings the gauge up to date.
    pub(crate) fn touch(&self) {
        // A series that is known to the page and not yet to the table would be taken for one that nobody holds.
        self.cells.settled(|cell| cell.requests.increment(0));
        self.in_flight_gauge.set(self.in_flight() as f64);
    }

    /// What was counted so far, by the labels of durations.
    pub(crate) fn totals(&self) -> impl Iterator<Item = Total> {
        self.durations.iter().map(|series| Total {
            route: self.key.clone(),
            source: self
                .series
                .sources
                .name(SourceId::from_packed(series.labels))
                .into(),
            labels: series.labels,
            latencies: series.histogram.counts(),
            sum: series.histogram.sum(),
        })
    }

    pub(crate) fn durations(&self) -> impl Iterator<Item = &DurationSeries> {
        self.durations.iter().map(|series| &**series)
    }
}

impl Drop for RouteMetrics {
    fn drop(&mut self) {
        self.series.budget.give_back(*self.budgeted.get_mut());
    }
}

impl DurationSeries {
    pub(crate) fn write(&self, page: &mut String) {
        self.histogram.write(&self.printed, page);
    }
}

fn target_labels(key: &RouteKey) -> [(&'static str, &str); 4] {
    [
        ("target_service", &key.service),
        ("version", &key.version),
        ("route", &key.route),
        ("direction", key.direction.as_str()),
    ]
}

/// None of the values needs escaping: they are names, numbers, or went through [`labels::configured`].
fn print(labels: &[(&'static str, &str)]) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    pairs.join(",")
}

fn hash(packed: u64) -> u64 {
    packed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests;
