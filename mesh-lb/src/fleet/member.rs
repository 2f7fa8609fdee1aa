//! What is known of one endpoint.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use mesh_core::EndpointId;
use mesh_core::breaker::{Breaker, BreakerPolicy};
use mesh_core::duration::display;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::load::EndpointLoad;
use crate::outlier::SwapCounts;

/// What is known of one endpoint, kept by its identity.
///
/// Written where a request ends, read where one begins: atomics. What only changes with its state stands
/// behind a lock.
pub(crate) struct Member {
    id: EndpointId,
    origin: Instant,
    load: Arc<EndpointLoad>,
    /// None if endpoints are never ejected.
    breaker: Option<Breaker>,
    /// Whether its open breaker counts: the fleet may have no endpoint to spare.
    ejected: AtomicBool,
    health: AtomicU8,
    /// When a request last succeeded, in nanoseconds since `origin`; 0: never.
    succeeded: AtomicU64,
    pub(super) counts: SwapCounts,
    slow: Mutex<Slow>,
}

#[derive(Default)]
struct Slow {
    /// Since when it has been gaining its share.
    rising_since: Option<Instant>,
    unhealthy: Option<Trouble>,
    ejected: Option<Trouble>,
}

/// Why an endpoint gets no requests, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(super) since: Instant,
    pub(super) cause: Cow<'static, str>,
}

/// What health checks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// Nothing yet, or nobody asks.
    Unknown,
    Healthy,
    Unhealthy,
}

impl Member {
    pub(super) fn new(
        id: EndpointId,
        load: Arc<EndpointLoad>,
        breaker: Option<BreakerPolicy>,
        now: Instant,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            origin: now,
            load,
            breaker: breaker.map(|policy| Breaker::new(policy, now)),
            ejected: AtomicBool::new(false),
            health: AtomicU8::new(Health::Unknown as u8),
            succeeded: AtomicU64::new(0),
            counts: SwapCounts::default(),
            slow: Mutex::default(),
        })
    }

    pub(crate) fn id(&self) -> &EndpointId {
        &self.id
    }

    pub(crate) fn load(&self) -> &Arc<EndpointLoad> {
        &self.load
    }

    pub(crate) fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_ref()
    }

    /// Whether it is neither ejected nor found unhealthy.
    pub(crate) fn takes_requests(&self) -> bool {
        !self.is_ejected() && !self.is_unhealthy()
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Acquire)
    }

    pub(crate) fn is_unhealthy(&self) -> bool {
        self.health.load(Ordering::Acquire) == Health::Unhealthy as u8
    }

    pub(super) fn eject(&self, cause: Cow<'static, str>, now: Instant) {
        self.slow.lock().ejected = Some(Trouble { since: now, cause });
        self.ejected.store(true, Ordering::Release);
    }

    /// Whether it was ejected.
    pub(super) fn take_back(&self, now: Instant) -> bool {
        let was = self.ejected.swap(false, Ordering::AcqRel);
        if was {
            let mut slow = self.slow.lock();
            slow.ejected = None;
            slow.rising_since = Some(now);
        }
        was
    }

    pub(super) fn set_healthy(&self, now: Instant) {
        let before = self.health.swap(Health::Healthy as u8, Ordering::AcqRel);
        let mut slow = self.slow.lock();
        slow.unhealthy = None;
        if before == Health::Unhealthy as u8 {
            slow.rising_since = Some(now);
        }
    }

    pub(super) fn set_unhealthy(&self, cause: Cow<'static, str>, now: Instant) {
        self.slow.lock().unhealthy = Some(Trouble { since: now, cause });
        self.health.store(Health::Unhealthy as u8, Ordering::Release);
    }

    /// It is ready, for the first time.
    pub(super) fn begin(&self, now: Instant) {
        self.slow.lock().rising_since = Some(now);
    }

    /// Since when it has been gaining its share.
    pub(super) fn rising_since(&self) -> Option<Instant> {
        self.slow.lock().rising_since
    }

    pub(super) fn succeeded_at(&self, now: Instant) {
        let nanos = nanos(now.saturating_duration_since(self.origin)).max(1);
        // Nobody needs it to the nanosecond, and the line is shared by all threads.
        if nanos.saturating_sub(self.succeeded.load(Ordering::Relaxed)) > 100_000_000 {
            self.succeeded.store(nanos, Ordering::Relaxed);
        }
    }

    /// When a request last succeeded, to a tenth of a second.
    pub(crate) fn last_success(&self) -> Option<Instant> {
        match self.succeeded.load(Ordering::Relaxed) {
            0 => None,
            nanos => self.origin.checked_add(Duration::from_nanos(nanos)),
        }
    }

    /// What keeps requests away from it, in words: `ejected for 12s: 5 failures one after another`.
    pub(crate) fn trouble(&self, now: Instant) -> Option<String> {
        let slow = self.slow.lock();
        let tell = |state: &str, trouble: &Trouble| {
            let age = now.saturating_duration_since(trouble.since);
            let age = Duration::from_millis(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            format!("{state} for {}: {}", display(age), trouble.cause)
        };
        let unhealthy = slow.unhealthy.as_ref().map(|t| tell("unhealthy", t));
        unhealthy.or_else(|| slow.ejected.as_ref().map(|t| tell("ejected", t)))
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("id", &self.id)
            .field("ejected", &self.is_ejected())
            .field("unhealthy", &self.is_unhealthy())
            .finish_non_exhaustive()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
