//! Hand-written algorithms under every order in which threads may see their atomics: their files, compiled over
//! loom's instead of the usual ones.

#[path = "../src/endpoint/idle/set.rs"]
mod idle;
#[path = "../src/load/latency.rs"]
mod latency;
#[path = "loom/sync.rs"]
mod sync;

use std::sync::Arc;
use std::time::Duration;

use idle::IdleSet;
use latency::LatencyEstimate;
use loom::thread;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn estimate(of: &LatencyEstimate, now: Instant) -> Duration {
    Duration::from_nanos(of.nanos(now) as u64)
}

#[test]
fn the_highest_of_samples_at_one_time_is_kept_whoever_comes_first() {
    loom::model(|| {
        let start = Instant::now();
        let later = start + 60 * SECOND;
        let shared = Arc::new(LatencyEstimate::new(start));
        let threads = [SECOND / 1000, 8 * SECOND].map(|sample| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.record(sample, later))
        });
        shared.record(2 * SECOND, later);
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(estimate(&shared, later), 8 * SECOND);
    });
}

#[test]
fn a_reader_sees_the_estimate_before_a_sample_or_after_it_and_nothing_else() {
    loom::model(|| {
        let start = Instant::now();
        let later = start + 600 * SECOND;
        let shared = Arc::new(LatencyEstimate::new(start));
        let writer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.record(8 * SECOND, later))
        };
        // The old estimate is forgotten by then; with the time of the new one it would not be.
        let seen = estimate(&shared, later);
        assert!(seen == Duration::ZERO || seen == 8 * SECOND, "{seen:?}");
        writer.join().expect("no panic");
        assert_eq!(estimate(&shared, later), 8 * SECOND);
    });
}

/// What is left in a set that nobody uses any more.
fn rest(set: &IdleSet<u32>) -> Vec<u32> {
    let mut rest: Vec<u32> = std::iter::from_fn(|| set.take()).map(|value| *value).collect();
    rest.sort_unstable();
    rest
}

#[test]
fn what_two_threads_put_into_an_idle_set_at_once_is_all_in_it() {
    loom::model(|| {
        let set = Arc::new(IdleSet::new(2));
        let other = {
            let set = Arc::clone(&set);
            thread::spawn(move || set.put(Box::new(1)).is_ok())
        };
        assert!(set.put(Box::new(2)).is_ok());
        // Whoever takes while the other puts gets a whole value or none.
        let taken = set.take();
        assert!(other.join().expect("no panic"));
        let mut all = rest(&set);
        all.extend(taken.map(|value| *value));
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
    });
}

#[test]
fn a_value_in_an_idle_set_is_taken_by_one_of_two_threads_and_is_there_again_when_it_is_put_back() {
    loom::model(|| {
        let set = Arc::new(IdleSet::new(1));
        set.put(Box::new(7)).expect("there is room");
        let use_it = |set: &IdleSet<u32>| {
            if let Some(value) = set.take() {
                assert_eq!(*value, 7);
                set.put(value).expect("its place is free");
            }
        };
        let other = {
            let set = Arc::clone(&set);
            thread::spawn(move || use_it(&set))
        };
        use_it(&set);
        other.join().expect("no panic");
        assert_eq!(rest(&set), [7]);
    });
}

#[test]
fn a_sweep_of_an_idle_set_neither_loses_nor_doubles_what_others_take_and_put_meanwhile() {
    loom::model(|| {
        let set = Arc::new(IdleSet::new(2));
        set.put(Box::new(1)).expect("there is room");
        let sweep = {
            let set = Arc::clone(&set);
            thread::spawn(move || {
                let mut swept = 0;
                set.retain(|value| {
                    swept += u32::from(*value == 2);
                    *value != 2
                });
                swept
            })
        };
        set.put(Box::new(2)).expect("there is room");
        let taken = set.take();
        let swept = sweep.join().expect("no panic");
        let mut all = rest(&set);
        all.extend(taken.map(|value| *value));
        all.extend((swept == 1).then_some(2));
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
    });
}
