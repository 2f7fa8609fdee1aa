//! Traffic policies as values: which way a request goes, how much of it is let through, what happens when
//! it fails.
//!
//! - [`router`]: rules and services compiled into a [`RouteTable`], asked once a request, without a lock
//!   and without an allocation.
//! - [`route`]: the [`RouteLayer`], which asks it in front of any service.
//! - [`limit`]: the [`RateLimitLayer`], which lets only so much pass, counted by whatever a request tells.
//! - [`fault`]: the [`FaultLayer`], which makes trouble on purpose.
//! - [`deadline`]: the [`DeadlineLayer`], which ends what is not answered in time.
//! - [`concurrency`]: the [`ConcurrencyLayer`], which lets only so many be under way at once.
//! - [`breaker`]: the [`BreakerLayer`], which gives a service that keeps failing a rest.
//! - [`mirror`]: the [`MirrorLayer`], which sends copies of requests to another service.
//! - `compression`, with the feature of that name: the `CompressionLayer`, which makes responses smaller.
//! - [`retry`]: the [`RetryLayer`], which tries again what failed, within a budget.
//! - [`hedge`]: the [`HedgeLayer`], which sends a second request when the first takes long.
//!
//! Each policy is plain data with time and randomness as arguments: it decides the same in production, in a
//! unit test and in a simulation.

mod answer;
pub mod breaker;
#[cfg(feature = "compression")]
pub mod compression;
pub mod concurrency;
pub mod deadline;
pub mod fault;
pub mod hedge;
pub mod limit;
pub mod mirror;
pub mod retry;
pub mod route;
pub mod router;
mod sender;
mod sync;

pub use answer::AnswerFuture;
pub use breaker::{BreakerLayer, ServiceBreaker};
#[cfg(feature = "compression")]
pub use compression::CompressionLayer;
pub use concurrency::{ConcurrencyLayer, ConcurrencyLimiter};
pub use deadline::DeadlineLayer;
pub use fault::{FaultLayer, Faults};
pub use hedge::{HedgeLayer, HedgePolicy};
pub use limit::{Quota, RateLimitLayer, RateLimiter};
pub use mesh_core::{KeyBy, KeyExtractor, RequestKey};
pub use mirror::{Mirror, MirrorLayer};
pub use retry::{RetryBudget, RetryLayer, RetryPolicy};
pub use route::{RouteLayer, Routes};
pub use router::{
    Condition, Decision, Destination, LiveSplit, LiveSplits, NoRoute, RouteTable, Rule, RuleAction, Service,
};
