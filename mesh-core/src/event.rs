//! What happened to the mesh: changes of state, told to whoever listens (log, metrics, dashboard).
//!
//! Changes only, never requests. Telling never waits: a listener that is too slow loses the oldest events, and
//! how many is counted.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::breaker::Transition;
use crate::endpoint::EndpointId;
use crate::identity::SpiffeId;
use crate::name::{ServiceName, Version};

mod bus;
mod fields;
mod kind;
mod sentence;

pub use bus::{EventBus, Events};
pub use fields::Field;

/// A change of state. Its `Display` is one sentence for a log, [`kind`](Self::kind) a word for a machine.
///
/// ```
/// use mesh_core::event::MeshEvent;
///
/// let event = MeshEvent::TooFewEndpoints { service: "orders".parse()?, found: 2, expected: 3 };
/// assert_eq!(event.kind(), "too_few_endpoints");
/// assert_eq!(event.to_string(), "orders has 2 endpoints, expected 3");
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MeshEvent {
    /// An endpoint gets no requests for a while.
    EndpointEjected {
        /// The service.
        service: ServiceName,
        /// The endpoint.
        endpoint: EndpointId,
        /// Why.
        cause: Cow<'static, str>,
        /// For how long at least.
        ejected_for: Duration,
    },
    /// An ejected endpoint gets requests again.
    EndpointReturned {
        /// The service.
        service: ServiceName,
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Health checks say something new about an endpoint.
    HealthChanged {
        /// The service.
        service: ServiceName,
        /// The endpoint.
        endpoint: EndpointId,
        /// Whether it is healthy now.
        healthy: bool,
        /// What the check found.
        cause: Cow<'static, str>,
    },
    /// The breaker of a service opened, tries or closed.
    BreakerChanged {
        /// The service.
        service: ServiceName,
        /// The version that it is the breaker of; nothing if it is of the service, or of its stable version.
        version: Option<Version>,
        /// From what to what, and why.
        transition: Transition,
    },
    /// A service has fewer endpoints than its configuration expects.
    TooFewEndpoints {
        /// The service.
        service: ServiceName,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// So few endpoints are healthy that requests go to the others too.
    PanicEntered {
        /// The service.
        service: ServiceName,
        /// How many are healthy.
        healthy: usize,
        /// Of how many.
        total: usize,
    },
    /// Enough endpoints are healthy again.
    PanicLeft {
        /// The service.
        service: ServiceName,
        /// How many are healthy.
        healthy: usize,
        /// Of how many.
        total: usize,
    },
    /// Discovery knows the endpoints of a service: for the first time, or again.
    DiscoverySynced {
        /// The service.
        service: ServiceName,
        /// How many there are.
        endpoints: usize,
    },
    /// Discovery fails; the endpoints it saw last stay in use.
    DiscoveryStale {
        /// The service.
        service: ServiceName,
        /// How old the last good answer is; nothing if there was none.
        age: Option<Duration>,
        /// What went wrong.
        cause: Cow<'static, str>,
    },
    /// More callers than a rate limit has room for: those beyond share one allowance.
    RateLimitCrowded {
        /// The limit: a service, or the id of a rule.
        limit: Arc<str>,
        /// How many keys it has room for.
        room: usize,
    },
    /// The store that replicas share a rate limit through does not answer: each counts its own part.
    RateLimitAlone {
        /// The limit.
        limit: Arc<str>,
        /// What went wrong.
        cause: Cow<'static, str>,
    },
    /// The store of a rate limit answers again: replicas count together.
    RateLimitShared {
        /// The limit.
        limit: Arc<str>,
    },
    /// This process has a new certificate.
    CertificateRotated {
        /// Whose.
        identity: SpiffeId,
        /// Its serial number, in lower-case hexadecimal.
        serial: Arc<str>,
        /// Until when it is valid.
        not_after: SystemTime,
    },
    /// A certificate ends soon and has not been renewed.
    CertificateExpiring {
        /// Whose.
        identity: SpiffeId,
        /// Its serial number, in lower-case hexadecimal.
        serial: Arc<str>,
        /// How long it is still valid; nothing if it no longer is.
        left: Option<Duration>,
        /// Why it has not been renewed.
        cause: Cow<'static, str>,
    },
    /// A certificate was revoked.
    CertificateRevoked {
        /// Its serial number, in lower-case hexadecimal.
        serial: Arc<str>,
    },
    /// Connections end, since who is at their other end is not trusted any more.
    PeerUntrusted {
        /// Its SPIFFE ID, or that it has none.
        peer: Arc<str>,
        /// The serial number of its certificate, in lower-case hexadecimal.
        serial: Arc<str>,
        /// How many connections.
        connections: usize,
        /// Why.
        cause: Cow<'static, str>,
    },
    /// A changed configuration is in force.
    ConfigReloaded,
    /// A changed configuration was refused; the one before stays in force.
    ConfigRejected {
        /// The whole report.
        report: Arc<str>,
    },
    /// A rollout sends another share to the new version.
    CanaryStep {
        /// The service.
        service: ServiceName,
        /// The new version.
        version: Version,
        /// The stage, from 1.
        stage: usize,
        /// The share, in percent.
        weight: u8,
        /// Why.
        cause: Cow<'static, str>,
    },
    /// A rollout waits for somebody.
    CanaryPaused {
        /// The service.
        service: ServiceName,
        /// The new version.
        version: Version,
        /// Why.
        cause: Cow<'static, str>,
    },
    /// The new version is the stable one.
    CanaryPromoted {
        /// The service.
        service: ServiceName,
        /// The new version.
        version: Version,
        /// Why.
        cause: Cow<'static, str>,
    },
    /// The new version gets no requests any more.
    CanaryRolledBack {
        /// The service.
        service: ServiceName,
        /// The new version.
        version: Version,
        /// Why.
        cause: Cow<'static, str>,
    },
    /// A rollout that was paused goes on.
    CanaryResumed {
        /// The service.
        service: ServiceName,
        /// The new version.
        version: Version,
        /// Why.
        cause: Cow<'static, str>,
    },
    /// Somebody wants the next stage, which begins as soon as this one has gone well.
    CanaryApproved {
        /// The service.
        service: ServiceName,
        /// The new version.
        version: Version,
        /// Why.
        cause: Cow<'static, str>,
    },
    /// The new version is to get no more requests: the router is being told.
    CanaryRollingBack {
        /// The service.
        service: ServiceName,
        /// The new version.
        version: Version,
        /// Why.
        cause: Cow<'static, str>,
    },
    /// A rollout goes on by another plan.
    CanaryReplanned {
        /// The service.
        service: ServiceName,
        /// The new version.
        version: Version,
        /// Why.
        cause: Cow<'static, str>,
    },
    /// A rollout takes so long that somebody should look.
    CanaryStuck {
        /// The service.
        service: ServiceName,
        /// The new version.
        version: Version,
        /// For how long it has been going on.
        running_for: Duration,
    },
    /// A rollout should have been rolled back and could not: somebody has to look at once.
    CanaryHalted {
        /// The service.
        service: ServiceName,
        /// The new version.
        version: Version,
        /// Why.
        cause: Cow<'static, str>,
    },
    /// Requests go otherwise than they usually do.
    AnomalyBegan {
        /// The service.
        service: ServiceName,
        /// The route; empty for requests that no rule decided.
        route: Arc<str>,
        /// What is unusual: `error_rate` or `latency`.
        figure: &'static str,
        /// What it is: a ratio 0 to 1, or seconds.
        seen: f64,
        /// What it usually is.
        usual: f64,
    },
    /// Requests go as they usually do again.
    AnomalyEnded {
        /// The service.
        service: ServiceName,
        /// The route; empty for requests that no rule decided.
        route: Arc<str>,
        /// What was unusual: `error_rate` or `latency`.
        figure: &'static str,
    },
    /// The process takes nothing new and finishes what it has.
    DrainStarted {
        /// How many connections there are, those at rest among them.
        in_flight: usize,
    },
    /// The drain is over.
    DrainFinished {
        /// How many connections were left when the time was up, and were cut off; 0 for a clean drain.
        cut_off: usize,
    },
}

#[cfg(test)]
mod tests;
