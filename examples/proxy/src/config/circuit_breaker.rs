//! `services[].circuitBreaker`.

use super::context::Wrong;
use super::defaults;
use super::shape::{Fields, boolean, duration, integer, ratio};
use mesh_core::BreakerPolicy;
use mesh_core::breaker::BreakerConfig;

/// When a service is given a rest, and how much it is asked at once.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CircuitBreaker {
    /// When it opens and closes.
    pub policy: BreakerPolicy,
    /// Connections to all its endpoints. Default 1024.
    pub max_connections: u32,
    /// Requests that wait for a connection. Default 1024.
    pub max_pending_requests: u32,
    /// Requests in flight. Default 4096.
    pub max_requests: u32,
}

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<CircuitBreaker>> {
    let count = || integer(1..=u32::MAX);
    let enabled = fields.or("enabled", boolean(), true);
    let consecutive = fields.or(
        "consecutiveFailures",
        count(),
        defaults::BREAKER_CONSECUTIVE_FAILURES,
    );
    let error_rate = fields.or("errorRate", ratio(), defaults::BREAKER_ERROR_RATE);
    let minimum_requests = fields.or("minimumRequests", count(), defaults::BREAKER_MINIMUM_REQUESTS);
    let window = fields.or("window", duration(), defaults::BREAKER_WINDOW);
    let open_for = fields.or("openFor", duration(), defaults::BREAKER_OPEN_FOR);
    let max_open_for = fields.optional("maxOpenFor", duration());
    let half_open_requests = fields.or("halfOpenRequests", count(), defaults::BREAKER_HALF_OPEN_REQUESTS);
    let max_connections = fields.or("maxConnections", count(), defaults::BREAKER_MAX_CONNECTIONS);
    let max_pending = fields.or(
        "maxPendingRequests",
        count(),
        defaults::BREAKER_MAX_PENDING_REQUESTS,
    );
    let max_requests = fields.or("maxRequests", count(), defaults::BREAKER_MAX_REQUESTS);

    let mut config = BreakerConfig::default();
    config.consecutive_failures = Some(consecutive);
    config.error_rate = Some(error_rate.get());
    config.minimum_requests = minimum_requests;
    config.window = window;
    config.open_for = open_for;
    config.max_open_for = max_open_for.unwrap_or(open_for);
    config.half_open_requests = half_open_requests;
    let policy = match BreakerPolicy::try_from(config) {
        Ok(policy) => policy,
        Err(error) => {
            // "<key> is <found>: expected <what>"
            let message = error.to_string();
            let (found, expected) = message
                .split_once(": expected ")
                .unwrap_or((&message, "a breaker"));
            let found = found.split_once(" is ").map_or(found, |(_, found)| found);
            fields.refuse(error.key(), found, Wrong::expected(expected));
            return None;
        }
    };
    Some(enabled.then_some(CircuitBreaker {
        policy,
        max_connections,
        max_pending_requests: max_pending,
        max_requests,
    }))
}
