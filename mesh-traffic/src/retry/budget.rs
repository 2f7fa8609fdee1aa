//! How many retries a service is sent: a share of its requests, and a few in any case.

mod policy;
mod slots;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use tokio::time::Instant;

pub use policy::{BudgetConfig, BudgetConfigError, BudgetPolicy};
use slots::{STEPS, Slots};

/// Bounds how much retries and hedges add to what a service is asked, however many of its requests fail. Clones are one
/// budget, and nothing of it takes a lock.
///
/// Whenever a retry is granted, those of the last `ttl`, itself included, are no more than `percent` of the requests of
/// that time and `minPerSecond` for each of its seconds. The second part is given out evenly: as many as of one second at
/// once, and then that many a second. Time is counted in twentieths of `ttl`, always to the side of fewer retries, and
/// threads that ask at the same moment for the last one may all be refused: it is never exceeded.
///
/// A service that works needs few retries and has all it needs; one that fails altogether gets hardly more than without
/// retries, instead of a multiple. Requests that are retries of somebody else's are not to be counted as requests.
///
/// ```
/// use mesh_traffic::retry::{BudgetConfig, RetryBudget};
/// use tokio::time::Instant;
///
/// let mut config = BudgetConfig::default();
/// config.min_per_second = 0;
/// let now = Instant::now();
/// let budget = RetryBudget::new(config.try_into()?, now);
/// for _ in 0..10 {
///     budget.on_request(now);
/// }
/// assert!(budget.try_spend(now));
/// assert!(budget.clone().try_spend(now));
/// assert!(!budget.try_spend(now), "20 % of ten requests are two");
/// # Ok::<(), mesh_traffic::retry::BudgetConfigError>(())
/// ```
#[derive(Clone)]
pub struct RetryBudget(Arc<Inner>);

struct Inner {
    policy: BudgetPolicy,
    origin: Instant,
    step_nanos: u64,
    // Every request writes here, and what stands beside it is only read.
    requests: CachePadded<Slots>,
    retries: Slots,
    /// When the reserve is whole again, in nanoseconds since the origin.
    reserve_whole: AtomicU64,
}

impl RetryBudget {
    /// A budget that has seen no requests. What happens before `origin` counts as happening then.
    pub fn new(policy: BudgetPolicy, origin: Instant) -> Self {
        let step = policy.config().ttl.as_nanos() / u128::from(STEPS);
        Self(Arc::new(Inner {
            policy,
            origin,
            step_nanos: u64::try_from(step).unwrap_or(u64::MAX).max(1),
            requests: CachePadded::new(Slots::new()),
            retries: Slots::new(),
            reserve_whole: AtomicU64::new(0),
        }))
    }

    /// Its settings.
    pub fn policy(&self) -> &BudgetPolicy {
        &self.0.policy
    }

    /// Whether both are one budget.
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A request came: not a retry.
    pub fn on_request(&self, now: Instant) {
        self.0.requests.count(self.tick(now));
    }

    /// Takes leave for one retry, or says that there is none.
    #[must_use = "without leave there is no retry"]
    pub fn try_spend(&self, now: Instant) -> bool {
        let Inner { policy, retries, .. } = &*self.0;
        let tick = self.tick(now);
        retries.add_if(tick, |spent| {
            let share = policy.share(self.requests(tick));
            spent <= share || (spent <= share.saturating_add(policy.reserve()) && self.take_reserve(now))
        })
    }

    /// How many retries there could be now, one after another. For a gauge: others spend as well.
    pub fn remaining(&self, now: Instant) -> u64 {
        let tick = self.tick(now);
        let (spent, share) = (self.spent(tick), self.0.policy.share(self.requests(tick)));
        let of_reserve = self.in_reserve(now).min(
            share
                .saturating_add(self.0.policy.reserve())
                .saturating_sub(spent.max(share)),
        );
        share.saturating_sub(spent).saturating_add(of_reserve)
    }

    /// The retries that may be younger than a window, and any that others counted for later.
    fn spent(&self, tick: u64) -> u64 {
        self.0.retries.sum(tick.saturating_sub(STEPS), u64::MAX)
    }

    /// The requests that are younger than a window for sure.
    fn requests(&self, tick: u64) -> u64 {
        self.0.requests.sum((tick + 1).saturating_sub(STEPS), tick)
    }

    fn tick(&self, now: Instant) -> u64 {
        self.nanos(now) / self.0.step_nanos
    }

    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0.origin).as_nanos();
        // 292 years, so that what is added below never overflows.
        u64::try_from(since).unwrap_or(u64::MAX).min(u64::MAX / 2)
    }

    /// One of the reserve, if it is not used up for the moment.
    fn take_reserve(&self, now: Instant) -> bool {
        let Some(each) = self.reserve_nanos() else {
            return false;
        };
        let now = self.nanos(now);
        let take = |whole: u64| {
            let next = whole.max(now) + each;
            (next - now <= SECOND).then_some(next)
        };
        let whole = &self.0.reserve_whole;
        whole
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    fn in_reserve(&self, now: Instant) -> u64 {
        let whole = self.0.reserve_whole.load(Ordering::Relaxed);
        let missing = whole.saturating_sub(self.nanos(now));
        self.reserve_nanos()
            .map_or(0, |each| SECOND.saturating_sub(missing) / each)
    }

    /// After how long there is one more in the reserve. Never zero: the settings end at a million a second.
    fn reserve_nanos(&self) -> Option<u64> {
        SECOND.checked_div(u64::from(self.0.policy.config().min_per_second))
    }
}

const SECOND: u64 = 1_000_000_000;

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("policy", &self.0.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
