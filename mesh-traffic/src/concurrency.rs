//! Concurrency: how many requests are under way at once, and who waits when it is enough.
//!
//! A rate says how often; what overloads a service is how much it does at once. A [`ConcurrencyLimit`] is a number, or
//! one that [follows the latency](AdaptiveConfig): it grows as long as answers come as fast as from a service at rest.
//! Those beyond it wait a while in a bounded line instead of being refused at once, the important ones in front. What
//! would come too late is not done at all.
//!
//! - `gradient` is the number that follows the latency, `line` who waits: plain state, with the time and the randomness
//!   as arguments.
//! - `limiter` is what all cores share: while there is room it is one atomic step, without a lock.

mod config;
mod future;
mod gradient;
mod layer;
mod limiter;
mod line;
mod priority;
mod service;
mod ticket;

pub use config::{AdaptiveConfig, ConcurrencyConfigError, ConcurrencyLimit, Waiting};
pub use future::{ConcurrencyBody, ConcurrencyFuture, UnderWay};
pub use layer::ConcurrencyLayer;
pub use limiter::ConcurrencyLimiter;
pub use priority::{NoPriority, Priority, PriorityBy};
pub use service::ConcurrencyService;
pub use ticket::Ticket;
