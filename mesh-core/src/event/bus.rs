//! Carries events from where they happen to who listens.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::MeshEvent;

/// Carries events to every listener. Clones carry to the same ones.
///
/// ```
/// use mesh_core::event::{EventBus, MeshEvent};
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(async {
/// let bus = EventBus::default();
/// let mut events = bus.subscribe();
/// bus.emit(MeshEvent::ConfigReloaded);
/// drop(bus);
/// assert_eq!(events.next().await.as_deref(), Some(&MeshEvent::ConfigReloaded));
/// assert_eq!(events.next().await, None);
/// # });
/// ```
#[derive(Clone)]
pub struct EventBus {
    sender: broadcast::Sender<Arc<MeshEvent>>,
    lost: Arc<AtomicU64>,
}

impl EventBus {
    /// The most events a bus keeps for its slowest listener.
    pub const MAX_CAPACITY: usize = 65_536;

    /// A bus that keeps this many events for slow listeners: at least 1, at most [`Self::MAX_CAPACITY`].
    /// [`Default`] keeps 1024.
    pub fn new(capacity: usize) -> Self {
        let (sender, _) = broadcast::channel(capacity.clamp(1, Self::MAX_CAPACITY));
        Self {
            sender,
            lost: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Tells every listener. Never waits; without listeners nothing happens.
    pub fn emit(&self, event: MeshEvent) {
        // The only error is that nobody listens.
        let _nobody = self.sender.send(Arc::new(event));
    }

    /// A listener for what happens from now on.
    pub fn subscribe(&self) -> Events {
        Events {
            receiver: self.sender.subscribe(),
            lost: Arc::clone(&self.lost),
            missed: 0,
        }
    }

    /// How many events slow listeners lost, all of them together.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Default for EventBus {
    fn default() -> Self {
        Self::new(1024)
    }
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBus")
            .field("listeners", &self.sender.receiver_count())
            .field("lost", &self.lost())
            .finish()
    }
}

/// A listener of an [`EventBus`].
pub struct Events {
    receiver: broadcast::Receiver<Arc<MeshEvent>>,
    lost: Arc<AtomicU64>,
    missed: u64,
}

impl Events {
    /// The next event; `None` once every bus is gone. If this listener was too slow it goes on with the oldest
    /// event that is left. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<MeshEvent>> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(count)) => {
                    self.missed = self.missed.saturating_add(count);
                    self.lost.fetch_add(count, Ordering::Relaxed);
                }
            }
        }
    }

    /// How many events this listener lost so far.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}
