//! Warnings that could come by the thousand.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Says something once in a while, however often it is true.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    const PAUSE: Duration = Duration::from_secs(10);

    pub(crate) fn now(&self) -> bool {
        let (mut last, now) = (self.0.lock(), Instant::now());
        let is_due = last.is_none_or(|last| now.duration_since(last) >= Self::PAUSE);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_said_is_said_again_only_after_a_pause() {
        let seldom = Seldom::default();
        assert!(seldom.now() && !seldom.now());
        tokio::time::advance(Seldom::PAUSE - Duration::from_millis(1)).await;
        assert!(!seldom.now());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(seldom.now() && !seldom.now());
    }
}
