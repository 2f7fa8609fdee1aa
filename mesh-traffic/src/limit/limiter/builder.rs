//! What is said of a limiter before it is there.

use std::sync::Arc;

use mesh_core::EventBus;

use super::RateLimiter;
use crate::limit::quota::Quota;

/// Makes a [`RateLimiter`]: [`RateLimiter::builder`].
///
/// ```
/// use mesh_core::event::{EventBus, MeshEvent};
/// use mesh_traffic::{Quota, RateLimiter, RequestKey};
/// use tokio::time::Instant;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let events = EventBus::default();
/// let mut told = events.subscribe();
/// let limiter = RateLimiter::builder(Quota::per_second(1)?).max_keys(1).telling("orders", events).build();
/// for key in ["a", "b"] {
///     assert!(limiter.check(Some(RequestKey::text(key)), Instant::now()).is_ok());
/// }
/// let crowded = MeshEvent::RateLimitCrowded { limit: "orders".into(), room: 1 };
/// assert_eq!(told.next().await.as_deref(), Some(&crowded));
/// # Ok::<(), mesh_core::BoxError>(())
/// # })?;
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RateLimiterBuilder {
    pub(super) quota: Quota,
    pub(super) max_keys: usize,
    pub(super) replicas: u32,
    pub(super) told_to: Option<(Arc<str>, EventBus)>,
}

impl RateLimiterBuilder {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            quota,
            max_keys: RateLimiter::MAX_KEYS,
            replicas: 1,
            told_to: None,
        }
    }

    /// How many keys are remembered. They lie in parts of about a thousand, each with its share of the room: when
    /// nearly all of it is used, one part may be full before the others are. With none at all, all keys share one
    /// allowance. Default [`RateLimiter::MAX_KEYS`].
    #[must_use]
    pub fn max_keys(self, max_keys: usize) -> Self {
        Self { max_keys, ..self }
    }

    /// Among how many replicas the quota is divided at first: [`RateLimiter::set_replicas`]. Default 1.
    #[must_use]
    pub fn replicas(self, replicas: u32) -> Self {
        let replicas = replicas.clamp(1, RateLimiter::MAX_REPLICAS);
        Self { replicas, ..self }
    }

    /// Tells, under this name, when there is no room for a key: at once, and then at most once a minute.
    #[must_use]
    pub fn telling(self, limit: impl Into<Arc<str>>, events: EventBus) -> Self {
        Self {
            told_to: Some((limit.into(), events)),
            ..self
        }
    }

    /// The limiter.
    pub fn build(self) -> RateLimiter {
        RateLimiter::build(self)
    }
}
