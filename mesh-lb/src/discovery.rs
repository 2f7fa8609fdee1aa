//! Where endpoints come from.

mod fixed;

pub use fixed::{Fixed, FixedWatch};
