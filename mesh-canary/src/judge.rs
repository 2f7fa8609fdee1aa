//! The analyzers that come with the mesh.
//!
//! [`Sequential`] compares the canary with the stable version at the same time, looks as often as it likes, and is
//! wrong about a good canary in no more than a stated share of rollouts. [`Threshold`] compares with fixed limits, as
//! the `successCriteria` and `rollbackCriteria` of a configuration say. It is easy to explain and it does not look
//! at the stable version: an outage that hits both rolls the canary back.

mod analysed;
mod criteria;
mod observation;
pub mod sequential;
pub mod threshold;

pub use analysed::WithTemplates;
pub use criteria::{Criteria, CriteriaError};
pub(crate) use criteria::{FEWEST, proving};
pub use sequential::Sequential;
pub use threshold::Threshold;

#[cfg(test)]
mod tests;
