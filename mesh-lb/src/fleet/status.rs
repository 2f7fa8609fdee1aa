//! What a fleet knows of its endpoints, to be shown.

use std::sync::Arc;

use mesh_core::Endpoint;
use mesh_core::endpoint::Readiness;
use tokio::time::Instant;

use super::Fleet;

/// What is known of one endpoint at a moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Whether it takes requests.
    pub state: EndpointState,
    /// Why it takes none, and since when: `ejected for 12s: 5 consecutive failures`.
    pub trouble: Option<String>,
    /// The requests it is answering now.
    pub in_flight: u32,
}

/// Whether an endpoint takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointState {
    /// It does.
    Healthy,
    /// Its health checks fail.
    Unhealthy,
    /// Requests to it failed.
    Ejected,
    /// It is on its way out, as discovery says.
    Terminating,
    /// It takes none, as discovery says.
    NotReady,
}

impl EndpointState {
    /// `healthy`, `unhealthy`, `ejected`, `terminating` or `not_ready`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::Terminating => "terminating",
            Self::NotReady => "not_ready",
        }
    }
}

impl std::fmt::Display for EndpointState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fleet {
    /// What is known of every endpoint, in the order of discovery.
    pub fn status(&self, now: Instant) -> Vec<EndpointStatus> {
        let state = self.0.state.lock();
        let known = state
            .set
            .endpoints
            .iter()
            .filter_map(|endpoint| Some((endpoint, state.members.get(endpoint.id())?)));
        let status = known.map(|(endpoint, member)| EndpointStatus {
            endpoint: Arc::clone(endpoint),
            state: match endpoint.readiness {
                Readiness::NotReady => EndpointState::NotReady,
                _ if member.is_unhealthy() => EndpointState::Unhealthy,
                _ if member.is_ejected() => EndpointState::Ejected,
                Readiness::Terminating => EndpointState::Terminating,
                Readiness::Ready => EndpointState::Healthy,
            },
            trouble: member.trouble(now),
            in_flight: member.load().in_flight(),
        });
        status.collect()
    }
}
