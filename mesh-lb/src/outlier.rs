//! Which endpoints are worse than they should be, and which of them may be left out.
//!
//! Two tests find them: failures one after another (the [`Breaker`](mesh_core::Breaker) of the endpoint, with
//! [`OutlierConfig::breaker`]), and, between its peers, a success rate that stands out ([`SuccessRateTest`]).
//! [`EjectionCap`] has the last word: it never lets all of a service be left out.

mod config;
mod ejection;
mod success_rate;

pub use config::OutlierConfig;
pub use ejection::{Ejected, EjectionCap, Spared, Standing};
pub use success_rate::{Counts, Outlier, SuccessRateTest, SwapCounts};
