//! What is told of the rollouts of a service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{Counter, Gauge};
use mesh_core::Version;
use parking_lot::Mutex;

use crate::labels::configured;
use crate::registry::{Series, names};

/// The metrics of a service's rollouts: [`Telemetry::canary`](crate::Telemetry::canary). They tell of the newest; the
/// series of the one before leave the page.
///
/// ```
/// use std::time::Duration;
/// use mesh_telemetry::Telemetry;
/// use mesh_telemetry::metrics::{CanaryFigures, CanaryStatus};
///
/// let telemetry = Telemetry::new();
/// let orders = telemetry.canary(&"orders".parse()?);
/// let mut figures = CanaryFigures::new(CanaryStatus::Progressing);
/// figures.weight = 5;
/// figures.error_rate = 0.002;
/// figures.response_time_p95 = Duration::from_millis(120);
/// figures.stable_error_rate = 0.001;
/// orders.set(&"v2".parse()?, &figures);
/// orders.decided("begin", "ready");
///
/// let page = telemetry.render();
/// assert!(page.contains(r#"canary_deployment_status{service="orders",version="v2",status="progressing"} 1"#));
/// assert!(page.contains(r#"canary_deployment_status{service="orders",version="v2",status="paused"} 0"#));
/// assert!(page.contains(r#"canary_deployment_response_time_p95{service="orders",version="v2"} 120"#));
/// assert!(page.contains(r#"canary_deployment_stable_error_rate{service="orders",version="v2"} 0.001"#));
/// assert!(page.contains(r#"canary_deployment_decisions_total{service="orders",decision="begin",cause="ready"} 1"#));
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
pub struct CanaryMetrics {
    series: Arc<Series>,
    service: Arc<str>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    rollout: Option<Rollout>,
    /// By decision and cause.
    decisions: HashMap<(&'static str, &'static str), Counter>,
}

/// The series of one rollout.
struct Rollout {
    version: Version,
    status: [(CanaryStatus, Gauge); 6],
    error_rate: Gauge,
    response_time_p95: Gauge,
    duration: Gauge,
    weight: Gauge,
    samples: Gauge,
    stable_error_rate: Gauge,
    stable_response_time_p95: Gauge,
    stable_samples: Gauge,
    evidence: Gauge,
    evidence_limit: Gauge,
}

/// The label `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryStatus {
    /// The new version has no endpoint yet.
    Pending,
    /// It goes on.
    Progressing,
    /// It waits for somebody.
    Paused,
    /// The new version is the stable one.
    Success,
    /// It could not be rolled back.
    Failed,
    /// The stable version has all traffic again.
    RolledBack,
}

impl CanaryStatus {
    const ALL: [Self; 6] = [
        Self::Pending,
        Self::Progressing,
        Self::Paused,
        Self::Success,
        Self::Failed,
        Self::RolledBack,
    ];

    /// The value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Progressing => "progressing",
            Self::Paused => "paused",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
        }
    }

    /// The status of this value.
    ///
    /// ```
    /// use mesh_telemetry::metrics::CanaryStatus;
    ///
    /// assert_eq!(CanaryStatus::of("rolled_back"), Some(CanaryStatus::RolledBack));
    /// assert_eq!(CanaryStatus::of("lost"), None);
    /// ```
    pub fn of(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == value)
    }
}

/// What is told of a rollout at a moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CanaryFigures {
    /// How it stands.
    pub status: CanaryStatus,
    /// The share of errors among the new version's requests of this stage, 0 to 1; 0 without requests.
    pub error_rate: f64,
    /// The 95th percentile of its response times in this stage; 0 without requests.
    pub response_time_p95: Duration,
    /// How long the rollout has been going on, or took.
    pub duration: Duration,
    /// The share of the new version, in percent.
    pub weight: u8,
    /// How many requests of the new version were seen in this stage.
    pub samples: u64,
    /// The share of errors among the stable version's requests at the same time, 0 to 1; 0 without requests.
    pub stable_error_rate: f64,
    /// The 95th percentile of its response times; 0 without requests.
    pub stable_response_time_p95: Duration,
    /// How many of its requests were seen.
    pub stable_samples: u64,
    /// How strongly the evidence speaks against the new version.
    pub evidence: f64,
    /// How strong it has to be for a rollback; 0 where nothing is weighed.
    pub evidence_limit: f64,
}

impl CanaryFigures {
    /// It stands so, and nothing has been seen.
    pub fn new(status: CanaryStatus) -> Self {
        Self {
            status,
            error_rate: 0.0,
            response_time_p95: Duration::ZERO,
            duration: Duration::ZERO,
            weight: 0,
            samples: 0,
            stable_error_rate: 0.0,
            stable_response_time_p95: Duration::ZERO,
            stable_samples: 0,
            evidence: 0.0,
            evidence_limit: 0.0,
        }
    }
}

impl CanaryMetrics {
    pub(crate) fn new(series: &Arc<Series>, service: &Arc<str>) -> Self {
        Self {
            series: Arc::clone(series),
            service: configured(service).into(),
            told: Mutex::default(),
        }
    }

    /// Tells how the rollout of a version stands.
    pub fn set(&self, version: &Version, figures: &CanaryFigures) {
        let told = &mut *self.told.lock();
        let rollout = match told.rollout.take().filter(|rollout| rollout.version == *version) {
            Some(rollout) => rollout,
            None => Rollout::new(&self.series, &self.service, version),
        };
        told.rollout.insert(rollout).set(figures);
    }

    /// There is nothing to tell of any more: the service is not rolled out.
    pub fn clear(&self) {
        self.told.lock().rollout = None;
    }

    /// Something was decided, for this cause. Both are words of the code, as few as there are.
    pub fn decided(&self, decision: &'static str, cause: &'static str) {
        let labels = [
            ("service", &*self.service),
            ("decision", decision),
            ("cause", cause),
        ];
        let mut told = self.told.lock();
        let counter = told
            .decisions
            .entry((decision, cause))
            .or_insert_with(|| self.series.counter(names::CANARY_DECISIONS, &labels));
        counter.increment(1);
    }

    /// Keeps the series on the page.
    pub(crate) fn touch(&self) {
        let told = self.told.lock();
        told.rollout
            .iter()
            .flat_map(Rollout::gauges)
            .for_each(|gauge| gauge.increment(0.0));
        told.decisions.values().for_each(|counter| counter.increment(0));
    }
}

impl Rollout {
    fn new(series: &Series, service: &str, version: &Version) -> Self {
        let label = configured(version.as_str());
        let gauge = |name| series.gauge(name, &[("service", service), ("version", &label)]);
        let status = |status: CanaryStatus| {
            let labels = [
                ("service", service),
                ("version", &label),
                ("status", status.as_str()),
            ];
            (status, series.gauge(names::CANARY_STATUS, &labels))
        };
        Self {
            version: version.clone(),
            status: CanaryStatus::ALL.map(status),
            error_rate: gauge(names::CANARY_ERROR_RATE),
            response_time_p95: gauge(names::CANARY_RESPONSE_TIME),
            duration: gauge(names::CANARY_DURATION),
            weight: gauge(names::CANARY_WEIGHT),
            samples: gauge(names::CANARY_SAMPLES),
            stable_error_rate: gauge(names::CANARY_STABLE_ERROR_RATE),
            stable_response_time_p95: gauge(names::CANARY_STABLE_RESPONSE_TIME),
            stable_samples: gauge(names::CANARY_STABLE_SAMPLES),
            evidence: gauge(names::CANARY_EVIDENCE),
            evidence_limit: gauge(names::CANARY_EVIDENCE_LIMIT),
        }
    }

    fn set(&self, figures: &CanaryFigures) {
        for (status, gauge) in &self.status {
            gauge.set(f64::from(u8::from(*status == figures.status)));
        }
        self.error_rate.set(figures.error_rate);
        self.response_time_p95
            .set(figures.response_time_p95.as_secs_f64() * 1000.0);
        self.duration.set(figures.duration.as_secs_f64());
        self.weight.set(f64::from(figures.weight));
        self.samples.set(figures.samples as f64);
        self.stable_error_rate.set(figures.stable_error_rate);
        self.stable_response_time_p95
            .set(figures.stable_response_time_p95.as_secs_f64() * 1000.0);
        self.stable_samples.set(figures.stable_samples as f64);
        self.evidence.set(figures.evidence);
        self.evidence_limit.set(figures.evidence_limit);
    }

    fn gauges(&self) -> impl Iterator<Item = &Gauge> {
        let status = self.status.iter().map(|(_, gauge)| gauge);
        status.chain([
            &self.error_rate,
            &self.response_time_p95,
            &self.duration,
            &self.weight,
            &self.samples,
            &self.stable_error_rate,
            &self.stable_response_time_p95,
            &self.stable_samples,
            &self.evidence,
            &self.evidence_limit,
        ])
    }
}

#[cfg(test)]
mod tests {
    use crate::Telemetry;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    #[test]
    fn one_status_is_1_and_all_others_are_0() {
        let telemetry = Telemetry::new();
        let orders = telemetry.canary(&"orders".parse().expect("a name"));
        for status in CanaryStatus::ALL {
            orders.set(&version("v2"), &CanaryFigures::new(status));
            let page = telemetry.render();
            for other in CanaryStatus::ALL {
                let series = format!(
                    "canary_deployment_status{{service=\"orders\",version=\"v2\",status=\"{}\"}} {}\n",
                    other.as_str(),
                    u8::from(other == status)
                );
                assert!(page.contains(&series), "{series}");
            }
        }
    }

    #[test]
    fn the_series_of_a_rollout_leave_the_page_when_another_begins_or_the_service_leaves() {
        let telemetry = Telemetry::builder().retention(Duration::ZERO).build();
        let orders = telemetry.canary(&"orders".parse().expect("a name"));
        let figures = CanaryFigures::new(CanaryStatus::Progressing);
        orders.set(&version("v2"), &figures);
        orders.decided("begin", "ready");
        assert!(telemetry.render().contains("version=\"v2\""));
        orders.set(&version("v3"), &figures);
        telemetry.render();
        let page = telemetry.render();
        assert!(
            page.contains("version=\"v3\"") && !page.contains("version=\"v2\""),
            "{page}"
        );
        assert!(page.contains("canary_deployment_decisions_total"));
        orders.clear();
        telemetry.render();
        assert!(!telemetry.render().contains("version=\"v3\""));
        drop(orders);
        for _ in 0..3 {
            telemetry.render();
        }
        assert!(!telemetry.render().contains("orders"));
    }
}
