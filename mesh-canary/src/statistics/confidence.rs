//! How often a version fails at most, and at least.

use super::Tally;
use super::special::{HALVINGS, ln_beta, times_ln, times_ln_rest, turn};

/// Bounds of the share of failures that hold at all times at once, except in a stated share of rollouts.
///
/// ```
/// use mesh_canary::statistics::{Confidence, Tally};
///
/// // 1000 requests without a failure: with 95 % confidence at most 1 % fail, even if one looked after each.
/// let confidence = Confidence::new(0.05);
/// assert!(confidence.upper(Tally::new(0, 1000)) < 0.01);
///
/// // Fewer are enough if it is known beforehand what has to be proven.
/// let confidence = Confidence::of_at_most(0.01, 0.05);
/// assert!(confidence.proves_at_most(0.01, Tally::new(0, 400)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    a: f64,
    b: f64,
    /// The logarithm of the beta function of the two.
    beta: f64,
    enough: f64,
}

impl Confidence {
    /// Bounds that are wrong in `error` of all rollouts (0 to 1).
    pub fn new(error: f64) -> Self {
        Self::mixed_by(1.0, error)
    }

    /// The same, closest where a version fails clearly less often than `limit`, so that fewer requests prove it.
    pub fn of_at_most(limit: f64, error: f64) -> Self {
        Self::mixed_by(3.0 / limit.clamp(1e-9, 1.0), error)
    }

    fn mixed_by(b: f64, error: f64) -> Self {
        let a = 1.0;
        Self {
            a,
            b,
            beta: ln_beta(a, b),
            enough: -error.clamp(f64::MIN_POSITIVE, 1.0).ln(),
        }
    }

    /// The highest share of failures that can be.
    pub fn upper(&self, seen: Tally) -> f64 {
        let share = seen.share().unwrap_or(0.0);
        let excludes = self.exclusion(seen.bad as f64, seen.of as f64);
        if seen.of == 0 || !excludes(1.0 - f64::EPSILON) {
            return 1.0;
        }
        turn(share, 1.0, excludes)
    }

    /// The lowest share of failures that can be.
    pub fn lower(&self, seen: Tally) -> f64 {
        let Some(share) = seen.share() else { return 0.0 };
        let excludes = self.exclusion(seen.bad as f64, seen.of as f64);
        if !excludes(f64::MIN_POSITIVE) {
            return 0.0;
        }
        1.0 - turn(1.0 - share, 1.0, |rest| excludes(1.0 - rest))
    }

    /// Whether the share of failures is at most `limit`.
    pub fn proves_at_most(&self, limit: f64, seen: Tally) -> bool {
        limit >= 1.0 || self.proves(limit, seen.bad as f64, seen.of as f64)
    }

    /// Whether the share of failures is more than `limit`.
    pub fn proves_more_than(&self, limit: f64, seen: Tally) -> bool {
        let above = seen.share().is_some_and(|share| share > limit);
        above && self.exclusion(seen.bad as f64, seen.of as f64)(limit.max(f64::MIN_POSITIVE))
    }

    /// How many it takes to prove `limit` if they go on to fail as often as so far; `None` if they fail too often
    /// for that.
    pub fn needed(&self, limit: f64, so_far: Tally) -> Option<u64> {
        let share = so_far.share().unwrap_or(0.0);
        let proven = |of: f64| self.proves(limit, share * of, of);
        let most = 1e12_f64;
        if limit >= 1.0 {
            return Some(0);
        }
        if !proven(most) {
            return None;
        }
        // The numbers span many powers of ten: halve their logarithms, until there is one whole number left.
        let (mut low, mut high) = (0.0, most.ln());
        let (mut too_few, mut enough) = (f64::exp(low), f64::exp(high));
        for _ in 0..HALVINGS {
            // By how much an exponential may be off.
            const OFF: f64 = 1e-14;
            if (too_few * (1.0 - OFF)).ceil() == (enough * (1.0 + OFF)).ceil() {
                break;
            }
            let middle = f64::midpoint(low, high);
            let of = middle.exp();
            if proven(of) {
                (high, enough) = (middle, of);
            } else {
                (low, too_few) = (middle, of);
            }
        }
        Some(enough.ceil() as u64)
    }

    fn proves(&self, limit: f64, bad: f64, of: f64) -> bool {
        of > 0.0 && bad / of < limit && self.exclusion(bad, of)(limit)
    }

    /// Whether what was seen is so much less likely under a share than under the others.
    fn exclusion(&self, bad: f64, of: f64) -> impl Fn(f64) -> bool {
        let mixed = ln_beta(self.a + bad, self.b + of - bad) - self.beta;
        let enough = self.enough;
        move |p| mixed - times_ln(bad, p) - times_ln_rest(of - bad, p) >= enough
    }
}
