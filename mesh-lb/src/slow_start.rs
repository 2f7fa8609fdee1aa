//! shim
use std::time::Duration;
use tokio::time::Instant;
pub(crate) struct SlowStart(Duration);
impl SlowStart {
    pub(crate) fn new(w: Duration) -> Self {
        Self(w)
    }
    pub(crate) fn factor(&self, s: Instant, now: Instant) -> f64 {
        (now.saturating_duration_since(s).as_secs_f64() / self.0.as_secs_f64()).clamp(0.1, 1.0)
    }
    pub(crate) fn step(&self) -> Duration {
        self.0 / 20
    }
}
