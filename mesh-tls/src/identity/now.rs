//! What both clocks say.

use std::time::SystemTime;

use mesh_core::clock::WallClock;
use tokio::time::Instant;

/// A moment, by the clock that certificates are dated by and by the one that never jumps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall: SystemTime,
    pub(super) steady: Instant,
}

impl Now {
    pub(super) fn of(clock: &dyn WallClock) -> Self {
        Self {
            wall: clock.now(),
            steady: Instant::now(),
        }
    }
}
