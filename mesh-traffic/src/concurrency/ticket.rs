//! Leave to be under way.

use std::fmt;

use tokio::time::Instant;

use super::limiter::ConcurrencyLimiter;

/// Leave for one request; the next one's turn comes when it is dropped.
#[must_use = "dropped, the request is over"]
pub struct Ticket {
    limiter: ConcurrencyLimiter,
    /// Where the latency matters.
    began: Option<Instant>,
}

impl Ticket {
    pub(super) fn new(limiter: ConcurrencyLimiter) -> Self {
        let began = limiter.is_adaptive().then(Instant::now);
        Self { limiter, began }
    }

    /// The request has been answered, and well: how long it took tells an adaptive limiter how busy the service is. Not to
    /// be called for failures and refusals, which are fast for other reasons.
    pub fn answered(&mut self) {
        if let Some(began) = self.began.take() {
            self.limiter.answered(began);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.limiter.leave();
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("began", &self.began)
            .finish_non_exhaustive()
    }
}
