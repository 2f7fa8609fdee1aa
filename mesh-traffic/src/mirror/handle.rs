//! The mirror: which requests are copied, within which bounds, and what became of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::begun::{Begun, Ticket};
use super::builder::{MirrorBuilder, Observer};
use super::counts::{Ending, MirrorCounts};
use crate::fault::Chance;

/// Which share of requests is copied, and what became of the copies. Clones are one mirror: they share its bounds and its
/// counts.
///
/// ```
/// use mesh_traffic::fault::Chance;
/// use mesh_traffic::mirror::{Ending, Mirror};
/// use tokio::time::Instant;
///
/// let mirror = Mirror::builder(Chance::percent(25.0).expect("a share")).max_in_flight(1).build();
/// let now = Instant::now();
/// assert!(mirror.begin(u32::MAX / 2, now).is_none(), "not among a quarter of all numbers");
/// let first = mirror.begin(7, now).expect("it is");
/// assert!(mirror.begin(8, now).is_none(), "one is under way");
/// assert_eq!(mirror.counts().of(Ending::Busy), 1);
/// assert_eq!(mirror.counts().in_flight(), 1);
/// drop(first);
/// assert_eq!(mirror.counts().in_flight(), 0);
/// ```
#[derive(Clone)]
pub struct Mirror(Arc<Inner>);

struct Inner {
    share: Chance,
    buffer: usize,
    most: usize,
    timeout: Duration,
    drain: usize,
    observe: Option<Observer>,
    in_flight: AtomicUsize,
    ended: [AtomicU64; Ending::ALL.len()],
}

impl Mirror {
    /// A mirror of this share of the requests.
    pub fn builder(share: Chance) -> MirrorBuilder {
        MirrorBuilder::new(share)
    }

    pub(super) fn built(from: MirrorBuilder) -> Self {
        let MirrorBuilder {
            share,
            buffer,
            most,
            timeout,
            drain,
            observe,
        } = from;
        Self(Arc::new(Inner {
            share,
            buffer,
            most,
            timeout,
            drain,
            observe,
            in_flight: AtomicUsize::new(0),
            ended: Default::default(),
        }))
    }

    /// Begins a copy if a random number says so and not too many are under way. `now` is when the request came.
    pub fn begin(&self, random: u32, now: Instant) -> Option<Begun> {
        if !self.0.share.hits(random) {
            return None;
        }
        // Relaxed: nothing else is published with this number.
        let more = |under_way| (under_way < self.0.most).then_some(under_way + 1);
        let counted = self
            .0
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if counted.is_err() {
            self.ended(Ending::Busy);
            return None;
        }
        Some(Begun::new(Ticket::new(self.clone()), now + self.0.timeout))
    }

    /// What became of the copies so far.
    pub fn counts(&self) -> MirrorCounts {
        MirrorCounts {
            ended: std::array::from_fn(|at| {
                self.0
                    .ended
                    .get(at)
                    .map_or(0, |count| count.load(Ordering::Relaxed))
            }),
            in_flight: self.0.in_flight.load(Ordering::Relaxed),
        }
    }

    pub(super) fn buffer(&self) -> usize {
        self.0.buffer
    }

    pub(super) fn drain(&self) -> usize {
        self.0.drain
    }

    /// One that was under way is no more.
    pub(super) fn leave(&self, ending: Ending) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.ended(ending);
    }

    fn ended(&self, ending: Ending) {
        if let Some(count) = self.0.ended.get(ending.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(observe) = &self.0.observe {
            observe(ending);
        }
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror")
            .field("share", &self.0.share)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
