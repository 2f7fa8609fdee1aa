//! Whether the canary fails more often than the stable version.

use std::cell::OnceCell;
use std::time::Duration;

use super::mixture::Mixture;

/// How many times as often as tolerated the canary may fail: what is bet on.
const RATIOS: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];

/// Weighs whether the canary fails more often than the stable version, at the same time and in the same
/// conditions.
///
/// Given that something failed, a canary that is no worse has it with the probability of its share of the
/// traffic, whatever the rate of failures is and however it changes. So an outage that hits both, a change of
/// load, and the time of day do not matter. What did not fail does not matter either.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::statistics::Comparison;
///
/// let minute = Duration::from_secs(60);
/// let mut comparison = Comparison::at_any_time(30 * minute);
/// comparison.observe(0.05, 1, 19, minute); // its share of the failures is its share of the traffic
/// assert!(comparison.evidence() < 1.0);
/// comparison.observe(0.05, 9, 1, minute); // nearly all failures are its
/// assert!(comparison.evidence() > 1e6);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    tolerated: f64,
    ln_ratios: [f64; 7],
    bets: Mixture<7>,
}

/// A share of the traffic, and what each alternative expects there.
#[derive(Clone, Debug)]
pub(crate) struct AtShare {
    share: f64,
    tolerated: f64,
    /// How much less likely under each alternative, as a logarithm, the stable version has a failure.
    ln_stable: OnceCell<[f64; 7]>,
}

impl AtShare {
    /// A share, 0 to 1, for a comparison that tolerates so much.
    pub(crate) fn new(share: f64, tolerated: f64) -> Self {
        Self {
            share,
            tolerated,
            ln_stable: OnceCell::new(),
        }
    }

    pub(crate) fn share(&self) -> f64 {
        self.share
    }

    fn ln_stable(&self) -> &[f64; 7] {
        self.ln_stable.get_or_init(|| {
            let expected = ((self.tolerated - 1.0) * self.share).ln_1p();
            RATIOS.map(|ratio| expected - ((self.tolerated * ratio - 1.0) * self.share).ln_1p())
        })
    }
}

impl Comparison {
    /// Bets on a canary that is worse from the beginning on. Slow to see what gets worse later.
    pub fn from_the_start() -> Self {
        Self::of(Mixture::from_the_start())
    }

    /// Bets on a canary that gets worse at any time of a rollout which is planned to take so long. It may take
    /// longer.
    pub fn at_any_time(planned: Duration) -> Self {
        Self::of(Mixture::at_any_time(planned))
    }

    fn of(bets: Mixture<7>) -> Self {
        Self {
            tolerated: 1.0,
            ln_ratios: RATIOS.map(f64::ln),
            bets,
        }
    }

    /// Tolerates a canary that fails up to so many times as often as the stable version. The default is 1; less
    /// than that is 1.
    #[must_use]
    pub fn tolerate(mut self, ratio: f64) -> Self {
        self.tolerated = ratio.max(1.0);
        self
    }

    /// Adds a stretch of time in which the canary had `share` of the requests (0 to 1), and so many failures of
    /// the canary and of the stable version.
    ///
    /// Where each request is split anew, `share` is the observed one. Where users stay with their version,
    /// failures are the *first* failures of users, since one user may fail a thousand times, and `share` is the one
    /// that was configured.
    pub fn observe(&mut self, share: f64, canary: u64, stable: u64, length: Duration) {
        self.observe_at(&AtShare::new(share, self.tolerated), canary, stable, length);
    }

    /// The same, for several comparisons at one share.
    pub(crate) fn observe_at(&mut self, at: &AtShare, canary: u64, stable: u64, length: Duration) {
        let failures = canary.saturating_add(stable);
        // With one version alone there is nothing to compare; without failures all alternatives are as likely.
        if failures == 0 || !(at.share > 0.0 && at.share < 1.0) {
            return self.bets.pass(length);
        }
        let (canary, failures) = (canary as f64, failures as f64);
        let mut ratios = [0.0; 7];
        for ((ratio, ln_ratio), ln_stable) in ratios.iter_mut().zip(self.ln_ratios).zip(at.ln_stable()) {
            *ratio = (canary * ln_ratio + failures * ln_stable).exp();
        }
        self.bets.advance(length, ratios);
    }

    pub(crate) fn tolerated(&self) -> f64 {
        self.tolerated
    }

    /// How strongly it speaks against the canary: chance alone takes it above x, at whatever moment, in at most
    /// one of x rollouts.
    pub fn evidence(&self) -> f64 {
        self.bets.worth()
    }
}
