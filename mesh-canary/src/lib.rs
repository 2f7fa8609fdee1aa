//! Canary rollouts: evidence in, a verdict out, promotion or rollback.
//!
//! - [`analyzer`]: the trait [`CanaryAnalyzer`], what it is given ([`Evidence`]) and what it answers
//!   ([`Verdict`]).
//! - [`judge`]: the analyzers that come with the mesh.
//! - [`statistics`]: what they count on, for analyzers of your own.
//! - [`template`]: analysis templates, the mesh's own and those of Argo Rollouts, and the [`expression`]s in them.
//! - [`plan`]: the stages of a rollout and what ends each; [`rollout`]: the state machine that goes through them;
//!   [`log`]: its decisions, which its state is made of again; [`store`]: where they are kept.
//! - [`simulate`]: all that in virtual time, to try a plan before it meets users.
//! - `source`: a Prometheus server as a source of numbers, with the feature `prometheus`.
//!
//! Judging is a pure function of everything seen since the rollout began. The same analyzer therefore decides
//! the same in production, in a test, in a replay of an old rollout and in a simulation.
//!
//! ```
//! use std::time::Duration;
//! use mesh_canary::judge::Threshold;
//! use mesh_canary::{CanaryAnalyzer, Evidence, Stage, Verdict, Window};
//! use mesh_core::metric::{Histogram, Traffic};
//!
//! // Five minutes in which the canary answered 1500 requests, 3 of them with an error, in at most 250 ms.
//! let edges = [Duration::from_millis(250), Duration::from_secs(1)];
//! let mut evidence = Evidence::new(Stage::new(0, 5, Duration::ZERO));
//! evidence.push(
//!     Window::new(Duration::ZERO, Duration::from_secs(300)).with_weight(5).with_canary(Traffic {
//!         requests: 1500,
//!         errors: 3,
//!         latency: Histogram::new(edges.into(), vec![1500, 0, 0]).expect("three counts for two edges"),
//!         ..Traffic::default()
//!     }),
//! )?;
//!
//! let verdict = Threshold::default().judge(&evidence);
//! assert!(matches!(verdict, Verdict::Promote(_)), "{verdict}");
//! # Ok::<(), mesh_canary::EvidenceError>(())
//! ```

pub mod analyzer;
pub mod controller;
pub mod expression;
pub mod judge;
pub mod log;
pub mod plan;
pub mod rollout;
pub mod simulate;
#[cfg(feature = "prometheus")]
pub mod source;
pub mod statistics;
pub mod store;
pub mod template;

pub use analyzer::{
    Analysed, Bound, CanaryAnalyzer, Compared, Contrast, Doubt, Evidence, EvidenceError, Finding, Interval,
    Mark, Memory, Number, Observed, Reason, Stage, Standing, Verdict, Window,
};
