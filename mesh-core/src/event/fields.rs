//! What an event holds, one by one: for whoever writes it down in a language of its own.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use super::MeshEvent;

/// One thing that an event holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<'e> {
    /// A name, an address, a sentence.
    Text(Cow<'e, str>),
    /// A number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

fn text(text: &impl AsRef<str>) -> Field<'_> {
    Field::Text(Cow::Borrowed(text.as_ref()))
}

fn shown(value: &impl ToString) -> Field<'static> {
    Field::Text(Cow::Owned(value.to_string()))
}

fn count(count: usize) -> Field<'static> {
    Field::Number(count as f64)
}

fn seconds(duration: Duration) -> Field<'static> {
    Field::Number(duration.as_secs_f64())
}

fn since_1970(at: SystemTime) -> Field<'static> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Field::Number(since.as_secs_f64().floor())
}

impl MeshEvent {
    /// What it holds, by name. Durations are in seconds and end in `_seconds`; moments are in seconds since 1970 and end
    /// in `_timestamp`. What is not known is left out.
    ///
    /// ```
    /// use mesh_core::event::{Field, MeshEvent};
    ///
    /// let event = MeshEvent::TooFewEndpoints { service: "orders".parse()?, found: 2, expected: 3 };
    /// let [service, found, expected]: [_; 3] = event.fields().try_into().expect("three");
    /// assert_eq!(service, ("service", Field::Text("orders".into())));
    /// assert_eq!((found, expected), (("found", Field::Number(2.0)), ("expected", Field::Number(3.0))));
    /// # Ok::<(), mesh_core::BoxError>(())
    /// ```
    pub fn fields(&self) -> Vec<(&'static str, Field<'_>)> {
        let mut fields: Vec<(&'static str, Field<'_>)> = Vec::new();
        if let Some(service) = self.service() {
            fields.push(("service", text(service)));
        }
        fields.extend(self.own_fields());
        fields
    }

    fn own_fields(&self) -> Vec<(&'static str, Field<'_>)> {
        match self {
            Self::EndpointEjected {
                service: _,
                endpoint,
                cause,
                ejected_for,
            } => vec![
                ("endpoint", shown(endpoint)),
                ("cause", text(cause)),
                ("ejected_for_seconds", seconds(*ejected_for)),
            ],
            Self::EndpointReturned { service: _, endpoint } => vec![("endpoint", shown(endpoint))],
            Self::HealthChanged {
                service: _,
                endpoint,
                healthy,
                cause,
            } => vec![
                ("endpoint", shown(endpoint)),
                ("healthy", Field::Flag(*healthy)),
                ("cause", text(cause)),
            ],
            Self::BreakerChanged {
                service: _,
                version,
                transition,
            } => {
                let version = version.as_ref().map(|version| ("version", text(version)));
                let transition = [
                    ("from", shown(&transition.from)),
                    ("to", shown(&transition.to)),
                    ("cause", shown(&transition.cause)),
                ];
                version.into_iter().chain(transition).collect()
            }
            Self::TooFewEndpoints {
                service: _,
                found,
                expected,
            } => vec![("found", count(*found)), ("expected", count(*expected))],
            Self::PanicEntered {
                service: _,
                healthy,
                total,
            }
            | Self::PanicLeft {
                service: _,
                healthy,
                total,
            } => vec![("healthy", count(*healthy)), ("total", count(*total))],
            Self::DiscoverySynced {
                service: _,
                endpoints,
            } => vec![("endpoints", count(*endpoints))],
            Self::DiscoveryStale {
                service: _,
                age,
                cause,
            } => {
                let age = age.map(|age| ("age_seconds", seconds(age)));
                age.into_iter().chain([("cause", text(cause))]).collect()
            }
            Self::RateLimitCrowded { limit, room } => vec![("limit", text(limit)), ("room", count(*room))],
            Self::RateLimitAlone { limit, cause } => vec![("limit", text(limit)), ("cause", text(cause))],
            Self::RateLimitShared { limit } => vec![("limit", text(limit))],
            Self::CertificateRotated {
                identity,
                serial,
                not_after,
            } => vec![
                ("identity", shown(identity)),
                ("serial", text(serial)),
                ("not_after_timestamp", since_1970(*not_after)),
            ],
            Self::CertificateExpiring {
                identity,
                serial,
                left,
                cause,
            } => vec![
                ("identity", shown(identity)),
                ("serial", text(serial)),
                ("left_seconds", seconds(left.unwrap_or_default())),
                ("cause", text(cause)),
            ],
            Self::CertificateRevoked { serial } => vec![("serial", text(serial))],
            Self::PeerUntrusted {
                peer,
                serial,
                connections,
                cause,
            } => vec![
                ("peer", text(peer)),
                ("serial", text(serial)),
                ("connections", count(*connections)),
                ("cause", text(cause)),
            ],
            Self::ConfigReloaded => Vec::new(),
            Self::ConfigRejected { report } => vec![("report", text(report))],
            Self::CanaryStep {
                service: _,
                version,
                stage,
                weight,
                cause,
            } => vec![
                ("version", text(version)),
                ("stage", count(*stage)),
                ("weight", count(usize::from(*weight))),
                ("cause", text(cause)),
            ],
            Self::CanaryPromoted {
                service: _,
                version,
                cause,
            }
            | Self::CanaryPaused {
                service: _,
                version,
                cause,
            }
            | Self::CanaryRolledBack {
                service: _,
                version,
                cause,
            }
            | Self::CanaryResumed {
                service: _,
                version,
                cause,
            }
            | Self::CanaryApproved {
                service: _,
                version,
                cause,
            }
            | Self::CanaryRollingBack {
                service: _,
                version,
                cause,
            }
            | Self::CanaryReplanned {
                service: _,
                version,
                cause,
            }
            | Self::CanaryHalted {
                service: _,
                version,
                cause,
            } => vec![("version", text(version)), ("cause", text(cause))],
            Self::CanaryStuck {
                service: _,
                version,
                running_for,
            } => vec![
                ("version", text(version)),
                ("running_for_seconds", seconds(*running_for)),
            ],
            Self::AnomalyBegan {
                service: _,
                route,
                figure,
                seen,
                usual,
            } => vec![
                ("route", text(route)),
                ("figure", text(figure)),
                ("seen", Field::Number(*seen)),
                ("usual", Field::Number(*usual)),
            ],
            Self::AnomalyEnded {
                service: _,
                route,
                figure,
            } => vec![("route", text(route)), ("figure", text(figure))],
            Self::DrainStarted { in_flight } => vec![("in_flight", count(*in_flight))],
            Self::DrainFinished { cut_off } => vec![("cut_off", count(*cut_off))],
        }
    }
}
