//! A timer for what stands still, a body above all. It costs nothing while it moves.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Fires when something stood still for too long: when [`poll_stalled`](Self::poll_stalled) was asked, and asked
/// again after the limit, with no [`moved`](Self::moved) in between.
///
/// ```
/// use std::future::poll_fn;
/// use std::time::Duration;
/// use mesh_core::stall::Stall;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let began = tokio::time::Instant::now();
/// let mut stall = Stall::new(Duration::from_secs(60));
/// poll_fn(|cx| stall.poll_stalled(cx)).await;
/// assert_eq!(began.elapsed().as_secs(), 60);
/// # }
/// ```
#[derive(Debug)]
pub struct Stall {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Stall {
    /// Standing still for this long is too long.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            running: false,
        }
    }

    /// How long is too long.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// It moved.
    pub fn moved(&mut self) {
        self.running = false;
    }

    /// It stands still. Ready once it did for too long.
    pub fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = || Instant::now() + self.limit;
        let timer = match &mut self.timer {
            Some(timer) => {
                if !self.running {
                    timer.as_mut().reset(deadline());
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline()))),
        };
        self.running = true;
        timer.as_mut().poll(cx)
    }
}
