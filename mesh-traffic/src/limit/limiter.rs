//! The limiter: whether a request passes, as a function of its key and the time.

mod builder;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use mesh_core::{Live, Publisher, RequestKey, live};
use tokio::time::Instant;

use super::allowances::{Allowances, Arrival, KeyHasher, Listener, Store};
use super::limited::Limited;
use super::quota::Quota;

pub use builder::RateLimiterBuilder;

/// Gives every key its [`Quota`], and one more to all requests without a key. Clones share everything.
///
/// Time is an argument and may stand still. A request that came a little earlier than one already counted is
/// counted as well.
///
/// # Memory
/// A key is remembered until its allowance is whole again, at most `burst` times
/// [`interval`](Quota::interval) after its last request, and never more than [`MAX_KEYS`](Self::MAX_KEYS) keys
/// at once, or as many as [`with_max_keys`](Self::with_max_keys) says. The keys beyond share one further
/// allowance: inventing keys costs an attacker's own requests, not this process's memory. Texts are not kept,
/// only hashes of them with a secret of this limiter.
///
/// ```
/// use std::time::Duration;
/// use mesh_traffic::{RequestKey, Quota, RateLimiter};
/// use tokio::time::Instant;
///
/// let limiter = RateLimiter::new(Quota::per_second(10)?.burst(1)?);
/// let (acme, now) = (Some(RequestKey::text("acme")), Instant::now());
/// assert!(limiter.check(acme, now).is_ok());
/// let limited = limiter.check(acme, now).expect_err("the second at once");
/// assert_eq!(limited.wait(), Duration::from_millis(100));
///
/// assert!(limiter.check(Some(RequestKey::text("other")), now).is_ok());
/// assert!(limiter.check(acme, now + limited.wait()).is_ok());
/// assert_eq!(limiter.limited(), 1);
/// # Ok::<(), mesh_traffic::limit::QuotaError>(())
/// ```
#[derive(Clone)]
pub struct RateLimiter(Arc<Inner>);

struct Inner {
    quota: Quota,
    max_keys: usize,
    /// What times are counted from.
    began: Instant,
    hasher: KeyHasher,
    allowances: Arc<Allowances>,
    /// The part of the quota that is given here.
    part: Live<Part>,
    parts: Publisher<Part>,
    limited: CachePadded<AtomicU64>,
}

/// What one of some replicas gives.
struct Part {
    replicas: u32,
    /// Decides, and keeps its numbers in the allowances.
    gcra: Gcra,
}

type Gcra = governor::RateLimiter<Arrival, Store, Stopped, NoOpMiddleware<Nanos>>;

impl Part {
    fn of(quota: Quota, replicas: u32, allowances: &Arc<Allowances>) -> Self {
        let gcra = Gcra::new(quota.part(replicas), Store(Arc::clone(allowances)), Stopped);
        Self { replicas, gcra }
    }
}

impl RateLimiter {
    /// How many keys are remembered unless told otherwise: 10 000. One key takes some 50 bytes, so that a
    /// limiter takes half a megabyte at most; and a key counts only while its allowance is not whole, so that
    /// this is enough for more callers than one process answers in the time a burst takes to come back.
    pub const MAX_KEYS: usize = 10_000;

    /// How many replicas a quota can be divided among.
    pub const MAX_REPLICAS: u32 = 1_000_000;

    /// A limiter that remembers [`MAX_KEYS`](Self::MAX_KEYS) keys.
    pub fn new(quota: Quota) -> Self {
        Self::builder(quota).build()
    }

    /// A limiter that remembers so many keys: [`RateLimiterBuilder::max_keys`].
    pub fn with_max_keys(quota: Quota, max_keys: usize) -> Self {
        Self::builder(quota).max_keys(max_keys).build()
    }

    /// A limiter of which more is said than its quota.
    pub fn builder(quota: Quota) -> RateLimiterBuilder {
        RateLimiterBuilder::new(quota)
    }

    fn build(builder: RateLimiterBuilder) -> Self {
        let RateLimiterBuilder {
            quota,
            max_keys,
            replicas,
            told_to,
        } = builder;
        let listener = told_to.map(|(limit, events)| Listener {
            limit,
            room: max_keys,
            events,
        });
        let allowances = Arc::new(Allowances::new(max_keys, listener));
        let (parts, part) = live(Part::of(quota, replicas, &allowances));
        Self(Arc::new(Inner {
            quota,
            max_keys,
            began: Instant::now(),
            hasher: KeyHasher::default(),
            part,
            parts,
            allowances,
            limited: CachePadded::default(),
        }))
    }

    /// Divides the quota among so many replicas from now on, of which this is one: the rate exactly, the burst
    /// rounded down, but at least one request each. 0 counts as 1, and more than
    /// [`MAX_REPLICAS`](Self::MAX_REPLICAS) as that many. What was counted before counts on.
    ///
    /// This is how replicas keep a limit together without talking to each other, as long as requests are spread
    /// evenly: whoever knows how many there are (a discovery of this very service) says so.
    ///
    /// ```
    /// use mesh_traffic::{Quota, RateLimiter};
    /// use tokio::time::Instant;
    ///
    /// let limiter = RateLimiter::new(Quota::per_second(90)?.burst(30)?);
    /// limiter.set_replicas(3);
    /// let now = Instant::now();
    /// assert_eq!((0..90).filter(|_| limiter.check(None, now).is_ok()).count(), 10);
    /// # Ok::<(), mesh_traffic::limit::QuotaError>(())
    /// ```
    pub fn set_replicas(&self, replicas: u32) {
        let replicas = replicas.clamp(1, Self::MAX_REPLICAS);
        if self.replicas() != replicas {
            let inner = &*self.0;
            inner
                .parts
                .publish(Part::of(inner.quota, replicas, &inner.allowances));
        }
    }

    /// How many replicas the quota is divided among.
    pub fn replicas(&self) -> u32 {
        self.0.part.load().replicas
    }

    /// Counts a request that came at `now`.
    ///
    /// # Errors
    /// It is one too many. It then takes nothing of the allowance: who goes on asking does not have to wait
    /// longer.
    pub fn check(&self, key: Option<RequestKey<'_>>, now: Instant) -> Result<(), Limited> {
        let inner = &*self.0;
        let arrival = Arrival {
            whose: key.as_ref().map(|key| inner.hasher.hash(key)),
            now: nanoseconds(now.saturating_duration_since(inner.began)),
        };
        let checked = inner.part.load().gcra.check_key(&arrival);
        checked.map_err(|until| {
            inner.limited.fetch_add(1, Ordering::Relaxed);
            Limited::new(inner.quota, until.wait_time_from(Stopped.now()), key.is_none())
        })
    }

    /// What every key gets, from all replicas together.
    pub fn quota(&self) -> Quota {
        self.0.quota
    }

    /// How many requests were one too many, ever. In a dry run they passed all the same.
    pub fn limited(&self) -> u64 {
        self.0.limited.load(Ordering::Relaxed)
    }

    /// How many requests, ever, had a key for which there was no room, and were counted together. If this
    /// grows, more keys are needed, or others: a field that a client may write as it likes is a poor key.
    pub fn crowded(&self) -> u64 {
        self.0.allowances.crowded()
    }

    /// How many keys are remembered now, those included whose turn to be forgotten has come.
    pub fn keys(&self) -> usize {
        self.0.allowances.keys()
    }

    /// How many keys are remembered at most.
    pub fn max_keys(&self) -> usize {
        self.0.max_keys
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("quota", &self.quota())
            .field("replicas", &self.replicas())
            .field("max_keys", &self.max_keys())
            .field("limited", &self.limited())
            .field("crowded", &self.crowded())
            .finish_non_exhaustive()
    }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// governor's clock. Time comes with each request: see [`Store`].
struct Stopped;

impl Clock for Stopped {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(0)
    }
}

#[cfg(test)]
mod tests;
