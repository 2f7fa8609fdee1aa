//! Connections at rest: a fixed set that is taken from and put into without a lock.
//!
//! Each place has two bits, in two bitmaps: `full` (a connection rests here) and `free` (nothing does).
//! Whoever clears a bit owns the place until it sets the other one. The lowest full place is taken first, so
//! that few connections stay busy and the others grow old and are swept.

mod set;

pub(crate) use set::IdleSet;

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
