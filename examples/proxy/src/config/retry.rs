//! `retry`: which failures are tried again.

use std::time::Duration;

use mesh_core::Backoff;
use mesh_traffic::retry::{BudgetConfig, BudgetConfigError, BudgetPolicy, RetryPolicy};

pub use mesh_traffic::retry::RetryOn;

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
    /// How long to wait before the first retry, at most; before each further one twice as long, up to ten times this.
    /// Default `None`: [`RetryPolicy::backoff`]. Only the Gateway API has a key for it.
    pub backoff: Option<Duration>,
    /// Whether every request may be sent twice, whatever its method. Default `false`.
    pub idempotent: bool,
    /// How many retries there may be in all.
    pub budget: RetryBudget,
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

const ON: &str =
    "connect-failure, refused-stream, reset, a status from 400 to 599 or a status of gRPC as unavailable";

/// Nothing is tried again.
impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 0,
            on: RetryOn::DEFAULT.to_vec(),
            per_try_timeout: None,
            backoff: None,
            idempotent: false,
            budget: RetryBudget {
                percent: defaults::RETRY_BUDGET_PERCENT,
                min_per_second: defaults::RETRY_BUDGET_MIN_PER_SECOND,
                ttl: defaults::RETRY_BUDGET_TTL,
            },
        }
    }
}

impl Retry {
    /// The policy this is.
    pub fn policy(&self) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        policy.attempts = self.attempts;
        policy.on.clone_from(&self.on);
        policy.per_try_timeout = self.per_try_timeout;
        if let Some(base) = self.backoff {
            policy.backoff = Backoff::new(base, base.saturating_mul(10));
        }
        policy.idempotent = self.idempotent;
        policy
    }
}

impl RetryBudget {
    /// The policy this is.
    ///
    /// # Errors
    /// A number is out of range: the configuration was not checked as it should have been.
    pub fn policy(&self) -> Result<BudgetPolicy, BudgetConfigError> {
        let mut config = BudgetConfig::default();
        config.percent = self.percent.get();
        config.min_per_second = self.min_per_second;
        config.ttl = self.ttl;
        config.try_into()
    }
}

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<Retry>> {
    let enabled = fields.or("enabled", boolean(), true);
    let attempts = fields.or("attempts", integer(1..=10), defaults::RETRY_ATTEMPTS);
    let on = list(parsed(ON, failure).verbatim()).not_empty();
    let on = fields.or("on", on, RetryOn::DEFAULT.to_vec());
    let idempotent = fields.or("idempotent", boolean(), false);
    let per_try_timeout = fields.optional("perTryTimeout", duration());
    let budget = fields.part("budget", object(read_budget));
    let retry = Retry {
        attempts,
        on,
        per_try_timeout,
        backoff: None,
        idempotent,
        budget: budget?,
    };
    Some(enabled.then_some(retry))
}

fn read_budget(fields: &mut Fields<'_>) -> Option<RetryBudget> {
    let floor = integer(0..=1_000_000);
    let ttl = duration()
        .at_least(Duration::from_secs(1))
        .at_most(Duration::from_secs(3600));
    Some(RetryBudget {
        percent: fields.or("percent", percent(), defaults::RETRY_BUDGET_PERCENT),
        min_per_second: fields.or("minPerSecond", floor, defaults::RETRY_BUDGET_MIN_PER_SECOND),
        ttl: fields.or("ttl", ttl, defaults::RETRY_BUDGET_TTL),
    })
}

fn failure(text: &str) -> Result<RetryOn, Wrong> {
    text.parse()
        .map_err(|_| Wrong::expected(ON).meant(nearest(text, RetryOn::names())))
}
