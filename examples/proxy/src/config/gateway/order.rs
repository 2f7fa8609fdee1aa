//! Which of two routes comes first, as the Gateway API prescribes.

use std::cmp::Reverse;

use super::route::{Host, Route};
use super::route_match::Match;

/// What decides among matches, the most telling first; the lowest is tried first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Precedence {
    /// An exact host before a longer domain before a shorter one before any host.
    host: Reverse<(u8, usize)>,
    /// An exact path before an expression before a longer prefix before a shorter one.
    path: Reverse<(u8, usize)>,
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    /// The older route; one without a date is the youngest.
    created: (bool, Option<std::time::SystemTime>),
    /// By the alphabet.
    name: String,
    /// The rule in its route, and the match in its rule.
    place: (usize, usize),
}

impl Precedence {
    pub(super) fn of(route: &Route, host: &Host, matched: &Match, place: (usize, usize)) -> Self {
        Self {
            host: Reverse(match host {
                Host::Exact(name) => (2, name.as_str().len()),
                Host::Of(_) => (2, 0),
                Host::Below(domain) => (1, domain.len()),
                Host::Any => (0, 0),
            }),
            path: Reverse((matched.path_rank, matched.path_len)),
            method: Reverse(matched.method),
            headers: Reverse(matched.headers),
            query: Reverse(matched.query),
            created: (route.created.is_none(), route.created),
            name: format!("{}/{}", route.namespace, route.name),
            place,
        }
    }
}
