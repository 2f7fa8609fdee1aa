//! A limit that replicas count together, in one place; and each its part, when that place does not answer.

mod contact;
mod layer;
mod redis;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_core::RequestKey;
use mesh_core::event::{EventBus, MeshEvent};
use tokio::time::Instant;

use super::limited::Limited;
use super::limiter::RateLimiter;
use contact::Contact;

pub use layer::{SharedLimitLayer, SharedLimitService};
pub use redis::{RedisError, RedisStore};

/// A limit that all replicas count together, in a [`RedisStore`]. Clones share everything.
///
/// Each request costs a round trip. One script decides in the store, at once and by the store's own clock, so that
/// replicas neither have to agree on the time nor can pass more together than the quota says.
///
/// # When the store does not answer
/// A request waits for the store at most as long as [`RedisStore`] says, by default 20 ms, and is then counted by the
/// [`RateLimiter`] of this process: by its part of the quota, if that was told how many replicas there are. From then
/// on only four requests a second try the store, and all others do not wait, until it answers. An event tells when
/// that begins and when it ends; [`is_shared`](Self::is_shared) and [`alone`](Self::alone) are for metrics.
///
/// At the change from one to the other, both may give a whole burst: together at most twice the burst pass. A request
/// that the store counted too late to be heard of counts there and here.
#[derive(Clone)]
pub struct SharedLimiter(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    local: RateLimiter,
    store: RedisStore,
    contact: Contact,
    began: Instant,
    events: EventBus,
    limited: AtomicU64,
    alone: AtomicU64,
}

/// What a request is counted by, kept apart from the request: a hash, so that no secret of a client gets into the
/// store. The same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedKey(Option<[u8; 20]>);

impl SharedKey {
    /// The key of a request, or that of all that have none.
    pub fn of(key: Option<RequestKey<'_>>) -> Self {
        // SHA-1, since what matters is that nobody finds a key with the hash of another's, which nobody can. That
        // one caller can find two keys of its own with one hash is that caller's affair.
        Self(key.map(|key| key.with_bytes(|bytes| sha1_smol::Sha1::from(bytes).digest().bytes())))
    }
}

impl SharedLimiter {
    /// A limit of this name, the quota of `local` for each key. Replicas that give it the same name in the same store
    /// count together; their quotas should be the same.
    pub fn new(name: impl Into<Arc<str>>, local: RateLimiter, store: RedisStore, events: EventBus) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            local,
            store,
            contact: Contact::default(),
            began: Instant::now(),
            events,
            limited: AtomicU64::new(0),
            alone: AtomicU64::new(0),
        }))
    }

    /// Counts a request that came at `now`.
    ///
    /// # Errors
    /// It is one too many.
    pub async fn check(&self, key: &SharedKey, now: Instant) -> Result<(), Limited> {
        let inner = &*self.0;
        let checked = match self.ask(key, now).await {
            Some(checked) => checked,
            None => {
                inner.alone.fetch_add(1, Ordering::Relaxed);
                let key = key.0.as_ref().map(|hash| RequestKey::bytes(hash));
                inner.local.check(key, now)
            }
        };
        if checked.is_err() {
            inner.limited.fetch_add(1, Ordering::Relaxed);
        }
        checked
    }

    /// What the store says; `None`: nothing.
    async fn ask(&self, key: &SharedKey, now: Instant) -> Option<Result<(), Limited>> {
        let inner = &*self.0;
        let now = now.saturating_duration_since(inner.began);
        if !inner.contact.may_ask(now) {
            return None;
        }
        let quota = inner.local.quota();
        match inner.store.check(&inner.name, key.0.as_ref(), quota).await {
            Ok(wait) => {
                if inner.contact.answered() {
                    inner.events.emit(MeshEvent::RateLimitShared {
                        limit: Arc::clone(&inner.name),
                    });
                }
                Some(match wait.is_zero() {
                    true => Ok(()),
                    false => Err(Limited::new(quota, wait, key.0.is_none())),
                })
            }
            Err(error) => {
                if inner.contact.failed(now) {
                    inner.events.emit(MeshEvent::RateLimitAlone {
                        limit: Arc::clone(&inner.name),
                        cause: error.to_string().into(),
                    });
                }
                None
            }
        }
    }

    /// The limiter that counts when the store does not answer.
    pub fn local(&self) -> &RateLimiter {
        &self.0.local
    }

    /// Whether the store answered last.
    pub fn is_shared(&self) -> bool {
        self.0.contact.is_up()
    }

    /// How many requests, ever, were counted by this process alone.
    pub fn alone(&self) -> u64 {
        self.0.alone.load(Ordering::Relaxed)
    }

    /// How many requests were one too many, ever.
    pub fn limited(&self) -> u64 {
        self.0.limited.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for SharedLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimiter")
            .field("name", &self.0.name)
            .field("local", &self.0.local)
            .field("shared", &self.is_shared())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quota;

    fn text(text: &str) -> SharedKey {
        SharedKey::of(Some(RequestKey::text(text)))
    }

    #[test]
    fn keys_are_the_same_in_every_process() {
        assert_eq!(
            text("abc").0.map(|hash| hash[..4].to_vec()),
            Some(vec![0xa9, 0x99, 0x3e, 0x36])
        );
        assert_ne!(text("abc"), text("abd"));
        assert_ne!(text(""), SharedKey::of(None));
    }

    #[tokio::test]
    async fn without_a_store_each_counts_its_part_and_says_so_once() {
        let events = EventBus::default();
        let mut told = events.subscribe();
        // Nobody listens there.
        let store = RedisStore::new("redis://127.0.0.1:1").expect("a URL");
        let quota = Quota::per_minute(60).and_then(|quota| quota.burst(30));
        let local = RateLimiter::builder(quota.expect("a quota")).replicas(3).build();
        let limiter = SharedLimiter::new("orders", local, store, events.clone());
        let now = Instant::now();
        let mut passed = 0;
        for _ in 0..50 {
            passed += u32::from(limiter.check(&text("acme"), now).await.is_ok());
        }
        assert_eq!((passed, limiter.alone(), limiter.limited()), (10, 50, 40));
        assert!(!limiter.is_shared());
        drop((limiter, events));
        let event = told.next().await.expect("told");
        assert_eq!(event.kind(), "rate_limit_alone");
        assert_eq!(told.next().await, None, "once");
    }
}
