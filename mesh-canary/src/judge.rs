//! The analyzers that come with the mesh.
//!
//! [`Threshold`] compares with fixed limits, as the `successCriteria` and `rollbackCriteria` of a configuration
//! say. It is easy to explain and it does not look at the stable version: an outage that hits both rolls the
//! canary back.

pub mod threshold;

pub use threshold::{Criteria, Threshold};
