//! Rate limits: how much passes, counted by what.
//!
//! A [`RateLimiter`] gives each key a [`Quota`]; a [`RateLimitLayer`] asks it in front of any service, by a key
//! that a [`KeyExtractor`] finds in the request. The algorithm is the generic cell rate algorithm (GCRA): a
//! token bucket that needs one number a key.

mod allowances;
mod key;
mod layer;
mod limited;
mod limiter;
mod quota;
mod service;

pub(crate) use key::is_token;
pub use key::{KeyBy, KeyByError, KeyExtractor, LimitKey};
pub use layer::RateLimitLayer;
pub use limited::Limited;
pub use limiter::RateLimiter;
pub use quota::{Quota, QuotaError};
pub use service::RateLimitService;
