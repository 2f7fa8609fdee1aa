//! What happened, as a sentence.

use std::fmt;
use std::time::Duration;

use super::MeshEvent;
use crate::duration::display;

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
            Self::DrainStarted { in_flight } => write!(f, "draining, {in_flight} connections are open"),
            Self::DrainFinished { cut_off: 0 } => f.write_str("drained, nothing was cut off"),
            Self::DrainFinished { cut_off } => write!(f, "drained, {cut_off} connections were cut off"),
        }
    }
}

fn by(route: &str) -> String {
    match route {
        "" => String::new(),
        route => format!(" by {route}"),
    }
}
