//! `rateLimiting`.

use std::num::NonZeroU32;

use mesh_core::KeyBy;

use super::context::Wrong;
use super::grammar::{self, KEY_EXTRACTOR};
use super::shape::{Fields, boolean, integer, parsed};

/// How many requests pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimiting {
    /// So many a second, for each key.
    pub requests_per_second: NonZeroU32,
    /// So many at once. Default: one second's.
    pub burst_size: NonZeroU32,
    /// What requests are counted by. Default: the source service.
    pub key: KeyBy,
    /// Whether it only counts what it would refuse. Default false.
    pub dry_run: bool,
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
    if !enabled {
        return Some(None);
    }
    let requests_per_second = NonZeroU32::new(rate?)?;
    Some(Some(RateLimiting {
        requests_per_second,
        burst_size: burst.and_then(NonZeroU32::new).unwrap_or(requests_per_second),
        key,
        dry_run,
    }))
}
