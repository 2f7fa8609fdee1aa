//! `retry`: which failures are tried again.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::context::Wrong;
use super::defaults;
use super::near::nearest;
use super::shape::{Fields, boolean, duration, integer, list, object, parsed, percent};
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

const FAILURES: [(&str, RetryOn); 3] = [
    ("connect-failure", RetryOn::ConnectFailure),
    ("refused-stream", RetryOn::RefusedStream),
    ("reset", RetryOn::Reset),
];

const ON: &str = "connect-failure, refused-stream, reset or a status from 400 to 599";

/// As configuration writes it.
impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => f.write_str(status.as_str()),
            failure => f.write_str(
                FAILURES
                    .iter()
                    .find(|(_, known)| known == failure)
                    .map_or("", |(name, _)| name),
            ),
        }
    }
}

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<Retry>> {
    let enabled = fields.or("enabled", boolean(), true);
    let attempts = fields.or("attempts", integer(1..=10), defaults::RETRY_ATTEMPTS);
    let on = list(parsed(ON, failure).verbatim()).not_empty();
    let on = fields.or("on", on, default_failures());
    let per_try_timeout = fields.optional("perTryTimeout", duration());
    let budget = fields.part("budget", object(read_budget));
    let retry = Retry {
        attempts,
        on,
        per_try_timeout,
        budget: budget?,
    };
    Some(enabled.then_some(retry))
}

fn default_failures() -> Vec<RetryOn> {
    vec![
        RetryOn::ConnectFailure,
        RetryOn::RefusedStream,
        RetryOn::Status(StatusCode::BAD_GATEWAY),
        RetryOn::Status(StatusCode::SERVICE_UNAVAILABLE),
        RetryOn::Status(StatusCode::GATEWAY_TIMEOUT),
        RetryOn::Reset,
    ]
}

fn read_budget(fields: &mut Fields<'_>) -> Option<RetryBudget> {
    let floor = integer(0..=1_000_000);
    Some(RetryBudget {
        percent: fields.or("percent", percent(), defaults::RETRY_BUDGET_PERCENT),
        min_per_second: fields.or("minPerSecond", floor, defaults::RETRY_BUDGET_MIN_PER_SECOND),
        ttl: fields.or("ttl", duration(), defaults::RETRY_BUDGET_TTL),
    })
}

fn failure(text: &str) -> Result<RetryOn, Wrong> {
    if let Some((_, failure)) = FAILURES.iter().find(|(name, _)| *name == text) {
        return Ok(*failure);
    }
    let status = text
        .parse::<u16>()
        .ok()
        .filter(|status| (400..600).contains(status));
    match status.and_then(|status| StatusCode::from_u16(status).ok()) {
        Some(status) => Ok(RetryOn::Status(status)),
        None => Err(Wrong::expected(ON).meant(nearest(text, FAILURES.map(|(name, _)| name)))),
    }
}
