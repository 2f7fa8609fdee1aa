//! `rateLimiting`.

use std::num::NonZeroU32;

use mesh_traffic::KeyBy;

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
