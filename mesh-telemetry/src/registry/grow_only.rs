//! A hash table that is read without a lock and only grows.
//!
//! A slot that is filled stays filled, so a reader needs no guard and no generation: it follows the probes
//! until it finds its value or an empty slot. Writers take turns behind a mutex. When the probes of a
//! segment are all taken, the value goes to the next, larger segment.

use std::iter;
use std::sync::OnceLock;

use parking_lot::Mutex;

const PROBES: usize = 8;
const SMALLEST: usize = 16;
const LARGEST: usize = 1024;

pub(crate) struct GrowOnly<T> {
    first: Segment<T>,
    writing: Mutex<()>,
}

struct Segment<T> {
    slots: Box<[OnceLock<T>]>,
    next: OnceLock<Box<Self>>,
}

enum Found<'a, T> {
    Value(&'a T),
    Free(&'a OnceLock<T>),
    Full(&'a Segment<T>),
}

impl<T> GrowOnly<T> {
    pub(crate) fn new() -> Self {
        Self {
            first: Segment::new(SMALLEST),
            writing: Mutex::new(()),
        }
    }

    /// The value of this hash for which `is` holds.
    pub(crate) fn get(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        match self.find(hash, &is) {
            Found::Value(value) => Some(value),
            Found::Free(_) | Found::Full(_) => None,
        }
    }

    /// The value of this hash for which `is` holds; if there is none, the one that `make` gives, if it does.
    pub(crate) fn get_or_insert_with(
        &self,
        hash: u64,
        is: impl Fn(&T) -> bool,
        make: impl FnOnce() -> Option<T>,
    ) -> Option<&T> {
        let _turn = self.writing.lock();
        loop {
            match self.find(hash, &is) {
                Found::Value(value) => return Some(value),
                Found::Free(slot) => {
                    let value = make()?;
                    return Some(slot.get_or_init(|| value));
                }
                Found::Full(segment) => {
                    let size = (segment.slots.len() * 4).min(LARGEST);
                    segment.next.get_or_init(|| Box::new(Segment::new(size)));
                }
            }
        }
    }

    /// Every value, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        iter::successors(Some(&self.first), |segment| {
            segment.next.get().map(|next| &**next)
        })
        .flat_map(|segment| segment.slots.iter().filter_map(OnceLock::get))
    }

    /// Does this to every value, when no value is being made: what a writer has begun is in the table then.
    pub(crate) fn settled(&self, each: impl FnMut(&T)) {
        let _turn = self.writing.lock();
        self.iter().for_each(each);
    }

    /// Has every writer wait until this is dropped.
    #[cfg(test)]
    pub(crate) fn stop_writers(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.writing.lock()
    }

    fn find(&self, hash: u64, is: &impl Fn(&T) -> bool) -> Found<'_, T> {
        let mut segment = &self.first;
        loop {
            let mask = segment.slots.len() - 1;
            // The upper half is the better mixed one.
            let home = (hash >> 32) as usize;
            for step in 0..PROBES {
                let slot = &segment.slots[home.wrapping_add(step) & mask];
                match slot.get() {
                    Some(value) if is(value) => return Found::Value(value),
                    Some(_) => {}
                    None => return Found::Free(slot),
                }
            }
            match segment.next.get() {
                Some(next) => segment = next,
                None => return Found::Full(segment),
            }
        }
    }
}

impl<T> Segment<T> {
    /// `size` is a power of two.
    fn new(size: usize) -> Self {
        Self {
            slots: iter::repeat_with(OnceLock::new).take(size).collect(),
            next: OnceLock::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_inserted_value_is_found_and_no_other(
            values in prop::collection::vec(0u64..900, 0..400),
            spread in prop::sample::select(vec![0u64, 1 << 32, 0x9E37_79B9_7F4A_7C15]),
        ) {
            let table = GrowOnly::new();
            for value in &values {
                let hash = value.wrapping_mul(spread);
                let found = table.get_or_insert_with(hash, |v| v == value, || Some(*value));
                prop_assert_eq!(found, Some(value));
            }
            let distinct: HashSet<u64> = values.iter().copied().collect();
            prop_assert_eq!(table.iter().count(), distinct.len());
            for value in 0..900_u64 {
                let found = table.get(value.wrapping_mul(spread), |v| *v == value).is_some();
                prop_assert_eq!(found, distinct.contains(&value));
            }
        }
    }

    #[test]
    fn threads_that_insert_the_same_value_share_one() {
        let table = GrowOnly::new();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for value in 0..500_u64 {
                        table.get_or_insert_with(value << 32, |v| *v == value, || Some(value));
                        assert_eq!(table.get(value << 32, |v| *v == value), Some(&value));
                    }
                });
            }
        });
        assert_eq!(table.iter().count(), 500);
    }

    #[test]
    fn a_value_that_is_refused_leaves_no_trace() {
        let table = GrowOnly::<u64>::new();
        assert_eq!(table.get_or_insert_with(7, |_| true, || None), None);
        assert_eq!(table.iter().count(), 0);
        assert_eq!(table.get_or_insert_with(7, |v| *v == 1, || Some(1)), Some(&1));
    }
}
