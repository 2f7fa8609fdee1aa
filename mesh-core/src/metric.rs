//! Who measures tells it to who judges: the seam between telemetry and canaries.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::error::BoxError;
use crate::name::{ServiceName, Version};

mod histogram;

pub use histogram::Histogram;

/// Answers how requests went. Telemetry's own counters are one source, a Prometheus server another.
///
/// ```
/// use mesh_core::metric::{MetricError, MetricErrorKind, MetricQuery, MetricSource, Samples, Traffic, TrafficQuery};
///
/// struct AllWell;
///
/// impl MetricSource for AllWell {
///     async fn sample(&self, query: &MetricQuery) -> Result<Samples, MetricError> {
///         match query {
///             MetricQuery::Traffic(_) => Ok(Samples::Traffic(Traffic { requests: 100, ..Traffic::default() })),
///             _ => Err(MetricError::new(MetricErrorKind::Unsupported, "only traffic is counted here")),
///         }
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(async {
/// let query = MetricQuery::Traffic(TrafficQuery::new("orders".parse()?, "v2".parse()?));
/// let Samples::Traffic(traffic) = AllWell.sample(&query).await? else { panic!("traffic was asked for") };
/// assert_eq!(traffic.error_rate(), Some(0.0));
/// # Ok::<(), mesh_core::BoxError>(())
/// # }).expect("sampled");
/// ```
pub trait MetricSource: Send + Sync + 'static {
    /// Answers the query. No requests are an answer (zero counts, an empty vector), not an error. The caller
    /// limits how long it may take; dropping the future gives up.
    fn sample(&self, query: &MetricQuery) -> impl Future<Output = Result<Samples, MetricError>> + Send;
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricQuery {
    /// How the requests to a version of a service went. Answered by [`Samples::Traffic`].
    Traffic(TrafficQuery),
    /// A PromQL expression, its placeholders filled in. Answered by [`Samples::Scalar`] or
    /// [`Samples::Vector`].
    Prometheus(String),
}

/// Asks for the requests to a version of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrafficQuery {
    /// The service.
    pub service: ServiceName,
    /// The version; requests to endpoints without one count as `stable`.
    pub version: Version,
    /// The requests that ended in the last so-and-so long; without it all since the source began to count, so
    /// that whoever asks regularly takes exact differences ([`Traffic::since`]).
    pub window: Option<Duration>,
}

impl TrafficQuery {
    /// All requests since the source began to count.
    pub fn new(service: ServiceName, version: Version) -> Self {
        Self {
            service,
            version,
            window: None,
        }
    }

    /// Only those that ended in the last `window`.
    #[must_use]
    pub fn with_window(mut self, window: Duration) -> Self {
        self.window = Some(window);
        self
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Samples {
    /// Counted requests.
    Traffic(Traffic),
    /// One number; it may be NaN or infinite.
    Scalar(f64),
    /// Numbers in the order of the answer, labels dropped. Empty if no series matched.
    Vector(Vec<f64>),
}

/// Counted requests of one version: attempts, each counted for the version that served it. Only those that a version
/// got by its share: who asked for it is no fair sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// How many ended.
    pub requests: u64,
    /// How many of them were errors of this version (see [`ErrorKind::canary_error`]).
    ///
    /// [`ErrorKind::canary_error`]: crate::ErrorKind::canary_error
    pub errors: u64,
    /// How many different users had an error, where users stay with a version and the source tells them
    /// apart: one user that fails a hundred times is one.
    pub failed_users: Option<u64>,
    /// How many different users there were, likewise: each counts for the version where it was first.
    pub users: Option<u64>,
    /// How many of the requests came from a user right after several errors of it, where users are told apart: one that
    /// asks again and again for what fails says no more of a version.
    pub repeats: Repeats,
    /// How many of the errors were refusals: requests meant for this version that were never sent.
    pub refusals: Refusals,
    /// How many more there were that asked for this version, by a header, a cookie or a rule. They are in none of the
    /// other numbers.
    pub pinned: u64,
    /// How long they took.
    pub latency: Histogram,
    /// How long it was counted: shorter than the window if the source has not run for so long.
    pub covered: Duration,
}

/// Requests that were refused here, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// [`ErrorKind::CircuitOpen`](crate::ErrorKind::CircuitOpen)
    pub circuit_open: u64,
    /// [`ErrorKind::NoHealthyEndpoint`](crate::ErrorKind::NoHealthyEndpoint)
    pub no_healthy_endpoint: u64,
}

impl Refusals {
    fn since(self, earlier: Self) -> Option<Self> {
        let Self {
            circuit_open,
            no_healthy_endpoint,
        } = earlier;
        Some(Self {
            circuit_open: self.circuit_open.checked_sub(circuit_open)?,
            no_healthy_endpoint: self.no_healthy_endpoint.checked_sub(no_healthy_endpoint)?,
        })
    }

    /// Both added up.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            circuit_open: self.circuit_open.saturating_add(more.circuit_open),
            no_healthy_endpoint: self.no_healthy_endpoint.saturating_add(more.no_healthy_endpoint),
        }
    }
}

/// Requests of users that had just had several errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    /// How many.
    pub requests: u64,
    /// How many of those were errors too.
    pub errors: u64,
}

impl Repeats {
    fn since(self, earlier: Self) -> Option<Self> {
        Some(Self {
            requests: self.requests.checked_sub(earlier.requests)?,
            errors: self.errors.checked_sub(earlier.errors)?,
        })
    }
}

impl Traffic {
    /// The share of errors, 0 to 1; nothing if there were no requests.
    pub fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.errors as f64 / self.requests as f64)
    }

    /// What was added since `earlier`, both counted from the same start. `None` if they were not: a count went
    /// back, because the source began anew, or the latencies have other edges.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        Some(Self {
            requests: self.requests.checked_sub(earlier.requests)?,
            errors: self.errors.checked_sub(earlier.errors)?,
            failed_users: known_since(self.failed_users, earlier.failed_users)?,
            users: known_since(self.users, earlier.users)?,
            repeats: self.repeats.since(earlier.repeats)?,
            refusals: self.refusals.since(earlier.refusals)?,
            pinned: self.pinned.checked_sub(earlier.pinned)?,
            latency: self.latency.since(&earlier.latency)?,
            covered: self.covered.checked_sub(earlier.covered)?,
        })
    }
}

/// The difference of two counts, if both are known.
fn known_since(now: Option<u64>, earlier: Option<u64>) -> Option<Option<u64>> {
    match now.zip(earlier) {
        Some((now, then)) => Some(Some(now.checked_sub(then)?)),
        None => Some(None),
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricErrorKind {
    /// The source did not answer; it may later.
    Unavailable,
    /// The source says that the query is wrong.
    Rejected,
    /// The answer was not understood.
    Malformed,
    /// This source has no answer to such queries.
    Unsupported,
}

/// There is no answer.
#[derive(Debug)]
pub struct MetricError {
    kind: MetricErrorKind,
    message: String,
    source: Option<BoxError>,
}

impl MetricError {
    /// Why, and a sentence that says what was asked of whom and what to do.
    pub fn new(kind: MetricErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Why.
    pub fn kind(&self) -> MetricErrorKind {
        self.kind
    }

    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        self.kind == MetricErrorKind::Unavailable
    }
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for MetricError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests;
