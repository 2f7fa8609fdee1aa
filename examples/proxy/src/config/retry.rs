//! `retry`: which failures are tried again.

use std::time::Duration;

use http::StatusCode;

use super::share::Percent;

/// Which failures are tried again.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Retry {
    /// So many times after the first. Default 2.
    pub attempts: u32,
    /// After these failures. Default: `connect-failure`, `refused-stream`, 502, 503, 504, `reset`.
    pub on: Vec<RetryOn>,
    /// How long one try may take. Default `None`: as long as all may.
    pub per_try_timeout: Option<Duration>,
    /// How many retries there may be in all.
    pub budget: RetryBudget,
}

/// A failure that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryOn {
    /// There was no connection.
    ConnectFailure,
    /// The endpoint refused the stream before it looked at it.
    RefusedStream,
    /// The connection broke.
    Reset,
    /// This status, 400 to 599.
    Status(StatusCode),
}

/// How many retries there may be in all.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryBudget {
    /// This share of the requests. Default 20 %.
    pub percent: Percent,
    /// So many a second in any case. Default 10.
    pub min_per_second: u32,
    /// How far back requests are counted. Default 10 s.
    pub ttl: Duration,
}
