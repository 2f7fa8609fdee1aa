//! How a process stops without dropping anything: one signal to all, and a count of who is not done yet.
//!
//! The holder of the [`DrainTrigger`] starts the drain and waits for [`drained`](DrainTrigger::drained). Every
//! listener, connection and task has a [`DrainWatcher`], and a [`DrainGuard`] for as long as it has work.
//!
//! ```
//! use mesh_core::drain::drain;
//!
//! # tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(async {
//! let (trigger, watcher) = drain();
//! let guard = watcher.guard();
//! let connection = tokio::spawn(async move {
//!     watcher.signaled().await;
//!     // ... finish what was begun, take nothing new ...
//!     drop(guard);
//! });
//!
//! trigger.start();
//! trigger.drained().await;
//! assert_eq!(trigger.in_flight(), 0);
//! # connection.await.expect("ran");
//! # });
//! ```

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use tokio::sync::Notify;

/// A drain that has not started, and the first watcher of it.
pub fn drain() -> (DrainTrigger, DrainWatcher) {
    let shared = Arc::new(Shared {
        draining: AtomicBool::new(false),
        guards: AtomicUsize::new(0),
        started: Notify::new(),
        emptied: Notify::new(),
    });
    (
        DrainTrigger {
            shared: Arc::clone(&shared),
        },
        DrainWatcher { shared },
    )
}

struct Shared {
    draining: AtomicBool,
    guards: AtomicUsize,
    started: Notify,
    emptied: Notify,
}

/// Starts the drain and knows when it is over.
///
/// Dropping it starts nothing: a process that never drains just never signals.
#[derive(Clone)]
pub struct DrainTrigger {
    shared: Arc<Shared>,
}

impl DrainTrigger {
    /// Tells every watcher to finish. Calling it again changes nothing.
    pub fn start(&self) {
        // Sequentially consistent with the count in `DrainGuard::drop`: of "the last guard went" and "the
        // drain started" whichever comes second sees the first and tells `drained`.
        self.shared.draining.store(true, Ordering::SeqCst);
        self.shared.started.notify_waiters();
        self.shared.emptied.notify_waiters();
    }

    /// Whether the drain has started.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Acquire)
    }

    /// Waits until the drain has started and no guard is left. It sets no time limit; the caller does.
    ///
    /// Cancel-safe, and may be awaited by many at once.
    pub async fn drained(&self) {
        loop {
            // Created before the check, so that a notification in between is not lost.
            let emptied = self.shared.emptied.notified();
            let started = self.shared.draining.load(Ordering::SeqCst);
            if started && self.shared.guards.load(Ordering::SeqCst) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// A watcher of this drain.
    pub fn watcher(&self) -> DrainWatcher {
        DrainWatcher {
            shared: Arc::clone(&self.shared),
        }
    }

    /// How many guards are held now.
    pub fn in_flight(&self) -> usize {
        self.shared.guards.load(Ordering::Acquire)
    }
}

impl fmt::Debug for DrainTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("DrainTrigger", &self.shared, f)
    }
}

/// Learns that the process drains.
#[derive(Clone)]
pub struct DrainWatcher {
    shared: Arc<Shared>,
}

impl DrainWatcher {
    /// Whether the drain has started. One atomic load: may be asked for every request.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Acquire)
    }

    /// Waits until the drain starts; returns at once if it has.
    ///
    /// Cancel-safe. A connection that waits for this beside its own work should pin one such future and keep
    /// it: polled again by the same task it costs one atomic load, a new one takes a lock to register.
    pub async fn signaled(&self) {
        let mut started = pin!(self.shared.started.notified());
        let mut registered: Option<Waker> = None;
        poll_fn(|cx| {
            if self.is_draining() {
                return Poll::Ready(());
            }
            if registered
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                return Poll::Pending;
            }
            registered = Some(cx.waker().clone());
            started.as_mut().poll(cx)
        })
        .await;
    }

    /// A guard that keeps [`DrainTrigger::drained`] waiting. It may be taken during the drain too: a request
    /// on a connection that is still open.
    pub fn guard(&self) -> DrainGuard {
        self.shared.guards.fetch_add(1, Ordering::SeqCst);
        DrainGuard {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl fmt::Debug for DrainWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("DrainWatcher", &self.shared, f)
    }
}

/// Work that must end before the drain is over. Ends when dropped.
#[must_use = "dropped at once, it guards nothing"]
pub struct DrainGuard {
    shared: Arc<Shared>,
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        let last = self.shared.guards.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.shared.draining.load(Ordering::SeqCst) {
            self.shared.emptied.notify_waiters();
        }
    }
}

impl fmt::Debug for DrainGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug("DrainGuard", &self.shared, f)
    }
}

fn debug(name: &str, shared: &Shared, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct(name)
        .field("draining", &shared.draining.load(Ordering::Acquire))
        .field("in_flight", &shared.guards.load(Ordering::Acquire))
        .finish()
}

#[cfg(test)]
mod tests;
