//! `services[].loadBalancing`: which endpoint takes a request.

use std::time::Duration;

use super::share::Percent;

/// Which endpoint takes a request.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LoadBalancing {
    /// How one is picked. Default: least connections.
    pub algorithm: Algorithm,
    /// How endpoints are asked whether they are well; `None`: not at all.
    pub health_check: Option<HealthCheck>,
    /// How long a new endpoint takes to get its whole share. Default `None`: at once.
    pub slow_start: Option<Duration>,
    /// If fewer than this are well, all are used. Default 50 %.
    pub panic_threshold: Percent,
}

/// How an endpoint is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// In turn, by weight.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastConnections,
    /// By chance.
    Random,
    /// By chance, by weight.
    Weighted,
    /// The better of two by moving average of the response time.
    P2cEwma,
    /// By a hash of the request, on a ring.
    RingHash,
    /// By a hash of the request, in a table.
    Maglev,
}

/// How endpoints are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// What is asked. Default: whether they take a connection.
    pub kind: HealthCheckKind,
    /// How often. Default 30 s.
    pub interval: Duration,
    /// How long an answer may take. Default 1 s.
    pub timeout: Duration,
    /// So many good answers in a row make one well. Default 2.
    pub healthy_threshold: u32,
    /// So many bad ones make it unwell. Default 3.
    pub unhealthy_threshold: u32,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// Whether a connection is taken.
    Tcp,
    /// A `GET` of this path.
    Http {
        /// The path.
        path: Box<str>,
        /// What a good answer has. Default 200 to 299.
        expected_status: StatusRange,
    },
    /// The health service of gRPC.
    Grpc,
}

/// A range of statuses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    pub(super) first: u16,
    pub(super) last: u16,
}

impl StatusRange {
    /// Whether a status is in it.
    pub fn contains(self, status: http::StatusCode) -> bool {
        (self.first..=self.last).contains(&status.as_u16())
    }

    /// The first and the last.
    pub fn ends(self) -> (u16, u16) {
        (self.first, self.last)
    }
}
