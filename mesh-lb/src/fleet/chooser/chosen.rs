//! What was chosen for a request, or why nothing was.

use std::fmt;
use std::sync::Arc;

use mesh_core::Endpoint;
use mesh_core::breaker::Permit;
use tokio::time::Instant;

use crate::fleet::member::Member;
use crate::load::InFlight;

/// What was chosen for an attempt of a request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Chosen<'a, L> {
    /// The endpoint.
    pub endpoint: &'a Arc<Endpoint>,
    /// What leads to it.
    pub link: &'a L,
    /// Counts the request at the endpoint: to be held until its response has ended.
    pub in_flight: InFlight,
    /// What the fleet is to be told with how the attempt ended.
    pub attempt: Unjudged,
}

/// An attempt at an endpoint whose end the fleet was not told: [`judge`](crate::Fleet::judge) of the fleet does, or [`give_up`](crate::Fleet::give_up). Dropped
/// untold, it says nothing about the endpoint.
#[derive(Debug)]
pub struct Unjudged {
    pub(in crate::fleet) member: Arc<Member>,
    /// Leave of the endpoint's breaker; none in a panic, or if endpoints have no breaker.
    pub(in crate::fleet) permit: Option<Permit>,
    pub(in crate::fleet) begun: Instant,
    pub(in crate::fleet) last_resort: bool,
}

impl Unjudged {
    /// When it began.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// Whether it is the one request that tries an endpoint whose ejection is over.
    pub fn is_trial(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_trial)
    }

    /// Whether its endpoint was ejected and asked all the same, since no other would do for this request.
    pub fn is_last_resort(&self) -> bool {
        self.last_resort
    }
}

/// Why no endpoint was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotChosen {
    /// None takes requests.
    Nobody,
    /// Those that do carry as many as they may.
    Full,
}

impl fmt::Display for NotChosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "no endpoint takes requests",
            Self::Full => "every endpoint that takes requests carries as many as it may",
        })
    }
}

impl std::error::Error for NotChosen {}
