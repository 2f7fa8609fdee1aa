//! What happened to the mesh: changes of state, told to whoever listens (log, metrics, dashboard).
//!
//! Changes only, never requests. Telling never waits: a listener that is too slow loses the oldest events, and
//! how many is counted.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::breaker::Transition;
use crate::duration::display;
use crate::endpoint::EndpointId;
use crate::identity::SpiffeId;
use crate::name::{ServiceName, Version};

mod bus;
mod fields;

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
        /// How much there is to finish.
        in_flight: usize,
    },
    /// The drain is over.
    DrainFinished {
        /// How much was cut off because the time was up; 0 for a clean drain.
        cut_off: usize,
    },
}

impl MeshEvent {
    /// Every [`kind`](Self::kind).
    pub const KINDS: [&'static str; 32] = [
        "endpoint_ejected",
        "endpoint_returned",
        "health_changed",
        "breaker_changed",
        "too_few_endpoints",
        "panic_entered",
        "panic_left",
        "discovery_synced",
        "discovery_stale",
        "rate_limit_crowded",
        "rate_limit_alone",
        "rate_limit_shared",
        "certificate_rotated",
        "certificate_expiring",
        "certificate_revoked",
        "peer_untrusted",
        "config_reloaded",
        "config_rejected",
        "canary_step",
        "canary_paused",
        "canary_promoted",
        "canary_rolled_back",
        "canary_resumed",
        "canary_approved",
        "canary_rolling_back",
        "canary_replanned",
        "canary_stuck",
        "canary_halted",
        "anomaly_began",
        "anomaly_ended",
        "drain_started",
        "drain_finished",
    ];

    /// A stable word for what happened, in snake case: a metric's label, an event's type.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::EndpointEjected { .. } => "endpoint_ejected",
            Self::EndpointReturned { .. } => "endpoint_returned",
            Self::HealthChanged { .. } => "health_changed",
            Self::BreakerChanged { .. } => "breaker_changed",
            Self::TooFewEndpoints { .. } => "too_few_endpoints",
            Self::PanicEntered { .. } => "panic_entered",
            Self::PanicLeft { .. } => "panic_left",
            Self::DiscoverySynced { .. } => "discovery_synced",
            Self::DiscoveryStale { .. } => "discovery_stale",
            Self::RateLimitCrowded { .. } => "rate_limit_crowded",
            Self::RateLimitAlone { .. } => "rate_limit_alone",
            Self::RateLimitShared { .. } => "rate_limit_shared",
            Self::CertificateRotated { .. } => "certificate_rotated",
            Self::CertificateExpiring { .. } => "certificate_expiring",
            Self::CertificateRevoked { .. } => "certificate_revoked",
            Self::PeerUntrusted { .. } => "peer_untrusted",
            Self::ConfigReloaded => "config_reloaded",
            Self::ConfigRejected { .. } => "config_rejected",
            Self::CanaryStep { .. } => "canary_step",
            Self::CanaryPaused { .. } => "canary_paused",
            Self::CanaryPromoted { .. } => "canary_promoted",
            Self::CanaryRolledBack { .. } => "canary_rolled_back",
            Self::CanaryResumed { .. } => "canary_resumed",
            Self::CanaryApproved { .. } => "canary_approved",
            Self::CanaryRollingBack { .. } => "canary_rolling_back",
            Self::CanaryReplanned { .. } => "canary_replanned",
            Self::CanaryStuck { .. } => "canary_stuck",
            Self::CanaryHalted { .. } => "canary_halted",
            Self::AnomalyBegan { .. } => "anomaly_began",
            Self::AnomalyEnded { .. } => "anomaly_ended",
            Self::DrainStarted { .. } => "drain_started",
            Self::DrainFinished { .. } => "drain_finished",
        }
    }

    /// The service it happened to, if it happened to one.
    pub const fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::EndpointEjected { service, .. }
            | Self::EndpointReturned { service, .. }
            | Self::HealthChanged { service, .. }
            | Self::BreakerChanged { service, .. }
            | Self::TooFewEndpoints { service, .. }
            | Self::PanicEntered { service, .. }
            | Self::PanicLeft { service, .. }
            | Self::DiscoverySynced { service, .. }
            | Self::DiscoveryStale { service, .. }
            | Self::CanaryStep { service, .. }
            | Self::CanaryPaused { service, .. }
            | Self::CanaryPromoted { service, .. }
            | Self::CanaryRolledBack { service, .. }
            | Self::CanaryResumed { service, .. }
            | Self::CanaryApproved { service, .. }
            | Self::CanaryRollingBack { service, .. }
            | Self::CanaryReplanned { service, .. }
            | Self::CanaryStuck { service, .. }
            | Self::CanaryHalted { service, .. }
            | Self::AnomalyBegan { service, .. }
            | Self::AnomalyEnded { service, .. } => Some(service),
            Self::RateLimitCrowded { .. }
            | Self::RateLimitAlone { .. }
            | Self::RateLimitShared { .. }
            | Self::CertificateRotated { .. }
            | Self::CertificateExpiring { .. }
            | Self::CertificateRevoked { .. }
            | Self::PeerUntrusted { .. }
            | Self::ConfigReloaded
            | Self::ConfigRejected { .. }
            | Self::DrainStarted { .. }
            | Self::DrainFinished { .. } => None,
        }
    }
}

impl fmt::Display for MeshEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndpointEjected {
                service,
                endpoint,
                cause,
                ejected_for,
            } => {
                write!(
                    f,
                    "{endpoint} of {service} is ejected for {}: {cause}",
                    display(*ejected_for)
                )
            }
            Self::EndpointReturned { service, endpoint } => write!(f, "{endpoint} of {service} is back"),
            Self::HealthChanged {
                service,
                endpoint,
                healthy,
                cause,
            } => {
                let state = if *healthy { "healthy" } else { "unhealthy" };
                write!(f, "{endpoint} of {service} is {state}: {cause}")
            }
            Self::BreakerChanged {
                service,
                version: None,
                transition,
            } => write!(f, "the circuit breaker of {service}: {transition}"),
            Self::BreakerChanged {
                service,
                version: Some(version),
                transition,
            } => write!(f, "the circuit breaker of {version} of {service}: {transition}"),
            Self::TooFewEndpoints {
                service,
                found,
                expected,
            } => {
                write!(f, "{service} has {found} endpoints, expected {expected}")
            }
            Self::PanicEntered {
                service,
                healthy,
                total,
            } => write!(
                f,
                "only {healthy} of {total} endpoints of {service} are healthy: requests go to all of them"
            ),
            Self::PanicLeft {
                service,
                healthy,
                total,
            } => write!(
                f,
                "{healthy} of {total} endpoints of {service} are healthy: requests go to these again"
            ),
            Self::DiscoverySynced { service, endpoints } => {
                write!(f, "discovery found {endpoints} endpoints of {service}")
            }
            Self::DiscoveryStale {
                service,
                age: Some(age),
                cause,
            } => {
                let age = Duration::from_secs(age.as_secs());
                write!(f, "the endpoints of {service} are {} old: {cause}", display(age))
            }
            Self::DiscoveryStale {
                service,
                age: None,
                cause,
            } => {
                write!(f, "the endpoints of {service} are not known: {cause}")
            }
            Self::RateLimitCrowded { limit, room } => write!(
                f,
                "the rate limit of {limit} has room for {room} keys and meets more: those share one allowance"
            ),
            Self::RateLimitAlone { limit, cause } => {
                write!(
                    f,
                    "the rate limit of {limit} is counted by each replica alone: {cause}"
                )
            }
            Self::RateLimitShared { limit } => {
                write!(f, "the rate limit of {limit} is counted by all replicas together")
            }
            Self::CertificateRotated { identity, serial, .. } => {
                write!(f, "{identity} has a new certificate, serial {serial}")
            }
            Self::CertificateExpiring {
                identity,
                serial,
                left,
                cause,
            } => {
                write!(f, "certificate {serial} of {identity} ")?;
                match left {
                    Some(left) => {
                        let left = Duration::from_secs(left.as_secs());
                        write!(f, "expires in {} and is not renewed: {cause}", display(left))
                    }
                    None => write!(f, "has expired and is not renewed: {cause}"),
                }
            }
            Self::CertificateRevoked { serial } => write!(f, "certificate {serial} is revoked"),
            Self::PeerUntrusted {
                peer,
                serial,
                connections,
                cause,
            } => write!(
                f,
                "{connections} connections of {peer} with the certificate {serial} end: {cause}"
            ),
            Self::ConfigReloaded => f.write_str("the changed configuration is in force"),
            Self::ConfigRejected { report } => {
                write!(
                    f,
                    "the changed configuration is refused, the one before stays: {report}"
                )
            }
            Self::CanaryStep {
                service,
                version,
                stage,
                weight,
                cause,
            } => {
                write!(
                    f,
                    "rollout of {service} {version}: stage {stage}, {weight}% of the requests: {cause}"
                )
            }
            Self::CanaryPaused {
                service,
                version,
                cause,
            } => {
                write!(f, "rollout of {service} {version} is paused: {cause}")
            }
            Self::CanaryPromoted {
                service,
                version,
                cause,
            } => write!(f, "{service} {version} is promoted: {cause}"),
            Self::CanaryRolledBack {
                service,
                version,
                cause,
            } => {
                write!(f, "{service} {version} is rolled back: {cause}")
            }
            Self::CanaryResumed {
                service,
                version,
                cause,
            } => {
                write!(f, "rollout of {service} {version} goes on: {cause}")
            }
            Self::CanaryApproved {
                service,
                version,
                cause,
            } => {
                write!(f, "the next stage of {service} {version} is approved: {cause}")
            }
            Self::CanaryRollingBack {
                service,
                version,
                cause,
            } => {
                write!(f, "{service} {version} is being rolled back: {cause}")
            }
            Self::CanaryReplanned {
                service,
                version,
                cause,
            } => {
                write!(
                    f,
                    "rollout of {service} {version} goes on by another plan: {cause}"
                )
            }
            Self::CanaryStuck {
                service,
                version,
                running_for,
            } => {
                let whole = Duration::from_secs(running_for.as_secs());
                write!(
                    f,
                    "rollout of {service} {version} is stuck: it began {} ago",
                    display(whole)
                )
            }
            Self::CanaryHalted {
                service,
                version,
                cause,
            } => {
                write!(f, "{service} {version} could not be rolled back: {cause}")
            }
            Self::AnomalyBegan {
                service,
                route,
                figure,
                seen,
                usual,
            } => {
                let (what, by) = (figure.replace('_', " "), by(route));
                let told = |value: f64| match *figure {
                    "latency" => format!("{:.0}ms", value * 1000.0),
                    _ => format!("{:.1}%", value * 100.0),
                };
                let (seen, usual) = (told(*seen), told(*usual));
                write!(
                    f,
                    "the {what} of {service}{by} is unusual: {seen}, and {usual} as a rule"
                )
            }
            Self::AnomalyEnded {
                service,
                route,
                figure,
            } => {
                let (what, by) = (figure.replace('_', " "), by(route));
                write!(f, "the {what} of {service}{by} is as usual again")
            }
            Self::DrainStarted { in_flight } => write!(f, "draining, {in_flight} in flight"),
            Self::DrainFinished { cut_off: 0 } => f.write_str("drained, nothing was cut off"),
            Self::DrainFinished { cut_off } => write!(f, "drained, {cut_off} were cut off"),
        }
    }
}

fn by(route: &str) -> String {
    match route {
        "" => String::new(),
        route => format!(" by {route}"),
    }
}

#[cfg(test)]
mod tests;
