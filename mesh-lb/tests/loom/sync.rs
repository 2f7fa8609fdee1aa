//! What stands in for `crate::sync`.

use std::sync::Mutex;

pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

/// A cell that orders nothing, unlike the usual one: what keeps a value whole must be around it. A reader that is not
/// ordered after the last writer may see what was there before.
pub(crate) struct AtomicCell<T> {
    /// Which of all that was ever stored is in it.
    current: AtomicU64,
    /// No part of the model: loom runs one thread at a time.
    stored: Mutex<Vec<T>>,
}

impl<T> AtomicCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            current: AtomicU64::new(0),
            stored: Mutex::new(vec![value]),
        }
    }

    pub(crate) fn store(&self, value: T) {
        let place = {
            let mut stored = self.stored.lock().expect("nobody panics with it");
            stored.push(value);
            stored.len() - 1
        };
        self.current.store(place as u64, Ordering::Relaxed);
    }
}

impl<T: Default> AtomicCell<T> {
    pub(crate) fn take(&self) -> T {
        let place = self.current.load(Ordering::Relaxed) as usize;
        std::mem::take(&mut self.stored.lock().expect("nobody panics with it")[place])
    }
}
