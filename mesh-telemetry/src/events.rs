//! What happened to the mesh, numbered and dated: counted on the page, kept for a while, and told to whoever reads on.
//!
//! ```
//! use mesh_core::{EventBus, MeshEvent};
//! use mesh_telemetry::events::Told;
//! use mesh_telemetry::{EventLog, Telemetry};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (telemetry, bus) = (Telemetry::new(), EventBus::default());
//! let log = EventLog::start(&telemetry, &bus);
//! let mut reader = log.read(None).expect("there is room for a reader");
//! bus.emit(MeshEvent::ConfigReloaded);
//! let Some(Told::Event(first)) = reader.next().await else { panic!("something happened") };
//! assert_eq!((first.id, &*first.event), (1, &MeshEvent::ConfigReloaded));
//! assert!(telemetry.render().contains(r#"service_mesh_events_total{kind="config_reloaded"} 1"#));
//! # }
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use mesh_core::{EventBus, Events, MeshEvent};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinHandle;

use crate::registry::Telemetry;

/// How many events are kept, for readers who come later or were away, and how many wait for a slow one.
pub const KEPT: usize = 256;

/// How many may read at the same time.
pub const MAX_READERS: usize = 16;

/// An event, as it was noted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Noted {
    /// The first of this process is 1. Numbers that are left out were lost before they were noted.
    pub id: u64,
    /// When it was noted.
    pub at: SystemTime,
    /// What happened.
    pub event: Arc<MeshEvent>,
}

/// What a reader is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Something happened.
    Event(Arc<Noted>),
    /// The reader was too slow: so many events are gone, and it goes on with the oldest that is left.
    Lost(u64),
}

/// Notes what is told on a bus, until it is dropped.
pub struct EventLog {
    shared: Arc<Shared>,
    noting: JoinHandle<()>,
}

struct Shared {
    newest: Mutex<VecDeque<Arc<Noted>>>,
    readers: broadcast::Sender<Arc<Noted>>,
}

impl EventLog {
    /// Notes what happens from now on, and counts it.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as `tokio::spawn`.
    pub fn start(telemetry: &Telemetry, bus: &EventBus) -> Self {
        let shared = Arc::new(Shared {
            newest: Mutex::new(VecDeque::with_capacity(KEPT)),
            readers: broadcast::channel(KEPT).0,
        });
        let noting = note(bus.subscribe(), Arc::clone(&shared), telemetry.clone());
        Self {
            shared,
            noting: tokio::spawn(noting),
        }
    }

    /// A reader of what was noted after this id, as far as it is kept, and of what happens from now on; without one only
    /// of the latter. `None` if there are enough readers.
    pub fn read(&self, after: Option<u64>) -> Option<EventReader> {
        let newest = self.shared.newest.lock();
        if self.shared.readers.receiver_count() >= MAX_READERS {
            return None;
        }
        let missed = newest
            .iter()
            .filter(|noted| after.is_some_and(|after| noted.id > after));
        let missed: VecDeque<_> = missed.cloned().collect();
        let oldest = missed.front().map(|noted| noted.id);
        let gap = after.zip(oldest).map_or(0, |(after, oldest)| oldest - after - 1);
        Some(EventReader {
            gap,
            missed,
            next: self.shared.readers.subscribe(),
        })
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.noting.abort();
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog")
            .field("readers", &self.shared.readers.receiver_count())
            .finish_non_exhaustive()
    }
}

async fn note(mut events: Events, shared: Arc<Shared>, telemetry: Telemetry) {
    let mut id = 0;
    while let Some(event) = events.next().await {
        id += 1;
        telemetry.process().event(&event);
        let noted = Arc::new(Noted {
            // What this was too slow for has no event, but a number.
            id: id + events.missed(),
            at: SystemTime::now(),
            event,
        });
        // Both at once, so that a new reader gets each event once.
        let mut newest = shared.newest.lock();
        if newest.len() == KEPT {
            newest.pop_front();
        }
        newest.push_back(Arc::clone(&noted));
        // The only error is that nobody reads.
        let _nobody = shared.readers.send(noted);
    }
}

/// A reader of an [`EventLog`].
#[derive(Debug)]
pub struct EventReader {
    gap: u64,
    missed: VecDeque<Arc<Noted>>,
    next: broadcast::Receiver<Arc<Noted>>,
}

impl EventReader {
    /// What happens next; `None` once the log is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Told> {
        if self.gap > 0 {
            return Some(Told::Lost(std::mem::take(&mut self.gap)));
        }
        if let Some(missed) = self.missed.pop_front() {
            return Some(Told::Event(missed));
        }
        match self.next.recv().await {
            Ok(noted) => Some(Told::Event(noted)),
            Err(RecvError::Lagged(lost)) => Some(Told::Lost(lost)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began(in_flight: usize) -> MeshEvent {
        MeshEvent::DrainStarted { in_flight }
    }

    async fn noted(log: &EventLog, bus: &EventBus, events: usize) {
        for n in 0..events {
            bus.emit(began(n));
            // Each is noted before the next, as it is outside of tests.
            let so_far = || log.shared.newest.lock().back().map(|noted| noted.event.clone());
            while so_far().as_deref() != Some(&began(n)) {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_slow_reader_loses_the_oldest_and_is_told_how_many() {
        let bus = EventBus::default();
        let log = EventLog::start(&Telemetry::new(), &bus);
        let mut reader = log.read(None).expect("room");
        noted(&log, &bus, KEPT + 10).await;
        assert_eq!(reader.next().await, Some(Told::Lost(10)));
        let Some(Told::Event(next)) = reader.next().await else {
            panic!("there is more")
        };
        assert_eq!(next.id, 11);
    }

    #[tokio::test]
    async fn who_was_away_gets_what_is_kept_and_is_told_what_is_not() {
        let bus = EventBus::default();
        let log = EventLog::start(&Telemetry::new(), &bus);
        noted(&log, &bus, KEPT + 5).await;
        let mut reader = log.read(Some(KEPT as u64 + 3)).expect("room");
        for id in [KEPT as u64 + 4, KEPT as u64 + 5] {
            let Some(Told::Event(next)) = reader.next().await else {
                panic!("it is kept")
            };
            assert_eq!(next.id, id);
        }
        let mut long_away = log.read(Some(2)).expect("room");
        assert_eq!(long_away.next().await, Some(Told::Lost(3)), "3, 4 and 5 are gone");
        drop(log);
        while let Some(told) = long_away.next().await {
            assert!(matches!(told, Told::Event(_)));
        }
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_readers_and_a_place_is_free_again_when_one_leaves() {
        let log = EventLog::start(&Telemetry::new(), &EventBus::default());
        let mut readers: Vec<_> = (0..MAX_READERS).map(|_| log.read(None).expect("room")).collect();
        assert!(log.read(None).is_none());
        readers.pop();
        assert!(log.read(None).is_some());
    }
}
