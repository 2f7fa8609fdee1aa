//! Where numbers come from, besides what the mesh counts itself.
//!
//! A source that does not answer is an error, and an error is no verdict: what is measured by it is tried again, and
//! a rollout waits meanwhile.

mod prometheus;

pub use prometheus::{Prometheus, PrometheusUrlError};
