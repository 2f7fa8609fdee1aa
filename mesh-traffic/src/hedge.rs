//! Hedging: a second request beside one that takes longer than most, within the budget of retries.

mod hedges;
mod latencies;
mod layer;
mod policy;
mod race;
mod service;

pub use crate::sender::SendFuture;
pub use hedges::{HedgeOutcome, Hedges};
pub use layer::HedgeLayer;
pub use policy::{HedgeConfig, HedgeConfigError, HedgePolicy};
pub use service::HedgeService;
