//! `rateLimiting`.

use std::time::Duration;

use mesh_core::KeyBy;
use mesh_traffic::limit::RedisStore;
use mesh_traffic::{Quota, RateLimiter};

use super::authority::Secret;
use super::context::Wrong;
use super::defaults;
use super::grammar::{self, KEY_EXTRACTOR};
use super::shape::{Fields, boolean, duration, integer, parsed};

/// A hundred megabytes or so.
const MOST_KEYS: u32 = 2_000_000;

/// How many requests pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimiting {
    /// How many pass, for each key: by default a second's at once.
    pub quota: Quota,
    /// What requests are counted by. Default: the source service.
    pub key: KeyBy,
    /// Whether it only counts what it would refuse. Default false.
    pub dry_run: bool,
    /// How many processes share it; `None`: as many as there are of this one's own service.
    pub replicas: Option<u32>,
    /// How many keys are remembered. Default 10 000.
    pub max_keys: u32,
    /// Whether all replicas count together, in the [`LimitStore`]. Default false: each gives its part.
    pub shared: bool,
}

/// Where limits are counted that replicas share.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitStore {
    /// The URL of a Redis server; it may hold a password.
    pub redis: Secret,
    /// How long an answer may take. Default 20 ms.
    pub timeout: Duration,
}

/// An empty block says nothing, and limits nothing.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<RateLimiting>> {
    let enabled = fields.or("enabled", boolean(), !fields.is_empty());
    let count = || integer(1..=u32::MAX);
    let rate = fields.optional("requestsPerSecond", count());
    if enabled && !fields.has("requestsPerSecond") {
        fields.missing(
            "requestsPerSecond",
            Wrong::expected("how many requests pass in a second, or enabled: false"),
        );
    }
    let burst = fields.optional("burstSize", count());
    let by = parsed(KEY_EXTRACTOR, grammar::key_extractor);
    let key = fields.or("keyExtractor", by, KeyBy::SourceService);
    let dry_run = fields.or("dryRun", boolean(), false);
    let replicas = fields.optional("replicas", integer(1..=RateLimiter::MAX_REPLICAS));
    let max_keys = fields.or("maxKeys", integer(1..=MOST_KEYS), defaults::RATE_LIMIT_MAX_KEYS);
    let shared = fields.or("shared", boolean(), false);
    let quota = rate.and_then(|rate| quota(fields, rate, burst));
    if !enabled {
        return Some(None);
    }
    Some(Some(RateLimiting {
        quota: quota?,
        key,
        dry_run,
        replicas,
        max_keys,
        shared,
    }))
}

pub(super) fn read_store(fields: &mut Fields<'_>) -> Option<LimitStore> {
    let redis = fields.required("redis", parsed(REDIS, redis_url));
    let longest = Duration::from_secs(1);
    let timeout = duration().at_most(longest);
    let timeout = fields.or("timeout", timeout, defaults::LIMIT_STORE_TIMEOUT);
    Some(LimitStore {
        redis: redis?,
        timeout,
    })
}

const REDIS: &str = "the URL of a Redis server, as \"redis://127.0.0.1:6379/0\"";

fn redis_url(text: &str) -> Result<Secret, Wrong> {
    match RedisStore::new(text) {
        Ok(_) => Ok(Secret::new(text)),
        Err(error) => Err(Wrong::expected(REDIS).because(error.to_string())),
    }
}

/// Each number is fine by itself; together they may let nothing come back in a lifetime.
fn quota(fields: &mut Fields<'_>, rate: u32, burst: Option<u32>) -> Option<Quota> {
    let quota = Quota::per_second(rate).and_then(|quota| match burst {
        Some(burst) => quota.burst(burst),
        None => Ok(quota),
    });
    match quota {
        Ok(quota) => Some(quota),
        Err(error) => {
            let message = error.to_string();
            let (found, expected) = message
                .rsplit_once(": expected ")
                .unwrap_or((&message, "a smaller burst or a higher rate"));
            fields.refuse("burstSize", found, Wrong::expected(expected));
            None
        }
    }
}
