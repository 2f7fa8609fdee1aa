//! Connections at rest: a fixed set that is taken from and put into without a lock.
//!
//! Each place has two bits, in two bitmaps: `full` (a connection rests here) and `free` (nothing does).
//! Whoever clears a bit owns the place until it sets the other one. The lowest full place is taken first, so
//! that few connections stay busy and the others grow old and are swept.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::atomic::AtomicCell;

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn what_was_put_in_is_taken_out_once() {
        let set = IdleSet::new(130);
        for i in 0..130 {
            set.put(Box::new(i)).expect("there is room");
        }
        assert_eq!(set.put(Box::new(130)).expect_err("it is full"), Box::new(130));
        let mut out: Vec<i32> = std::iter::from_fn(|| set.take()).map(|v| *v).collect();
        out.sort_unstable();
        assert_eq!(out, (0..130).collect::<Vec<_>>());
        set.put(Box::new(1)).expect("there is room again");
    }

    #[test]
    fn the_place_used_last_is_used_first() {
        let set = IdleSet::new(8);
        for i in 0..3 {
            set.put(Box::new(i)).expect("room");
        }
        let first = set.take().expect("full");
        set.put(first).expect("room");
        assert_eq!(set.take().as_deref(), Some(&0));
    }

    #[test]
    fn retain_drops_the_refused_and_keeps_the_rest() {
        let set = IdleSet::new(100);
        for i in 0..100 {
            set.put(Box::new(i)).expect("room");
        }
        set.retain(|i| *i % 2 == 0);
        let out: Vec<i32> = std::iter::from_fn(|| set.take()).map(|v| *v).collect();
        assert_eq!(out.len(), 50);
        assert!(out.iter().all(|i| i % 2 == 0));
    }

    #[test]
    fn a_set_of_no_places_holds_nothing() {
        let set = IdleSet::new(0);
        assert!(set.put(Box::new(())).is_err());
        assert!(set.take().is_none());
    }

    #[test]
    fn threads_never_share_or_lose_a_value() {
        let set = Arc::new(IdleSet::new(64));
        let lost = Arc::new(AtomicU32::new(0));
        for i in 0..64_u32 {
            set.put(Box::new(AtomicU32::new(i))).expect("room");
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (set, lost) = (Arc::clone(&set), Arc::clone(&lost));
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if let Some(value) = set.take() {
                            value.fetch_add(1000, Ordering::Relaxed);
                            if set.put(value).is_err() {
                                lost.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        let mut left: Vec<u32> = std::iter::from_fn(|| set.take())
            .map(|v| v.load(Ordering::Relaxed) % 1000)
            .collect();
        left.sort_unstable();
        assert_eq!(lost.load(Ordering::Relaxed), 0);
        assert_eq!(left, (0..64).collect::<Vec<_>>());
    }
}
