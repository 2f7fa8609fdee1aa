//! A wall clock that goes with tokio's time, and can be set.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_core::clock::WallClock;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Goes with tokio's time, so that a paused test moves both.
#[derive(Clone, Debug)]
pub(crate) struct TokioClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    base: Mutex<SystemTime>,
}

impl TokioClock {
    pub(crate) fn new() -> Self {
        // Certificates are dated in whole seconds.
        let base = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 86_400);
        Self(Arc::new(Inner {
            began: Instant::now(),
            base: Mutex::new(base),
        }))
    }

    /// Sets it forth, as a host that has slept.
    pub(crate) fn jump(&self, by: Duration) {
        *self.0.base.lock() += by;
    }
}

impl WallClock for TokioClock {
    fn now(&self) -> SystemTime {
        *self.0.base.lock() + self.0.began.elapsed()
    }
}
