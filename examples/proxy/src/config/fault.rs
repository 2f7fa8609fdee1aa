//! `faultInjection`: trouble on purpose.

use std::time::{Duration, SystemTime};

use http::StatusCode;

use super::context::Wrong;
use super::rfc3339;
use super::schema::Unit;
use super::shape::{Fields, boolean, duration, integer, object, parsed, percent};
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

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<FaultInjection>> {
    let enabled = fields.or("enabled", boolean(), true);
    let delay = fields.optional("delay", object(read_delay));
    let abort = fields.optional("abort", object(read_abort));
    let until = fields.optional("until", parsed(rfc3339::EXPECTED, rfc3339::parse));
    if enabled && !fields.has("delay") && !fields.has("abort") {
        fields.refuse_whole("neither delay nor abort", Wrong::expected("delay, abort or both"));
    }
    Some(enabled.then_some(FaultInjection { delay, abort, until }))
}

fn read_delay(fields: &mut Fields<'_>) -> Option<Delay> {
    let percentage = fields.required("percentage", percent());
    let fixed_delay = fields.required("fixedDelay", duration().bare(Unit::Milliseconds));
    Some(Delay {
        percentage: percentage?,
        fixed_delay: fixed_delay?,
    })
}

fn read_abort(fields: &mut Fields<'_>) -> Option<Abort> {
    let percentage = fields.required("percentage", percent());
    let status = fields.required("httpStatus", integer(200..=599_u16));
    let grpc_status = fields.optional("grpcStatus", integer(0..=16_u8));
    Some(Abort {
        percentage: percentage?,
        http_status: StatusCode::from_u16(status?).ok()?,
        grpc_status,
    })
}
