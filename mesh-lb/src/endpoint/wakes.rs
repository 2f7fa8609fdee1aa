//! What wakes a connection that is polled by the task of the request it carries.
//!
//! A connection and who waits for its answer wake each other by turns, and both are polled in one go: woken
//! through the task's own waker, the task would run once more each time, for nothing. So they share a waker of their
//! own, which tells the task only what comes while nobody looks; and at rest it remembers whether anything came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// It was woken since it was polled last.
const WOKEN: u8 = 1;
/// It is being polled.
const POLLED: u8 = 2;

/// How often what wakes itself is polled again before others have their turn. hyper's connections do so once; a task that
/// has used up its share of time does so for ever.
const ROUNDS: usize = 3;

/// The wakes of one connection.
pub(crate) struct Wakes {
    state: Arc<State>,
    waker: Waker,
}

struct State {
    bits: AtomicU8,
    task: AtomicWaker,
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Whoever polls it sees that by itself, and whom it was told to once needs no telling twice.
        if self.bits.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

impl Wakes {
    /// Of a connection that was not polled yet.
    pub(crate) fn new() -> Self {
        let state = Arc::new(State {
            bits: AtomicU8::new(WOKEN),
            task: AtomicWaker::new(),
        });
        Self {
            waker: Waker::from(Arc::clone(&state)),
            state,
        }
    }

    /// Whether anything came since it was polled last.
    pub(crate) fn are_due(&self) -> bool {
        self.state.bits.load(Ordering::Acquire) & WOKEN != 0
    }

    /// Something came: it got a request.
    pub(crate) fn rouse(&mut self) {
        self.state.bits.store(WOKEN, Ordering::Release);
    }

    /// Polls it if anything came, and again if it wakes itself. Once it was ready it is polled the next time whatever came.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let State { bits, task } = &*self.state;
        // Before looking, so that what comes in between is told.
        task.register(cx.waker());
        if !self.are_due() {
            return Poll::Pending;
        }
        for _ in 0..ROUNDS {
            bits.swap(POLLED, Ordering::AcqRel);
            let polled = poll(&mut Context::from_waker(&self.waker));
            if polled.is_ready() {
                bits.store(WOKEN, Ordering::Release);
                return polled;
            }
            let ended = bits.compare_exchange(POLLED, 0, Ordering::AcqRel, Ordering::Acquire);
            if ended.is_ok() {
                return Poll::Pending;
            }
        }
        bits.store(WOKEN, Ordering::Release);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Polls it once on nobody's behalf: what comes then is kept in mind and wakes nobody.
    pub(crate) fn poll_at_rest<T>(&mut self, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let State { bits, task } = &*self.state;
        drop(task.take());
        bits.swap(0, Ordering::AcqRel);
        poll(&mut Context::from_waker(&self.waker))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Task {
        fn woken(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn task() -> (Arc<Task>, Waker) {
        let task = Arc::<Task>::default();
        let waker = Waker::from(Arc::clone(&task));
        (task, waker)
    }

    #[test]
    fn what_was_not_woken_is_not_polled() {
        let ((task, waker), mut wakes) = (task(), Wakes::new());
        let (cx, mut polls, mut kept) = (Context::from_waker(&waker), 0, None);
        for _ in 0..3 {
            let polled = wakes.poll(&cx, |cx| {
                polls += 1;
                kept = Some(cx.waker().clone());
                Poll::<()>::Pending
            });
            assert!(polled.is_pending());
        }
        assert_eq!((polls, task.woken()), (1, 0), "the first time it is due");
        let kept = kept.expect("polled");
        kept.wake_by_ref();
        kept.wake_by_ref();
        assert_eq!(task.woken(), 1, "told once");
        assert!(wakes.poll(&cx, |_| Poll::Ready(())).is_ready());
        assert!(
            wakes.poll(&cx, |_| Poll::Ready(())).is_ready(),
            "who was ready is asked again"
        );
    }

    #[test]
    fn what_wakes_itself_is_polled_again_in_one_go_and_not_for_ever() {
        let ((task, waker), mut wakes) = (task(), Wakes::new());
        let (cx, mut polls) = (Context::from_waker(&waker), 0);
        let polled = wakes.poll(&cx, |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 2 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        assert!(polled.is_ready());
        assert_eq!((polls, task.woken()), (2, 0));
        let polled = wakes.poll(&cx, |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((polls, task.woken()), (2 + ROUNDS, 1), "others have their turn");
        assert!(wakes.are_due());
    }

    #[test]
    fn at_rest_it_is_kept_in_mind_that_something_came() {
        let ((task, waker), mut wakes) = (task(), Wakes::new());
        let cx = Context::from_waker(&waker);
        assert!(wakes.poll(&cx, |_| Poll::<()>::Pending).is_pending());
        let kept = wakes.poll_at_rest(|cx| cx.waker().clone());
        assert!(!wakes.are_due());
        kept.wake();
        assert!(wakes.are_due());
        assert_eq!(task.woken(), 0, "whose request is over has no interest in it");
    }

    #[test]
    fn a_wake_from_another_thread_is_never_lost() {
        for _ in 0..2_000 {
            let ((task, waker), mut wakes) = (task(), Wakes::new());
            let (cx, came) = (Context::from_waker(&waker), Arc::<AtomicUsize>::default());
            let mut other = None;
            let polled = wakes.poll(&cx, |cx| {
                if other.is_none() {
                    let (waker, came) = (cx.waker().clone(), Arc::clone(&came));
                    other = Some(std::thread::spawn(move || {
                        came.store(1, Ordering::Release);
                        waker.wake();
                    }));
                }
                match came.load(Ordering::Acquire) {
                    0 => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            });
            other.expect("begun").join().expect("it ends");
            if polled.is_pending() {
                assert_eq!(task.woken(), 1);
                assert!(wakes.poll(&cx, |_| Poll::Ready(())).is_ready());
            }
        }
    }
}
