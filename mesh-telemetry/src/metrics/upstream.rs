//! What is counted of one upstream service: attempts, endpoints, breaker.

use std::sync::Arc;
use std::time::SystemTime;

use ::metrics::{Counter, Gauge};
use mesh_core::{ErrorKind, Outcome};

use crate::registry::{Series, names};

/// The metrics of one upstream service: [`Telemetry::service`](crate::Telemetry::service).
///
/// ```
/// use mesh_core::{ErrorKind, Outcome};
/// use mesh_telemetry::Telemetry;
/// use mesh_telemetry::metrics::EndpointCounts;
///
/// let telemetry = Telemetry::new();
/// let orders = telemetry.service(&"orders".parse()?);
/// orders.attempt(Outcome::Refused(ErrorKind::UpstreamConnect));
/// orders.set_endpoints(EndpointCounts { healthy: 2, ejected: 1, ..EndpointCounts::default() });
///
/// let page = telemetry.render();
/// assert!(page.contains(r#"service_mesh_attempts_total{target_service="orders",outcome="upstream_connect"} 1"#));
/// assert!(page.contains(r#"service_mesh_attempts_total{target_service="orders",outcome="success"} 0"#));
/// assert!(page.contains(r#"service_mesh_endpoints{target_service="orders",state="healthy"} 2"#));
/// assert!(page.contains(r#"service_mesh_circuit_breaker_open{target_service="orders"} 0"#));
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
pub struct ServiceMetrics {
    success: Counter,
    failure: Counter,
    refused: [(ErrorKind, Counter); ErrorKind::ALL.len()],
    healthy: Gauge,
    unhealthy: Gauge,
    ejected: Gauge,
    missing: Gauge,
    panic: Gauge,
    synced: Gauge,
    last_sync: Gauge,
    breaker_open: Gauge,
}

/// How many endpoints of a service are in each state. An endpoint is in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    /// May be picked.
    pub healthy: usize,
    /// Failed its health check.
    pub unhealthy: usize,
    /// Ejected for a while by outlier detection.
    pub ejected: usize,
    /// Configured as `replicas`, but not discovered.
    pub missing: usize,
}

impl ServiceMetrics {
    pub(crate) fn new(series: &Series, service: &Arc<str>) -> Self {
        let attempts = |outcome| {
            series.counter(
                names::ATTEMPTS,
                &[("target_service", &**service), ("outcome", outcome)],
            )
        };
        let endpoints = |state| {
            series.gauge(
                names::ENDPOINTS,
                &[("target_service", &**service), ("state", state)],
            )
        };
        Self {
            success: attempts("success"),
            failure: attempts("failure"),
            refused: ErrorKind::ALL.map(|kind| (kind, attempts(kind.code()))),
            healthy: endpoints("healthy"),
            unhealthy: endpoints("unhealthy"),
            ejected: endpoints("ejected"),
            missing: endpoints("missing"),
            panic: series.gauge(names::PANIC, &[("target_service", &**service)]),
            synced: series.gauge(names::DISCOVERY_SYNCED, &[("target_service", &**service)]),
            last_sync: series.gauge(names::DISCOVERY_LAST_SYNC, &[("target_service", &**service)]),
            breaker_open: series.gauge(names::CIRCUIT_BREAKER_OPEN, &[("target_service", &**service)]),
        }
    }

    /// Counts one attempt. The label `outcome` is `success`, `failure`, or the code of what the mesh ended
    /// it with.
    pub fn attempt(&self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.success.increment(1),
            Outcome::Failure => self.failure.increment(1),
            Outcome::Refused(kind) => {
                if let Some((_, counter)) = self.refused.iter().find(|(known, _)| *known == kind) {
                    counter.increment(1);
                }
            }
        }
    }

    /// Tells how many endpoints there are.
    pub fn set_endpoints(&self, counts: EndpointCounts) {
        self.healthy.set(counts.healthy as f64);
        self.unhealthy.set(counts.unhealthy as f64);
        self.ejected.set(counts.ejected as f64);
        self.missing.set(counts.missing as f64);
    }

    /// Tells whether so few endpoints are well that all take requests.
    pub fn set_panic(&self, panic: bool) {
        self.panic.set(f64::from(u8::from(panic)));
    }

    /// Tells whether the newest answer of discovery was a good one, and when the last good one came; 0 stands for
    /// never.
    pub fn set_discovery(&self, synced: bool, last_sync: Option<SystemTime>) {
        let since_1970 = last_sync.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        self.synced.set(f64::from(u8::from(synced)));
        self.last_sync
            .set(since_1970.unwrap_or_default().as_secs_f64().floor());
    }

    /// Tells whether the breaker of the service is open.
    pub fn set_breaker_open(&self, open: bool) {
        self.breaker_open.set(f64::from(u8::from(open)));
    }

    /// Keeps the series on the page.
    pub(crate) fn touch(&self) {
        let refused = self.refused.iter().map(|(_, counter)| counter);
        refused
            .chain([&self.success, &self.failure])
            .for_each(|counter| counter.increment(0));
        let gauges = [
            &self.healthy,
            &self.unhealthy,
            &self.ejected,
            &self.missing,
            &self.panic,
            &self.synced,
            &self.last_sync,
            &self.breaker_open,
        ];
        gauges.into_iter().for_each(|gauge| gauge.increment(0.0));
    }
}
