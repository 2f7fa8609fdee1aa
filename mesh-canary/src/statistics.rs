//! Statistics that stay true however often one looks.
//!
//! An ordinary test asked again at every tick is wrong sooner or later: it finds something in every second
//! rollout in which there is nothing. What is here is meant to be looked at all the time. It computes
//! *e-values*: bets against a hypothesis that win nothing on average while the hypothesis holds, so that chance
//! alone takes one above x, at whatever moment, in at most one of x rollouts.
//!
//! - [`Comparison`]: the canary fails more often than the stable version.
//! - [`Guard`]: the canary fails more often than it may.
//! - [`Confidence`]: how often the canary fails at most, and at least.
//! - [`SplitCheck`]: the traffic was not split as it was to be.
//!
//! [`judge::Sequential`](crate::judge::Sequential) puts them together. Who writes an analyzer of their own can use
//! them as they are.
//!
//! The ideas are from Lindon and Malek, *Anytime-Valid Inference for Multinomial Count Data* (2022), and Shin,
//! Ramdas and Rinaldo, *E-detectors* (2022).

mod comparison;
mod confidence;
mod guard;
mod mixture;
mod special;
mod split_check;

pub(crate) use comparison::AtShare;
pub use comparison::Comparison;
pub use confidence::Confidence;
pub use guard::Guard;
pub(crate) use guard::{Ailing, Odds};
pub use split_check::SplitCheck;

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many were bad: failed, or too slow.
    pub bad: u64,
    /// How many there were.
    pub of: u64,
}

impl Tally {
    /// So many bad ones of so many; never more bad ones than there are.
    pub fn new(bad: u64, of: u64) -> Self {
        Self { bad: bad.min(of), of }
    }

    /// The share of bad ones, nothing of nothing.
    pub fn share(self) -> Option<f64> {
        (self.of > 0).then(|| self.bad as f64 / self.of as f64)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            bad: self.bad.saturating_add(other.bad),
            of: self.of.saturating_add(other.of),
        }
    }
}

#[cfg(test)]
mod tests;
