use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counting() -> (Arc<CountWakes>, Waker) {
    let count = Arc::new(CountWakes::default());
    (Arc::clone(&count), Waker::from(count))
}

#[test]
fn nobody_is_signaled_before_the_start() {
    let (trigger, watcher) = drain();
    let (wakes, waker) = counting();
    let mut signaled = pin!(watcher.signaled());
    let mut cx = Context::from_waker(&waker);
    assert!(signaled.as_mut().poll(&mut cx).is_pending());
    assert!(!watcher.is_draining() && !trigger.is_draining());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
}

#[test]
fn the_start_wakes_a_waiting_watcher_once() {
    let (trigger, watcher) = drain();
    let (wakes, waker) = counting();
    let mut signaled = pin!(watcher.signaled());
    let mut cx = Context::from_waker(&waker);
    for _ in 0..5 {
        assert!(signaled.as_mut().poll(&mut cx).is_pending());
    }
    trigger.start();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(signaled.as_mut().poll(&mut cx), Poll::Ready(()));
}

#[test]
fn a_watcher_that_moved_to_another_task_wakes_that_one() {
    let (trigger, watcher) = drain();
    let (old_wakes, old) = counting();
    let (new_wakes, new) = counting();
    let mut signaled = pin!(watcher.signaled());
    assert!(
        signaled
            .as_mut()
            .poll(&mut Context::from_waker(&old))
            .is_pending()
    );
    assert!(
        signaled
            .as_mut()
            .poll(&mut Context::from_waker(&new))
            .is_pending()
    );
    trigger.start();
    assert_eq!(old_wakes.0.load(Ordering::SeqCst), 0);
    assert_eq!(new_wakes.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_comes_late_is_signaled_at_once() {
    let (trigger, _) = drain();
    trigger.start();
    trigger.watcher().signaled().await;
    assert!(trigger.watcher().is_draining());
}

#[tokio::test]
async fn a_cancelled_wait_loses_nothing() {
    let (trigger, watcher) = drain();
    {
        let mut given_up = pin!(watcher.signaled());
        assert!(
            given_up
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    trigger.start();
    watcher.signaled().await;
}

#[test]
fn no_guard_held_is_not_drained_until_started() {
    let (trigger, _watcher) = drain();
    let (wakes, waker) = counting();
    let mut drained = pin!(trigger.drained());
    assert!(
        drained
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    trigger.start();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(drained.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn drained_waits_for_the_last_guard() {
    let (trigger, watcher) = drain();
    let first = watcher.guard();
    let second = watcher.guard();
    assert_eq!(trigger.in_flight(), 2);
    trigger.start();
    trigger.start();

    let mut cx = Context::from_waker(Waker::noop());
    let mut drained = pin!(trigger.drained());
    assert!(drained.as_mut().poll(&mut cx).is_pending());
    drop(first);
    assert!(drained.as_mut().poll(&mut cx).is_pending());
    let late = watcher.guard();
    drop(second);
    assert!(drained.as_mut().poll(&mut cx).is_pending());
    assert_eq!(trigger.in_flight(), 1);
    drop(late);
    assert!(drained.as_mut().poll(&mut cx).is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guards_dropped_while_the_drain_starts_never_leave_it_waiting() {
    for _ in 0..200 {
        let (trigger, watcher) = drain();
        let guard = watcher.guard();
        let task = tokio::spawn(async move { drop(guard) });
        let drained = {
            let trigger = trigger.clone();
            tokio::spawn(async move { trigger.drained().await })
        };
        trigger.start();
        drained.await.expect("drained");
        task.await.expect("dropped");
        assert_eq!(trigger.in_flight(), 0);
    }
}

#[test]
fn the_debug_text_shows_the_state() {
    let (trigger, watcher) = drain();
    let _guard = watcher.guard();
    assert_eq!(
        format!("{trigger:?}"),
        "DrainTrigger { draining: false, in_flight: 1 }"
    );
}

#[test]
fn all_parts_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<DrainTrigger>();
    crosses::<DrainWatcher>();
    crosses::<DrainGuard>();
}
