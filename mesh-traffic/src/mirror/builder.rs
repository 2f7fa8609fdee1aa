//! Makes a mirror.

use std::fmt;
use std::time::Duration;

use mesh_core::duration::MAX;

use super::counts::Ending;
use super::handle::Mirror;
use crate::fault::Chance;

pub(super) type Observer = Box<dyn Fn(Ending) + Send + Sync>;

/// What a [`Mirror`] is made of.
#[must_use = "nothing is made before `build`"]
pub struct MirrorBuilder {
    pub(super) share: Chance,
    pub(super) buffer: usize,
    pub(super) most: usize,
    pub(super) timeout: Duration,
    pub(super) drain: usize,
    pub(super) observe: Option<Observer>,
}

impl MirrorBuilder {
    pub(super) fn new(share: Chance) -> Self {
        Self {
            share,
            buffer: 1 << 20,
            most: 64,
            timeout: Duration::from_secs(15),
            drain: 64 << 10,
            observe: None,
        }
    }

    /// How much of a request's body is kept for a copy that does not keep up, in bytes; small pieces count as 256.
    /// Default 1 MiB. It is no limit of the body: a copy that keeps up may be of any length.
    pub fn buffer(self, bytes: usize) -> Self {
        Self {
            buffer: bytes,
            ..self
        }
    }

    /// How many copies may be under way at once. Default 64. With the buffer it bounds the memory that all of them take.
    pub fn max_in_flight(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// How long a copy may take, from when the request came. Default 15 s.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self {
            timeout: timeout.min(MAX),
            ..self
        }
    }

    /// How much of an answer is read, so that its connection can be used again, in bytes. Default 64 KiB. Of a longer one
    /// the rest is not read.
    pub fn max_drained(self, bytes: usize) -> Self {
        Self { drain: bytes, ..self }
    }

    /// Told how each copy ended: for metrics.
    pub fn observe(self, told: impl Fn(Ending) + Send + Sync + 'static) -> Self {
        Self {
            observe: Some(Box::new(told)),
            ..self
        }
    }

    /// The mirror.
    pub fn build(self) -> Mirror {
        Mirror::built(self)
    }
}

impl fmt::Debug for MirrorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorBuilder")
            .field("share", &self.share)
            .field("buffer", &self.buffer)
            .field("most", &self.most)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
