//! `faultInjection`: trouble on purpose.

use std::time::{Duration, SystemTime};

use http::StatusCode;

use super::share::Percent;

/// Trouble on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct FaultInjection {
    /// Requests that wait.
    pub delay: Option<Delay>,
    /// Requests that fail.
    pub abort: Option<Abort>,
    /// When it ends; `None`: when the configuration changes.
    pub until: Option<SystemTime>,
}

/// Requests that wait.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Delay {
    /// How many.
    pub percentage: Percent,
    /// How long.
    pub fixed_delay: Duration,
}

/// Requests that fail.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Abort {
    /// How many.
    pub percentage: Percent,
    /// With which status, 200 to 599.
    pub http_status: StatusCode,
    /// With which status of gRPC, 0 to 16, if it is a gRPC request; `None`: what fits the HTTP status.
    pub grpc_status: Option<u8>,
}
