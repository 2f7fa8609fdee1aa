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
    (Publisher { shared: Arc::clone(&shared), wake: Arc::new(wake) }, Live { shared, woken })
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
        Live { shared: Arc::clone(&self.shared), woken: self.wake.subscribe() }
    }
}

impl<T> Clone for Publisher<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), wake: Arc::clone(&self.wake) }
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
        Self { shared: Arc::clone(&self.shared), woken: self.woken.clone() }
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
