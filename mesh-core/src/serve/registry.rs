//! The connections being served, and a way to end chosen ones.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use crate::control::{ConnectionControl, Order, Seen};
use crate::peer::PeerInfo;

/// The connections of a server. Clones name the same ones.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Registry>);

/// The open connections, by a number of their own.
type Open = HashMap<u64, (Arc<PeerInfo>, ConnectionControl)>;

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
        self.tell(chosen, Order::Finish)
    }

    /// Ends them at once, whatever is in flight, tunnels among them.
    pub fn close(&self, chosen: impl FnMut(&PeerInfo) -> bool) -> usize {
        self.tell(chosen, Order::Close)
    }

    pub(super) fn finish_all(&self) {
        self.finish(|_| true);
    }

    fn tell(&self, mut chosen: impl FnMut(&PeerInfo) -> bool, order: Order) -> usize {
        // The caller's choice is asked outside the lock: it may take long, or ask for the connections itself.
        let open: Vec<_> = self.0.open().values().cloned().collect();
        let chosen = open.iter().filter(|(peer, _)| chosen(peer));
        chosen.map(|(_, control)| control.tell(order)).count()
    }

    /// Of a connection that others control too, the control is theirs.
    pub(super) fn register(&self, peer: &Arc<PeerInfo>, control: Option<ConnectionControl>) -> Registered {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let control = control.unwrap_or_default();
        self.0.open().insert(id, (Arc::clone(peer), control.clone()));
        Registered {
            id,
            control,
            registry: Arc::clone(&self.0),
        }
    }
}

/// A connection's place among the open ones.
#[derive(Debug)]
pub(super) struct Registered {
    id: u64,
    control: ConnectionControl,
    registry: Arc<Registry>,
}

impl Registered {
    pub(super) fn wake(&self, waker: &Waker) {
        self.control.wake(waker);
    }

    /// Tells this connection alone to finish.
    pub(super) fn finish(&self) {
        self.control.tell(Order::Finish);
    }

    pub(super) fn is_to_finish(&self) -> bool {
        self.control.is_told(Order::Finish)
    }

    /// Whether a tunnel is to be cut.
    pub(super) fn is_to_leave(&self) -> bool {
        self.control.is_told(Order::Leave)
    }

    /// What it was told so far; woken by what comes next.
    pub(super) fn poll_told(&self, seen: &mut Seen, cx: &Context<'_>) -> Option<Order> {
        self.control.poll_told(seen, cx)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.open().remove(&self.id);
    }
}
