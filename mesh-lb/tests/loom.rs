//! The latency estimate under every order in which threads may see its word: its file, compiled over loom's
//! atomics instead of the standard library's.

#[path = "../src/load/latency.rs"]
mod latency;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
}

use std::sync::Arc;
use std::time::Duration;

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
