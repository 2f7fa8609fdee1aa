//! Trying again what failed: after failures that a policy names, for requests that may be sent twice, and within a
//! budget.
//!
//! A [`RetryPolicy`] says what, how often and when; a [`RetryBudget`] how much in all. [`Retries`] is both at work, and a
//! [`RetryLayer`] is that around a service.

mod budget;
mod condition;
mod discard;
mod hint;
mod idempotent;
mod judge;
mod judged;
mod layer;
mod outcome;
mod peek;
mod policy;
pub(crate) mod replay;
mod retries;
mod service;
pub(crate) mod tries;

pub use crate::sender::SendFuture;
pub use budget::{BudgetConfig, BudgetConfigError, BudgetPolicy, RetryBudget};
pub use condition::{RetryOn, RetryOnError};
pub use idempotent::Idempotent;
pub use layer::RetryLayer;
pub use outcome::RetryOutcome;
pub use policy::RetryPolicy;
pub use retries::Retries;
pub use service::RetryService;
