//! Whether the traffic was split as it was to be.

use super::Tally;
use super::special::{ln_beta, times_ln, times_ln_rest};

/// How sure the bet is that the split is about right: about so many requests are needed to see otherwise.
const CONCENTRATION: f64 = 100.0;

/// Weighs whether the canary got another share of the requests than it was to get. If so, something between the
/// rollout and the requests does not do what it was told, and the versions cannot be compared. It is nobody's
/// fault: neither version is blamed.
///
/// Only for requests that are split one by one. Where users stay with their version, a busy one moves many requests
/// at once.
///
/// ```
/// use mesh_canary::statistics::{SplitCheck, Tally};
///
/// let check = SplitCheck::of(0.05);
/// assert!(check.evidence(Tally { bad: 530, of: 10_000 }) < 1.0);
/// assert!(check.evidence(Tally { bad: 1000, of: 10_000 }) > 1e6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitCheck {
    share: f64,
}

impl SplitCheck {
    /// The canary was to get this share, 0 to 1.
    pub fn of(share: f64) -> Self {
        Self { share }
    }

    /// How strongly it speaks against the split; `seen` are the requests of the canary among all, with this share
    /// the whole time. Chance alone takes it above x, at whatever moment, in at most one of x splits. A share of
    /// nothing or everything is nothing to be weighed.
    pub fn evidence(&self, seen: Tally) -> f64 {
        if !(self.share > 0.0 && self.share < 1.0) {
            return 1.0;
        }
        let (canary, stable) = (seen.bad as f64, (seen.of - seen.bad) as f64);
        let (a, b) = (CONCENTRATION * self.share, CONCENTRATION * (1.0 - self.share));
        let mixed = ln_beta(a + canary, b + stable) - ln_beta(a, b);
        let as_told = times_ln(canary, self.share) + times_ln_rest(stable, self.share);
        (mixed - as_told).exp()
    }
}
