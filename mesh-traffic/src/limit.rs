//! Rate limits: how much passes, counted by what.
//!
//! A [`RateLimiter`] gives each key a [`Quota`]; a [`RateLimitLayer`] asks it in front of any service, by a key
//! that a [`KeyExtractor`](mesh_core::KeyExtractor) finds in the request. The algorithm is the generic cell
//! rate algorithm (GCRA): a token bucket that needs one number a key.
//!
//! Replicas of one service keep a limit together by dividing it ([`RateLimiter::set_replicas`]), which needs nobody
//! else and is exact while requests are spread evenly; or, with the feature `redis`, by counting in one place
//! (`SharedLimiter`), which costs a round trip a request.

mod allowances;
mod layer;
mod limited;
mod limiter;
mod quota;
mod service;
#[cfg(feature = "redis")]
mod shared;

pub use layer::RateLimitLayer;
pub use limited::Limited;
pub use limiter::{RateLimiter, RateLimiterBuilder};
pub use quota::{Quota, QuotaError};
pub use service::RateLimitService;
#[cfg(feature = "redis")]
pub use shared::{RedisError, RedisStore, SharedKey, SharedLimitLayer, SharedLimitService, SharedLimiter};
