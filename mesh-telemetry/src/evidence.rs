//! How attempts at each version of a service went: what a canary is judged by, in process and fresh to the request.
//!
//! - An attempt counts for the version of the endpoint that it was sent to, each by itself: a failure that a retry healed
//!   elsewhere is still one of the version that failed. What was refused before an endpoint was found, because the
//!   breaker is open or no endpoint is well, counts for the version it was meant for.
//! - An error is what [`ErrorKind::canary_error`] blames a version for, an HTTP 5xx, a gRPC status that blames the server
//!   ([`Outcome`]), and an answer whose body broke. A client that went away, or did not wait as long as is configured,
//!   says nothing about a version, and its attempt is not counted.
//! - It is counted when it is over, which for an answer is when its body is; its latency is the time to the head of the
//!   answer, so that clients who read slowly do not show; less the time that a body was waited for which its client sent
//!   slowly, where the request has a [`Due`](mesh_core::due::Due) that watches that.
//! - Who [asked](Assignment::Asked) for a version is counted apart ([`Traffic::pinned`]).
//! - Where users stay with a version ([`Assignment::Kept`]), how many different ones there were, and had an error, is counted
//!   as well, and what comes from one after its third error in a minute is told apart ([`Traffic::repeats`]).
//!
//! Counting is one atomic addition to a count that was there before; it takes no lock and no memory.
//!
//! | limit | |
//! |---|---|
//! | versions of a service | 64; beyond, the one that was silent for longest is forgotten, and its counts begin anew |
//! | [`TrafficQuery::window`] | to a second up to a minute; to 8 seconds up to [`MAX_WINDOW`]; longer ones are cut to that |
//! | users, and users with an error | told apart by a bit of a million: after 10 000 of them one further in a hundred is taken for one of them, after 100 000 one in eleven, with all versions alike. [`Evidence::rollout_begins`] begins anew |
//! | users after their third error | told apart by 16 384 places, with all versions alike |
//! | latencies | counted between 40 edges ([`edges`]) from 250 µs to a minute |
//!
//! [`TrafficQuery::window`]: mesh_core::metric::TrafficQuery::window
//! [`ErrorKind::canary_error`]: mesh_core::ErrorKind::canary_error
//!
//! ```
//! use std::time::Duration;
//! use mesh_core::metric::{MetricQuery, MetricSource, Samples, TrafficQuery};
//! use mesh_core::{Assignment, Outcome};
//! use mesh_telemetry::Telemetry;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
//! let evidence = Telemetry::new().evidence();
//! let orders = evidence.service(&"orders".parse()?); // once, when the service is published
//! let v2 = "v2".parse()?;
//! for outcome in [Outcome::Success, Outcome::Failure] {
//!     orders.ended(Some(&v2), Assignment::Drawn, outcome, Duration::from_millis(20));
//! }
//! orders.ended(Some(&v2), Assignment::Asked, Outcome::Failure, Duration::from_millis(20));
//!
//! let query = MetricQuery::Traffic(TrafficQuery::new("orders".parse()?, v2));
//! let Samples::Traffic(traffic) = evidence.sample(&query).await? else { panic!("traffic was asked for") };
//! assert_eq!((traffic.requests, traffic.errors, traffic.pinned), (2, 1, 1));
//! # Ok(()) }
//! ```

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mesh_core::ServiceName;
use mesh_core::metric::{
    Histogram, MetricError, MetricErrorKind, MetricQuery, MetricSource, Samples, Traffic, TrafficQuery,
};
#[cfg(doc)]
use mesh_core::{Assignment, Outcome};
use parking_lot::Mutex;
use tokio::time::Instant;

mod counts;
mod future;
mod layer;
mod noisy_users;
mod of_service;
mod past;
mod record;
mod service;
mod users;

pub use counts::edges;
pub use future::EvidenceFuture;
pub use layer::EvidenceLayer;
pub use of_service::ServiceEvidence;
pub use past::MAX_WINDOW;
pub use record::{EvidenceBody, EvidenceRecord};
pub use service::EvidenceService;

/// How attempts at each version of each service went: [`Telemetry::evidence`](crate::Telemetry::evidence). Clones are
/// the same. See [the module](self).
#[derive(Clone)]
pub struct Evidence {
    shared: Arc<Shared>,
}

struct Shared {
    since: Instant,
    services: Mutex<HashMap<ServiceName, Arc<ServiceEvidence>>>,
}

impl Evidence {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                since: Instant::now(),
                services: Mutex::default(),
            }),
        }
    }

    /// Where attempts at this service are counted. For when a service is published, not for each request: it takes a
    /// lock. As long as somebody holds it, the same service gives the same.
    pub fn service(&self, service: &ServiceName) -> Arc<ServiceEvidence> {
        let mut services = self.shared.services.lock();
        services.retain(|name, held| name == service || Arc::strong_count(held) > 1);
        let made = || Arc::new(ServiceEvidence::new(self.shared.since));
        Arc::clone(services.entry(service.clone()).or_insert_with(made))
    }

    /// A tower layer that counts the attempts at this service: see [`EvidenceLayer`].
    pub fn layer(&self, service: &ServiceName) -> EvidenceLayer {
        EvidenceLayer::new(self.service(service))
    }

    /// A rollout of this service begins: users that were there before it count anew.
    pub fn rollout_begins(&self, service: &ServiceName) {
        if let Some(service) = self.shared.services.lock().get(service) {
            service.forget_users();
        }
    }

    /// As [`sample`](MetricSource::sample), at once.
    pub fn traffic(&self, query: &TrafficQuery) -> Traffic {
        let now = Instant::now();
        let age = now.saturating_duration_since(self.shared.since);
        let window = query.window.map(|window| window.min(MAX_WINDOW));
        let service = self.shared.services.lock().get(&query.service).cloned();
        let counted = service.and_then(|service| service.traffic(query.version.as_str(), window, now));
        Traffic {
            covered: window.map_or(age, |window| window.min(age)),
            ..counted.unwrap_or_else(|| Traffic {
                latency: Histogram::new(edges(), vec![0; edges().len() + 1]).unwrap_or_default(),
                ..Traffic::default()
            })
        }
    }
}

/// Answers [`MetricQuery::Traffic`], and nothing else.
impl MetricSource for Evidence {
    async fn sample(&self, query: &MetricQuery) -> Result<Samples, MetricError> {
        match query {
            MetricQuery::Traffic(query) => Ok(Samples::Traffic(self.traffic(query))),
            _ => Err(MetricError::new(
                MetricErrorKind::Unsupported,
                "the mesh's own counters answer how requests to a version went and nothing else: other queries need \
                 a Prometheus server",
            )),
        }
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.shared.services.lock();
        f.debug_struct("Evidence")
            .field("services", &services.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
