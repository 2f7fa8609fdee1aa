//! The recorder for an application's own metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusHandle, PrometheusRecorder};

use crate::registry::names;

/// A [`metrics`](::metrics) recorder: what an application records through it stands on the same page.
///
/// A library takes it for a scope; an application may make it the global one with
/// [`metrics::set_global_recorder`](::metrics::set_global_recorder).
///
/// A name that the mesh uses itself is refused (a warning, and a handle that does nothing), since two
/// families of one name make a page Prometheus rejects. Histograms whose name ends in `_seconds` get the
/// mesh's bucket edges; others are summaries. Series live as long as the process: what becomes a label is
/// the application's to bound.
///
/// ```
/// use mesh_telemetry::Telemetry;
///
/// let telemetry = Telemetry::new();
/// metrics::with_local_recorder(&telemetry.recorder(), || {
///     metrics::counter!("orders_placed_total", "currency" => "EUR").increment(2);
/// });
/// assert!(telemetry.render().contains("orders_placed_total{currency=\"EUR\"} 2\n"));
/// ```
#[derive(Clone)]
pub struct AppRecorder(Arc<Inner>);

struct Inner {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    told: AtomicBool,
}

impl AppRecorder {
    pub(crate) fn new(recorder: PrometheusRecorder) -> Self {
        let handle = recorder.handle();
        Self(Arc::new(Inner {
            recorder,
            handle,
            told: AtomicBool::new(false),
        }))
    }

    pub(crate) fn handle(&self) -> &PrometheusHandle {
        &self.0.handle
    }

    /// The recorder, unless the name is the mesh's own.
    fn of(&self, name: &str) -> Option<&PrometheusRecorder> {
        if !names::is_reserved(name) {
            return Some(&self.0.recorder);
        }
        if !self.0.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                metric = name,
                "the application records a metric the mesh gives itself; it is left out of the page: \
                 rename it (further such names are not logged)"
            );
        }
        None
    }
}

impl Recorder for AppRecorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        if let Some(recorder) = self.of(name.as_str()) {
            recorder.describe_counter(name, unit, description);
        }
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        if let Some(recorder) = self.of(name.as_str()) {
            recorder.describe_gauge(name, unit, description);
        }
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        if let Some(recorder) = self.of(name.as_str()) {
            recorder.describe_histogram(name, unit, description);
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.of(key.name())
            .map_or_else(Counter::noop, |recorder| recorder.register_counter(key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.of(key.name())
            .map_or_else(Gauge::noop, |recorder| recorder.register_gauge(key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.of(key.name()).map_or_else(Histogram::noop, |recorder| {
            recorder.register_histogram(key, metadata)
        })
    }
}
