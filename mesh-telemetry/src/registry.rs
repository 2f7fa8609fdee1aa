//! Owns the series and renders the page.
//!
//! Two recorders of `metrics-exporter-prometheus` stand behind it: one for the mesh, whose series come and
//! go with the targets they belong to, and one for the application's own. Request durations are kept in
//! histograms of our own and written into the same page (see `metrics/histogram.rs` for the measurement).
//!
//! How long a series lives: the exporter can only drop a series that was idle for some time, and would then
//! leave a handle that is still held counting into nothing. So its timeout is set to nothing, and every
//! render first touches the handles of everything that is alive; what was not touched since the render
//! before is dropped by that render. Alive is what a caller holds, and what nobody has held for less than
//! the retention.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::Gauge;
use mesh_core::context::{Direction, Target};
use mesh_core::{EventBus, ServiceName, SpiffeId};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::anomaly::{self, Anomalies, AnomalyPolicy};
use crate::evidence::Evidence;
use crate::labels::SourceId;
use crate::metrics::{
    CanaryMetrics, EDGES, IdentityMetrics, MetricsLayer, ProcessMetrics, RouteKey, RouteMetrics,
    ServiceMetrics, Total, VersionKey, VersionMetrics,
};
use crate::recent::{Recent, Samples, Sampling};
use crate::tap::{Filter, Tap, Taps};

mod grow_only;
mod leases;
pub(crate) mod names;
mod recorder;
mod scrape;
mod series;
mod upkeep;

pub use recorder::AppRecorder;
pub use scrape::BeforeScrape;
pub use upkeep::Upkeep;

pub(crate) use grow_only::GrowOnly;
pub(crate) use series::Series;

use leases::Leases;
use scrape::Hooks;

/// The handle of everything that is measured. Cheap to clone; all clones are the same.
///
/// It installs no global recorder. See the [crate's](crate) example.
#[derive(Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

struct Shared {
    series: Arc<Series>,
    page: PrometheusHandle,
    application: AppRecorder,
    process: ProcessMetrics,
    retention: Duration,
    alive: Mutex<Alive>,
    hooks: Hooks,
    evidence: Evidence,
    recent: Mutex<Samples>,
    /// Of each route that is watched.
    anomalies: Mutex<HashMap<anomaly::Figured, (Gauge, bool)>>,
    /// Of as many sources as there are labels.
    identities: Mutex<HashMap<Arc<str>, BTreeSet<SpiffeId>>>,
}

struct Alive {
    routes: Leases<RouteKey, RouteMetrics>,
    versions: Leases<VersionKey, VersionMetrics>,
    services: Leases<Arc<str>, ServiceMetrics>,
    identities: Leases<Arc<str>, IdentityMetrics>,
    canaries: Leases<Arc<str>, CanaryMetrics>,
}

/// The bounds of a [`Telemetry`].
///
/// ```
/// use std::time::Duration;
/// use mesh_telemetry::Telemetry;
///
/// let telemetry = Telemetry::builder()
///     .max_sources(20)
///     .max_series(5_000)
///     .retention(Duration::from_secs(3600))
///     .build();
/// assert!(telemetry.render().contains("service_mesh_build_info{version=\"0.1.0\"} 1\n"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct TelemetryBuilder {
    max_sources: u16,
    max_series: usize,
    retention: Duration,
}

impl TelemetryBuilder {
    /// How many names of originating services are told apart. Default 100.
    pub fn max_sources(mut self, max: u16) -> Self {
        self.max_sources = max;
        self
    }

    /// How many combinations of labels requests may bring about, over all targets. Each is one series of
    /// `service_mesh_requests_total` and at most one of each of the other request metrics. Beyond it they
    /// are folded ([`labels`](crate::labels)). Default 1000.
    pub fn max_series(mut self, max: usize) -> Self {
        self.max_series = max;
        self
    }

    /// How long the series of a target, version or service that nobody holds any more stay on the page, so
    /// that the last scrapes see its final counts. Default 10 minutes.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Makes the telemetry.
    pub fn build(self) -> Telemetry {
        let expiring = PrometheusBuilder::new().idle_timeout(MetricKindMask::ALL, Some(Duration::ZERO));
        let recorder = expiring.build_recorder();
        names::describe(&recorder);
        let page = recorder.handle();
        let series = Arc::new(Series::new(recorder, self.max_sources, self.max_series));
        Telemetry {
            shared: Arc::new(Shared {
                process: ProcessMetrics::new(&series),
                series,
                page,
                application: AppRecorder::new(application_exporter().build_recorder()),
                retention: self.retention,
                alive: Mutex::new(Alive {
                    routes: Leases::new(),
                    versions: Leases::new(),
                    services: Leases::new(),
                    identities: Leases::new(),
                    canaries: Leases::new(),
                }),
                hooks: Hooks::default(),
                evidence: Evidence::new(),
                recent: Mutex::new(Samples::new(Instant::now())),
                identities: Mutex::default(),
                anomalies: Mutex::default(),
            }),
        }
    }
}

fn application_exporter() -> PrometheusBuilder {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    match PrometheusBuilder::new().set_buckets_for_metric(seconds, &EDGES) {
        Ok(builder) => builder,
        Err(error) => {
            tracing::warn!(%error, "histograms of the application are shown as summaries");
            PrometheusBuilder::new()
        }
    }
}

impl Telemetry {
    /// With the default bounds.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// With other bounds.
    pub fn builder() -> TelemetryBuilder {
        TelemetryBuilder {
            max_sources: 100,
            max_series: 1000,
            retention: Duration::from_secs(600),
        }
    }

    /// The request metrics of one target. For when a target is published, not for each request: it takes a
    /// lock that a render holds too. While somebody holds it, the same target gives the same metrics.
    pub fn route(&self, target: &Target, direction: Direction) -> Arc<RouteMetrics> {
        self.route_of(RouteKey::of(target, direction))
    }

    /// The request metrics of requests that were refused before they had a target: `target_service` is
    /// `unknown`.
    pub fn unrouted(&self, direction: Direction) -> Arc<RouteMetrics> {
        self.route_of(RouteKey::unrouted(direction))
    }

    fn route_of(&self, key: RouteKey) -> Arc<RouteMetrics> {
        let series = &self.shared.series;
        let mut alive = self.shared.alive.lock();
        let Alive { routes, versions, .. } = &mut *alive;
        routes.get_or_insert_with(key, |key| {
            let version = versions.get_or_insert_with(key.version(), |key| VersionMetrics::new(series, key));
            RouteMetrics::new(Arc::clone(series), key, version)
        })
    }

    /// The metrics of one upstream service: attempts, endpoints, breaker. For when a service is published.
    pub fn service(&self, service: &ServiceName) -> Arc<ServiceMetrics> {
        let mut alive = self.shared.alive.lock();
        alive.services.get_or_insert_with(service.shared(), |name| {
            ServiceMetrics::new(&self.shared.series, name)
        })
    }

    /// The metrics of what this process is to its peers. For when an identity is started.
    pub fn identity(&self, service: &ServiceName) -> Arc<IdentityMetrics> {
        let mut alive = self.shared.alive.lock();
        alive.identities.get_or_insert_with(service.shared(), |name| {
            IdentityMetrics::new(&self.shared.series, name)
        })
    }

    /// How attempts at each version of each service went.
    pub fn evidence(&self) -> Evidence {
        self.shared.evidence.clone()
    }

    /// The metrics of the rollouts of a service. For when a service is published.
    pub fn canary(&self, service: &ServiceName) -> Arc<CanaryMetrics> {
        let mut alive = self.shared.alive.lock();
        alive.canaries.get_or_insert_with(service.shared(), |name| {
            CanaryMetrics::new(&self.shared.series, name)
        })
    }

    /// Shows requests from now on that pass a filter, at most so many a second (1 to 1000). `None` if enough look.
    pub fn tap(&self, filter: Filter, rate: u32) -> Option<Tap> {
        Taps::open(&self.shared.series.taps, filter, rate)
    }

    /// How requests went in about the last minute, for who shows it to people: as precise as
    /// [`start_sampling`](Self::start_sampling) makes it. Some milliseconds for thousands of series.
    pub fn last_minute(&self) -> Recent {
        let totals = self.shared.alive.lock().totals();
        self.shared.recent.lock().recent(&totals, Instant::now())
    }

    /// Starts the task that notes when requests of a route go otherwise than they usually do: on this bus, and as
    /// `service_mesh_anomaly` on the page ([`crate::anomaly`]). It stops when the handle is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as `tokio::spawn`.
    pub fn start_anomalies(&self, policy: AnomalyPolicy, bus: &EventBus) -> Anomalies {
        let (counting, showing) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        let totals = move || counting.alive.lock().totals();
        Anomalies::start(policy, bus.clone(), totals, move |shown| {
            let mut anomalies = showing.anomalies.lock();
            anomalies.retain(|key, _| shown.contains_key(key));
            for (key, is_unusual) in shown {
                let (service, route, figure) = &key;
                let labels = [
                    ("target_service", &**service),
                    ("route", &**route),
                    ("figure", figure),
                ];
                let gauge = || (showing.series.gauge(names::ANOMALY, &labels), false);
                anomalies.entry(key.clone()).or_insert_with(gauge).1 = is_unusual;
            }
        })
    }

    /// Starts the task that lets [`last_minute`](Self::last_minute) tell the last minute from all the time before. It
    /// stops when the handle is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as `tokio::spawn`.
    pub fn start_sampling(&self) -> Sampling {
        let shared = Arc::clone(&self.shared);
        Sampling::start(move || {
            let totals = shared.alive.lock().totals();
            shared.recent.lock().keep(totals, Instant::now());
        })
    }

    /// The metrics of the process as a whole.
    pub fn process(&self) -> &ProcessMetrics {
        &self.shared.process
    }

    /// The label of an originating service's name. Lock-free, except for a name that is new while there is
    /// room for new ones.
    pub fn source(&self, name: &str) -> SourceId {
        self.shared.series.sources.id(name)
    }

    /// A source has proved this identity. For each connection, not for each request: it takes a lock. Of a source that
    /// proves many, eight are kept.
    pub fn met(&self, source: SourceId, identity: &SpiffeId) {
        const KEPT: usize = 8;
        let mut identities = self.shared.identities.lock();
        let proved = identities
            .entry(self.shared.series.sources.name(source).into())
            .or_default();
        if proved.len() < KEPT {
            proved.insert(identity.clone());
        }
    }

    /// The identities that sources have proved, by their label.
    pub fn source_identities(&self) -> HashMap<Arc<str>, BTreeSet<SpiffeId>> {
        self.shared.identities.lock().clone()
    }

    /// A tower layer that counts the requests for `service`: see [`MetricsLayer`].
    pub fn layer(&self, service: ServiceName) -> MetricsLayer {
        MetricsLayer::new(self.clone(), Target::service(service))
    }

    /// A recorder for the application's own metrics; they stand on the same page.
    pub fn recorder(&self) -> AppRecorder {
        self.shared.application.clone()
    }

    /// Has `hook` called before each render, for values that are computed at scrape. It runs on the thread
    /// that renders. It is forgotten when the returned guard is dropped.
    ///
    /// ```
    /// use mesh_telemetry::Telemetry;
    ///
    /// let telemetry = Telemetry::new();
    /// let started = std::time::Instant::now();
    /// let uptime = metrics::with_local_recorder(&telemetry.recorder(), || metrics::gauge!("uptime_seconds"));
    /// let guard = telemetry.before_scrape(move || uptime.set(started.elapsed().as_secs_f64()));
    /// assert!(telemetry.render().contains("uptime_seconds 0.0"));
    /// # drop(guard);
    /// ```
    pub fn before_scrape(&self, hook: impl Fn() + Send + Sync + 'static) -> BeforeScrape {
        self.shared.hooks.add(Arc::new(hook))
    }

    /// The page, in Prometheus' text format 0.0.4. Some milliseconds for thousands of series: not for a
    /// thread that serves requests.
    pub fn render(&self) -> String {
        let shared = &*self.shared;
        shared.hooks.run();
        let mut page = {
            let mut alive = shared.alive.lock();
            alive.sweep(Instant::now(), shared.retention);
            alive.touch();
            shared.process.touch();
            for (gauge, is_unusual) in shared.anomalies.lock().values() {
                gauge.set(f64::from(u8::from(*is_unusual)));
            }
            let mut page = shared.page.render();
            alive.write_durations(&mut page);
            page
        };
        page.push_str(&shared.application.handle().render());
        page
    }

    /// Durations and requests under way, under the names of OpenTelemetry's conventions for HTTP: a second page, for
    /// dashboards that ask for those. `mesh_route` is the id of a rule; exact codes are not told apart.
    ///
    /// ```
    /// use http::{Request, StatusCode};
    /// use mesh_core::context::{Direction, Target};
    /// use mesh_telemetry::Telemetry;
    ///
    /// let telemetry = Telemetry::new();
    /// let orders = telemetry.route(&Target::service("orders".parse()?), Direction::Inbound);
    /// orders.begin(&Request::get("/").body(())?).answered(StatusCode::SERVICE_UNAVAILABLE, None);
    /// let page = telemetry.render_conventions();
    /// let labels = r#"http_request_method="GET",network_protocol_name="http",network_protocol_version="1.1",error_type="5xx""#;
    /// assert!(page.contains(&format!("http_server_request_duration_seconds_count{{{labels}")), "{page}");
    /// # Ok::<(), mesh_core::BoxError>(())
    /// ```
    pub fn render_conventions(&self) -> String {
        let mut page = String::new();
        let alive = self.shared.alive.lock();
        let routes: Vec<&RouteMetrics> = alive.routes.values().collect();
        crate::metrics::write_conventions(&routes, &mut page);
        page
    }

    /// Starts the task that keeps the samples of the application's own histograms from piling up between
    /// scrapes. It stops when the handle is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, as `tokio::spawn`.
    pub fn start_upkeep(&self, every: Duration) -> Upkeep {
        Upkeep::start(self.shared.application.handle().clone(), every)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("retention", &self.shared.retention)
            .finish_non_exhaustive()
    }
}

impl Alive {
    /// Routes hold their versions, so they are first.
    fn sweep(&mut self, now: Instant, retention: Duration) {
        self.routes.sweep(now, retention);
        self.versions.sweep(now, retention);
        self.services.sweep(now, retention);
        self.identities.sweep(now, retention);
        self.canaries.sweep(now, retention);
    }

    fn touch(&self) {
        self.routes.values().for_each(RouteMetrics::touch);
        self.versions.values().for_each(VersionMetrics::touch);
        self.services.values().for_each(ServiceMetrics::touch);
        self.identities.values().for_each(IdentityMetrics::touch);
        self.canaries.values().for_each(CanaryMetrics::touch);
    }

    fn totals(&self) -> Vec<Total> {
        self.routes.values().flat_map(RouteMetrics::totals).collect()
    }

    fn write_durations(&self, page: &mut String) {
        let mut durations = self.routes.values().flat_map(RouteMetrics::durations).peekable();
        if durations.peek().is_none() {
            return;
        }
        crate::metrics::write_duration_head(page);
        for duration in durations {
            duration.write(page);
        }
        page.push('\n');
    }
}

#[cfg(test)]
mod tests;
