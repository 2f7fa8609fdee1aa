//! Rate limits: how much passes, counted by what.
//!
//! A [`RateLimiter`] gives each key a [`Quota`]; a [`RateLimitLayer`] asks it in front of any service, by a key
//! that a [`KeyExtractor`](mesh_core::KeyExtractor) finds in the request. The algorithm is the generic cell
//! rate algorithm (GCRA): a token bucket that needs one number a key.

mod allowances;
mod layer;
mod limited;
mod limiter;
mod quota;
mod service;

pub use layer::RateLimitLayer;
pub use limited::Limited;
pub use limiter::{RateLimiter, RateLimiterBuilder};
pub use quota::{Quota, QuotaError};
pub use service::RateLimitService;
