//! How often a version fails at most, and at least.

use super::Tally;
use super::special::{ln_beta, times_ln, times_ln_rest, turn};

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
    enough: f64,
}

impl Confidence {
    /// Bounds that are wrong in `error` of all rollouts (0 to 1).
    pub fn new(error: f64) -> Self {
        Self {
            a: 1.0,
            b: 1.0,
            enough: -error.clamp(f64::MIN_POSITIVE, 1.0).ln(),
        }
    }

    /// The same, closest where a version fails clearly less often than `limit`, so that fewer requests prove it.
    pub fn of_at_most(limit: f64, error: f64) -> Self {
        Self {
            b: 3.0 / limit.clamp(1e-9, 1.0),
            ..Self::new(error)
        }
    }

    /// The highest share of failures that can be.
    pub fn upper(&self, seen: Tally) -> f64 {
        let share = seen.share().unwrap_or(0.0);
        if seen.of == 0 || !self.excludes(1.0 - f64::EPSILON, seen.bad as f64, seen.of as f64) {
            return 1.0;
        }
        turn(share, 1.0, |p| self.excludes(p, seen.bad as f64, seen.of as f64))
    }

    /// The lowest share of failures that can be.
    pub fn lower(&self, seen: Tally) -> f64 {
        let Some(share) = seen.share() else { return 0.0 };
        if !self.excludes(f64::MIN_POSITIVE, seen.bad as f64, seen.of as f64) {
            return 0.0;
        }
        1.0 - turn(1.0 - share, 1.0, |rest| {
            self.excludes(1.0 - rest, seen.bad as f64, seen.of as f64)
        })
    }

    /// Whether the share of failures is at most `limit`.
    pub fn proves_at_most(&self, limit: f64, seen: Tally) -> bool {
        limit >= 1.0 || self.proves(limit, seen.bad as f64, seen.of as f64)
    }

    /// Whether the share of failures is more than `limit`.
    pub fn proves_more_than(&self, limit: f64, seen: Tally) -> bool {
        let above = seen.share().is_some_and(|share| share > limit);
        above && self.excludes(limit.max(f64::MIN_POSITIVE), seen.bad as f64, seen.of as f64)
    }

    /// How many it takes to prove `limit` if they go on to fail as often as so far; `None` if they fail too often
    /// for that.
    pub fn needed(&self, limit: f64, so_far: Tally) -> Option<u64> {
        let share = so_far.share().unwrap_or(0.0);
        let proven = |of: f64| self.proves(limit, share * of, of);
        let most = 1e12;
        if limit >= 1.0 {
            return Some(0);
        }
        if !proven(most) {
            return None;
        }
        // The numbers span many powers of ten: halve their logarithms.
        Some(turn(0.0, most.ln(), |of| proven(of.exp())).exp().ceil() as u64)
    }

    fn proves(&self, limit: f64, bad: f64, of: f64) -> bool {
        of > 0.0 && bad / of < limit && self.excludes(limit, bad, of)
    }

    /// Whether what was seen is so much less likely under this share than under the others.
    fn excludes(&self, p: f64, bad: f64, of: f64) -> bool {
        let mixed = ln_beta(self.a + bad, self.b + of - bad) - ln_beta(self.a, self.b);
        mixed - times_ln(bad, p) - times_ln_rest(of - bad, p) >= self.enough
    }
}
