//! The connections being served, and a way to end chosen ones.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use crate::peer::PeerInfo;

/// The connections of a server. Clones name the same ones.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Registry>);

/// The open connections, by a number of their own.
type Open = HashMap<u64, (Arc<PeerInfo>, Arc<Control>)>;

#[derive(Debug, Default)]
struct Registry {
    next: AtomicU64,
    // Taken when a connection begins or ends and when some are closed; never by a request.
    open: Mutex<Open>,
}

impl Registry {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.open().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the connections of the peers `chosen` names, after the responses in flight: HTTP/1.1 with
    /// `Connection: close`, HTTP/2 with GOAWAY. A tunnel ends when its user ends it. Tells how many they are.
    pub fn finish(&self, chosen: impl FnMut(&PeerInfo) -> bool) -> usize {
        self.tell(chosen, FINISH)
    }

    /// Ends them at once, whatever is in flight, tunnels among them.
    pub fn close(&self, chosen: impl FnMut(&PeerInfo) -> bool) -> usize {
        self.tell(chosen, CLOSE)
    }

    pub(super) fn finish_all(&self) {
        self.finish(|_| true);
    }

    fn tell(&self, mut chosen: impl FnMut(&PeerInfo) -> bool, what: u8) -> usize {
        // The caller's choice is asked outside the lock: it may take long, or ask for the connections itself.
        let open: Vec<_> = self.0.open().values().cloned().collect();
        let chosen = open.iter().filter(|(peer, _)| chosen(peer));
        chosen.map(|(_, control)| control.tell(what)).count()
    }

    pub(super) fn register(&self, peer: &Arc<PeerInfo>) -> Registered {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let control = Arc::new(Control::default());
        self.0.open().insert(id, (Arc::clone(peer), Arc::clone(&control)));
        Registered {
            id,
            control,
            registry: Arc::clone(&self.0),
        }
    }
}

const FINISH: u8 = 1;
const CLOSE: u8 = 2;

/// What one connection has been told. Looking costs one load.
#[derive(Debug, Default)]
struct Control {
    told: AtomicU8,
    waker: AtomicWaker,
}

impl Control {
    fn tell(&self, what: u8) {
        self.told.fetch_max(what, Ordering::AcqRel);
        self.waker.wake();
    }
}

/// A connection's place among the open ones.
#[derive(Debug)]
pub(super) struct Registered {
    id: u64,
    control: Arc<Control>,
    registry: Arc<Registry>,
}

impl Registered {
    pub(super) fn wake(&self, waker: &Waker) {
        self.control.waker.register(waker);
    }

    /// Tells this connection alone to finish.
    pub(super) fn finish(&self) {
        self.control.tell(FINISH);
    }

    pub(super) fn is_to_finish(&self) -> bool {
        self.control.told.load(Ordering::Acquire) >= FINISH
    }

    pub(super) fn is_to_close(&self) -> bool {
        self.control.told.load(Ordering::Acquire) >= CLOSE
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.open().remove(&self.id);
    }
}
