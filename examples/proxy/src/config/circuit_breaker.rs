//! `services[].circuitBreaker`.

use mesh_core::BreakerPolicy;

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
