//! Values that are published whole and read without a lock.
//!
//! A reader on the hot path pays one atomic load; a reader that waits is woken by a counter. Two values
//! that must agree belong in one `Live`.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

/// Makes a value that is published by one hand and read by many.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (publisher, mut live) = mesh_core::live(1);
/// assert_eq!(**live.load(), 1);
/// publisher.publish(2);
/// live.changed().await;
/// assert_eq!(**live.load(), 2);
/// # }
/// ```
pub fn live<T>(value: T) -> (Publisher<T>, Live<T>) {
    let shared = Arc::new(ArcSwap::from_pointee(value));
    let (wake, woken) = watch::channel(0);
    (
        Publisher {
            shared: Arc::clone(&shared),
            wake: Arc::new(wake),
        },
        Live { shared, woken },
    )
}

/// The writing end. Clones publish to the same readers.
pub struct Publisher<T> {
    shared: Arc<ArcSwap<T>>,
    wake: Arc<watch::Sender<u64>>,
}

impl<T> Publisher<T> {
    /// Replaces the value whole. Readers that hold the old one keep it until they let go.
    pub fn publish(&self, value: T) {
        self.publish_arc(Arc::new(value));
    }

    /// Replaces the value by one that is shared already.
    pub fn publish_arc(&self, value: Arc<T>) {
        self.shared.store(value);
        self.wake.send_modify(|version| *version += 1);
    }

    /// The value published last.
    pub fn current(&self) -> Arc<T> {
        self.shared.load_full()
    }

    /// Another reader.
    pub fn subscribe(&self) -> Live<T> {
        Live {
            shared: Arc::clone(&self.shared),
            woken: self.wake.subscribe(),
        }
    }
}

impl<T> Clone for Publisher<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            wake: Arc::clone(&self.wake),
        }
    }
}

/// The reading end. Clones are independent: each sees every change.
pub struct Live<T> {
    shared: Arc<ArcSwap<T>>,
    woken: watch::Receiver<u64>,
}

impl<T> Live<T> {
    /// A value that never changes.
    pub fn fixed(value: T) -> Self {
        live(value).1
    }

    /// The current value, for a moment: do not hold the guard across an `await`.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.shared.load()
    }

    /// The current value, to keep.
    pub fn load_full(&self) -> Arc<T> {
        self.shared.load_full()
    }

    /// Waits for a value newer than the one this reader last waited for. Never returns once every
    /// [`Publisher`] is gone. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.woken.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            woken: self.woken.clone(),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Publisher").field(&*self.shared.load()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&*self.shared.load()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_pending(future: impl Future) -> bool {
        pin!(future)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    #[tokio::test]
    async fn every_reader_sees_every_change_for_itself() {
        let (publisher, mut first) = live(1);
        let mut second = first.clone();
        publisher.publish(2);
        first.changed().await;
        assert!(is_pending(first.changed()));
        second.changed().await;
        assert_eq!((**first.load(), **second.load()), (2, 2));
    }

    #[tokio::test]
    async fn several_changes_are_one_and_the_newest_counts() {
        let (publisher, mut live) = live(1);
        publisher.publish(2);
        publisher.publish(3);
        live.changed().await;
        assert_eq!(*live.load_full(), 3);
        assert!(is_pending(live.changed()));
    }

    #[test]
    fn who_subscribes_late_waits_for_what_comes_after() {
        let (publisher, _) = live("old");
        publisher.publish("new");
        let mut late = publisher.subscribe();
        assert_eq!(**late.load(), "new");
        assert!(is_pending(late.changed()));
    }

    #[tokio::test]
    async fn a_cancelled_wait_loses_no_change() {
        let (publisher, mut live) = live(1);
        assert!(is_pending(live.changed()));
        publisher.publish(2);
        live.changed().await;
    }

    #[test]
    fn a_value_without_a_publisher_never_changes() {
        let mut fixed = Live::fixed(7);
        assert_eq!(**fixed.load(), 7);
        assert!(is_pending(fixed.changed()));
    }

    #[tokio::test]
    async fn the_last_change_is_seen_after_the_publisher_is_gone() {
        let (publisher, mut live) = live(1);
        publisher.clone().publish(2);
        drop(publisher);
        live.changed().await;
        assert_eq!(**live.load(), 2);
        assert!(is_pending(live.changed()));
    }

    #[test]
    fn who_holds_an_old_value_keeps_it() {
        let (publisher, live) = live(String::from("old"));
        let held = live.load_full();
        publisher.publish_arc(Arc::new(String::from("new")));
        assert_eq!((held.as_str(), live.load().as_str()), ("old", "new"));
        assert_eq!(*publisher.current(), "new");
    }

    #[test]
    fn readers_never_see_half_a_value() {
        let (publisher, live) = live((0_u64, 0_u64));
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=20_000).for_each(|n| publisher.publish((n, n))));
            for _ in 0..2 {
                let live = live.clone();
                scope.spawn(move || {
                    let mut last = 0;
                    while last < 20_000 {
                        let (a, b) = **live.load();
                        assert!(a == b && a >= last, "{a} {b} after {last}");
                        last = a;
                    }
                });
            }
        });
    }

    #[test]
    fn both_ends_show_the_value() {
        let (publisher, live) = live(1);
        assert_eq!(
            (format!("{publisher:?}"), format!("{live:?}")),
            ("Publisher(1)".into(), "Live(1)".into())
        );
    }
}
