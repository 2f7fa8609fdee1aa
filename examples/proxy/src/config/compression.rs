//! `services[].compression`.

/// Which responses are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compression {
    /// Smaller ones are left alone, in bytes. Default 1024.
    pub min_size: u64,
}
