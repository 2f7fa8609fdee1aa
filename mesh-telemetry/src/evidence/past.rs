//! What the counts of a version were, so that the last minute can be told from all the time before.
//!
//! Whoever is the first to count in a second keeps what was counted before it. Nobody waits for that: if another is about
//! it, or somebody reads, the next one in the same second does it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::counts::Moment;

/// The longest window that can be asked for: 8 minutes.
pub const MAX_WINDOW: Duration = Duration::from_secs(COARSE * (KEPT as u64 - 4));

/// Windows up to this are answered to the second.
const FINE_WINDOW: Duration = Duration::from_secs(60);

/// How many moments a ring keeps.
const KEPT: usize = 64;

/// How many seconds lie between the moments of the coarse ring, at least.
const COARSE: u64 = 8;

pub(super) struct Past {
    last: AtomicU64,
    rings: Mutex<Rings>,
}

struct Rings {
    fine: Ring,
    coarse: Ring,
}

impl Past {
    /// Nothing was counted before this second.
    pub(super) fn new(second: u64) -> Self {
        let ring = |step| {
            let mut ring = Ring {
                step,
                moments: Vec::with_capacity(KEPT),
                oldest: 0,
            };
            ring.keep(second, || Moment::ZERO);
            ring
        };
        Self {
            last: AtomicU64::new(second),
            rings: Mutex::new(Rings {
                fine: ring(1),
                coarse: ring(COARSE),
            }),
        }
    }

    /// The newest second that something was counted in.
    pub(super) fn last_second(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Something is about to be counted in this second; `counted` is what was before.
    pub(super) fn turn(&self, second: u64, counted: impl FnOnce() -> Moment) {
        if second > self.last_second() {
            self.keep(second, counted);
        }
    }

    #[cold]
    fn keep(&self, second: u64, counted: impl FnOnce() -> Moment) {
        let Some(mut rings) = self.rings.try_lock() else {
            return;
        };
        if second <= self.last_second() {
            return;
        }
        let moment = counted();
        rings.fine.keep(second, || moment);
        rings.coarse.keep(second, || moment);
        self.last.store(second, Ordering::Relaxed);
    }

    /// What had been counted when the last `window` began, `age` after the beginning of all; nothing if it is what is
    /// counted now.
    pub(super) fn before(&self, age: Duration, window: Duration) -> Option<Moment> {
        let began = age.saturating_sub(window).as_secs();
        let rings = self.rings.lock();
        let ring = if window <= FINE_WINDOW {
            &rings.fine
        } else {
            &rings.coarse
        };
        ring.before(began)
    }
}

/// Moments in the order of time, one a step.
struct Ring {
    step: u64,
    moments: Vec<(u64, Moment)>,
    oldest: usize,
}

impl Ring {
    fn keep(&mut self, second: u64, moment: impl FnOnce() -> Moment) {
        let step = second / self.step;
        if self
            .in_order()
            .next_back()
            .is_some_and(|(newest, _)| *newest >= step)
        {
            return;
        }
        let kept = (step, moment());
        if self.moments.len() < KEPT {
            self.moments.push(kept);
        } else if let Some(oldest) = self.moments.get_mut(self.oldest) {
            *oldest = kept;
            self.oldest = (self.oldest + 1) % KEPT;
        }
    }

    fn in_order(&self) -> impl DoubleEndedIterator<Item = &(u64, Moment)> {
        let (newer, older) = self.moments.split_at(self.oldest);
        older.iter().chain(newer)
    }

    /// What was counted before the step of this second.
    fn before(&self, second: u64) -> Option<Moment> {
        let step = second / self.step;
        // Between that step and the moment nothing was counted.
        let first = self.in_order().find(|(kept, _)| *kept >= step);
        first.map(|(_, moment)| *moment)
    }
}

const _: () = assert!(FINE_WINDOW.as_secs() < KEPT as u64 - 2);
