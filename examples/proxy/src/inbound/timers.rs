//! The timers of a connection's deadlines, used again.
//!
//! A deadline is hardly ever met: a timer would be set and taken back with each request. So one that a request leaves
//! behind is kept, set as it is. The next request's deadline is later in nearly every case, and then the timer is only
//! moved when it fires, which is once in a timeout and not once in a request.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// How many are kept: over HTTP/2 as many requests have a deadline at once as there are streams.
const KEPT: usize = 16;

/// The timers of one connection that no request waits for.
#[derive(Default)]
pub(super) struct Timers(Mutex<Vec<Pin<Box<Sleep>>>>);

impl Timers {
    fn kept(&self) -> MutexGuard<'_, Vec<Pin<Box<Sleep>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A timer for this deadline.
    pub(super) fn until(&self, deadline: Instant) -> Timer<'_> {
        let kept = self.kept().pop();
        let mut sleep = kept.unwrap_or_else(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
        }
        Timer {
            sleep: Some(sleep),
            deadline,
            of: self,
        }
    }
}

/// A timer that goes back when it is dropped.
pub(super) struct Timer<'t> {
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: Instant,
    of: &'t Timers,
}

impl Timer<'_> {
    /// Whether the deadline is over.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else {
            return Poll::Pending;
        };
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            // It was set for an earlier request.
            sleep.as_mut().reset(self.deadline);
        }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if let Some(sleep) = self.sleep.take() {
            let mut kept = self.of.kept();
            if kept.len() < KEPT {
                kept.push(sleep);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_over_when_it_is_whatever_the_timer_was_set_for_before() {
        let timers = Timers::default();
        // Later than the one before, earlier, after it fired for nobody, and at once.
        for (rest, wait) in [(0, 10), (1, 15), (0, 2), (60, 5), (0, 0), (3, 10)] {
            tokio::time::sleep(rest * SECOND).await;
            let began = Instant::now();
            let mut timer = timers.until(began + wait * SECOND);
            poll_fn(|cx| timer.poll_over(cx)).await;
            let waited = began.elapsed();
            assert!(
                waited >= wait * SECOND && waited <= wait * SECOND + SECOND / 100,
                "{waited:?} instead of {wait} s"
            );
        }
        assert_eq!(timers.kept().len(), 1, "it is the same one");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_are_answered_in_time_set_no_timer() {
        let timers = Timers::default();
        let first = Instant::now() + 15 * SECOND;
        for _ in 0..10 {
            let mut timer = timers.until(Instant::now() + 15 * SECOND);
            let polled = poll_fn(|cx| Poll::Ready(timer.poll_over(cx))).await;
            assert!(polled.is_pending());
            drop(timer);
            assert_eq!(timers.kept()[0].deadline(), first);
            tokio::time::sleep(SECOND).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_kept_than_there_is_use_for() {
        let timers = Timers::default();
        let many: Vec<_> = (0..100).map(|_| timers.until(Instant::now() + SECOND)).collect();
        drop(many);
        assert_eq!(timers.kept().len(), KEPT);
    }
}
