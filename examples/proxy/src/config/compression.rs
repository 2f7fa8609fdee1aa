//! `services[].compression`.

use super::defaults;
use super::shape::{Fields, boolean, size};

/// Which responses are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compression {
    /// Smaller ones are left alone, in bytes. Default 1024.
    pub min_size: u64,
}

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<Compression>> {
    let enabled = fields.or("enabled", boolean(), true);
    let min_size = fields.or("minSize", size(0, u64::MAX), defaults::COMPRESSION_MIN_SIZE);
    Some(enabled.then_some(Compression { min_size }))
}
