//! Bounds how many faults are under way, and ends all of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use mesh_core::{Live, Publisher, live};

/// Bounds how many requests of a process are in trouble on purpose at once, and ends it all: off, no more faults are
/// injected, requests that wait go on at once, and responses come as they are. Clones are one switch.
///
/// ```
/// use mesh_traffic::fault::FaultSwitch;
///
/// let switch = FaultSwitch::new(100);
/// assert!(switch.is_on());
/// switch.clone().set(false);
/// assert!(!switch.is_on());
/// assert_eq!(switch.active(), 0);
/// ```
#[derive(Clone)]
pub struct FaultSwitch(Arc<Inner>);

struct Inner {
    settings: Live<Settings>,
    publisher: Publisher<Settings>,
    active: AtomicUsize,
    spared: AtomicU64,
}

#[derive(Clone, Copy)]
struct Settings {
    on: bool,
    most: usize,
}

impl FaultSwitch {
    /// How many may be in trouble at once unless told otherwise: 1024.
    pub const MOST: usize = 1024;

    /// A switch that is on, with so many in trouble at most.
    pub fn new(most: usize) -> Self {
        let (publisher, settings) = live(Settings { on: true, most });
        Self(Arc::new(Inner {
            settings,
            publisher,
            active: AtomicUsize::new(0),
            spared: AtomicU64::new(0),
        }))
    }

    /// Turns it on or off.
    pub fn set(&self, on: bool) {
        let now = **self.0.settings.load();
        self.0.publisher.publish(Settings { on, ..now });
    }

    /// So many may be in trouble at once from now on. Those that are stay so.
    pub fn set_most(&self, most: usize) {
        let now = **self.0.settings.load();
        self.0.publisher.publish(Settings { most, ..now });
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.0.settings.load().on
    }

    /// How many requests are in trouble now.
    pub fn active(&self) -> usize {
        self.0.active.load(Ordering::Relaxed)
    }

    /// How many requests, ever, went without the trouble they were to have, since enough were in trouble.
    pub fn spared(&self) -> u64 {
        self.0.spared.load(Ordering::Relaxed)
    }

    /// One more, if there may be one.
    pub(super) fn begin(&self) -> Option<Active> {
        let Settings { on, most } = **self.0.settings.load();
        if !on {
            return None;
        }
        // Relaxed: nothing else is published with this number.
        let more = |active| (active < most).then_some(active + 1);
        let counted = self
            .0
            .active
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if counted.is_err() {
            self.0.spared.fetch_add(1, Ordering::Relaxed);
        }
        counted.is_ok().then(|| Active(self.clone()))
    }

    /// Resolves when it is off.
    pub(super) async fn off(&self) {
        let mut settings = self.0.settings.clone();
        while settings.load().on {
            settings.changed().await;
        }
    }
}

impl Default for FaultSwitch {
    fn default() -> Self {
        Self::new(Self::MOST)
    }
}

impl fmt::Debug for FaultSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { on, most } = **self.0.settings.load();
        f.debug_struct("FaultSwitch")
            .field("on", &on)
            .field("most", &most)
            .field("active", &self.active())
            .field("spared", &self.spared())
            .finish()
    }
}

/// One request in trouble; until this is dropped.
#[derive(Debug)]
pub(super) struct Active(FaultSwitch);

impl Active {
    pub(super) fn switch(&self) -> &FaultSwitch {
        &self.0
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_in_trouble_than_may_be() {
        let switch = FaultSwitch::new(2);
        let first = switch.begin().expect("room");
        let _second = switch.begin().expect("room");
        assert!(switch.begin().is_none());
        assert_eq!((switch.active(), switch.spared()), (2, 1));
        drop(first);
        let _third = switch.begin().expect("room again");
        switch.set_most(1);
        assert!(switch.begin().is_none());
        assert_eq!(switch.active(), 2, "those that are stay so");
    }

    #[test]
    fn off_nobody_gets_into_trouble() {
        let switch = FaultSwitch::default();
        switch.set(false);
        assert!(switch.begin().is_none());
        assert_eq!(switch.spared(), 0);
        switch.set(true);
        assert!(switch.begin().is_some());
    }

    #[test]
    fn threads_together_stay_within_the_bound() {
        let switch = FaultSwitch::new(10);
        let kept: usize = std::thread::scope(|scope| {
            let begin = || (0..100).filter_map(|_| switch.begin()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
            let begun: Vec<_> = threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect();
            begun.iter().map(Vec::len).sum()
        });
        assert_eq!((kept, switch.active()), (10, 0));
    }
}
