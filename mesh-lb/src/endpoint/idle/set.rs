//! The set itself, without its tests: `tests/loom.rs` compiles it too.

use crate::sync::{AtomicCell, AtomicU64, Ordering};

/// A set of at most a fixed number of values.
pub(crate) struct IdleSet<T> {
    words: Box<[Word]>,
    places: Box<[AtomicCell<Option<Box<T>>>]>,
}

struct Word {
    full: AtomicU64,
    free: AtomicU64,
}

impl<T> IdleSet<T> {
    /// The most values a set can hold.
    pub(crate) const MAX: usize = 1024;

    /// A set of at most `capacity` values (and at most [`Self::MAX`]).
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(Self::MAX);
        let word = |i: usize| {
            let places = (capacity - i * 64).min(64);
            let free = if places == 64 { u64::MAX } else { (1 << places) - 1 };
            Word {
                full: AtomicU64::new(0),
                free: AtomicU64::new(free),
            }
        };
        Self {
            words: (0..capacity.div_ceil(64)).map(word).collect(),
            places: (0..capacity).map(|_| AtomicCell::new(None)).collect(),
        }
    }

    /// Takes a value.
    pub(crate) fn take(&self) -> Option<Box<T>> {
        for (i, word) in self.words.iter().enumerate() {
            while let Some(bit) = claim(&word.full) {
                let value = self.places[i * 64 + bit].take();
                word.free.fetch_or(1 << bit, Ordering::Release);
                if value.is_some() {
                    return value;
                }
            }
        }
        None
    }

    /// Puts a value in; gives it back if the set is full.
    pub(crate) fn put(&self, value: Box<T>) -> Result<(), Box<T>> {
        for (i, word) in self.words.iter().enumerate() {
            if let Some(bit) = claim(&word.free) {
                self.places[i * 64 + bit].store(Some(value));
                word.full.fetch_or(1 << bit, Ordering::Release);
                return Ok(());
            }
        }
        Err(value)
    }

    /// Takes every value that rests now out, shows it, and puts back what is to be kept.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&mut T) -> bool) {
        for (i, word) in self.words.iter().enumerate() {
            let mut rest = word.full.load(Ordering::Relaxed);
            while rest != 0 {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                if word.full.fetch_and(!(1 << bit), Ordering::Acquire) & (1 << bit) == 0 {
                    continue;
                }
                let place = &self.places[i * 64 + bit];
                let kept = place
                    .take()
                    .and_then(|mut value| keep(&mut value).then_some(value));
                let map = if kept.is_some() { &word.full } else { &word.free };
                place.store(kept);
                map.fetch_or(1 << bit, Ordering::Release);
            }
        }
    }
}

/// Clears the lowest bit that is set and tells which it was.
fn claim(map: &AtomicU64) -> Option<usize> {
    let mut seen = map.load(Ordering::Relaxed);
    while seen != 0 {
        let bit = seen.trailing_zeros();
        let before = map.fetch_and(!(1 << bit), Ordering::Acquire);
        if before & (1 << bit) != 0 {
            return Some(bit as usize);
        }
        seen = before;
    }
    None
}
