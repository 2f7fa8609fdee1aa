//! Whether a version fails more often than it may.

use std::time::Duration;

use super::Tally;
use super::mixture::Mixture;

/// How many times as often as it may: what is bet on.
const RATIOS: [f64; 5] = [1.3, 1.6, 2.0, 4.0, 10.0];

/// The least limit that is calculated with. A limit of zero is one that the first failure exceeds.
const LEAST: f64 = 1e-9;

/// Weighs whether a version fails more often than a limit allows. It knows nothing of the other version: an outage
/// that hits both exceeds the limit too.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::statistics::{Guard, Tally};
///
/// let minute = Duration::from_secs(60);
/// let mut guard = Guard::at_any_time(0.05, 30 * minute);
/// guard.observe(Tally::new(5, 100), minute); // 5 % is not above 5 %
/// assert!(guard.evidence() < 1.0);
/// guard.observe(Tally::new(30, 100), minute);
/// assert!(guard.evidence() > 1e6);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    odds: Odds,
    bets: Mixture<5>,
}

impl Guard {
    /// Bets on a version that exceeds the limit (a share of failures, 0 to 1) from the beginning on.
    pub fn from_the_start(limit: f64) -> Self {
        Self {
            odds: Odds::above(limit),
            bets: Mixture::from_the_start(),
        }
    }

    /// Bets on a version that exceeds the limit at any time of a rollout which is planned to take so long.
    pub fn at_any_time(limit: f64, planned: Duration) -> Self {
        Self {
            odds: Odds::above(limit),
            bets: Mixture::at_any_time(planned),
        }
    }

    /// Adds a stretch of time.
    pub fn observe(&mut self, seen: Tally, length: Duration) {
        self.observe_ratios(seen, self.odds.ratios(seen), length);
    }

    /// The same, where the ratios of this tally at the guard's limit are known.
    pub(crate) fn observe_ratios(&mut self, seen: Tally, ratios: [f64; 5], length: Duration) {
        if seen.of == 0 {
            return self.bets.pass(length);
        }
        self.bets.advance(length, ratios);
    }

    /// How strongly it speaks against the version: chance alone takes it above x, at whatever moment, in at most
    /// one of x rollouts.
    pub fn evidence(&self) -> f64 {
        self.bets.worth()
    }
}

/// Whether a version exceeds a limit *at present*. It never says that something is wrong for good: what was bad
/// is forgotten as soon as what comes is good.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ailing {
    running: [f64; 5],
    most: f64,
}

impl Ailing {
    /// Nothing seen yet. Evidence beyond `enough` is not kept, or it would take as long to forget.
    pub(crate) fn new(enough: f64) -> Self {
        Self {
            running: [1.0; 5],
            most: 10.0 * enough,
        }
    }

    /// Adds what was seen, by its ratios.
    pub(crate) fn observe(&mut self, ratios: [f64; 5]) {
        for (running, ratio) in self.running.iter_mut().zip(ratios) {
            *running = (running.max(1.0) * ratio).min(self.most);
        }
    }

    pub(crate) fn evidence(&self) -> f64 {
        self.running.iter().sum::<f64>() / self.running.len() as f64
    }
}

/// Rates above a limit, and how much more or less likely than at the limit a failure and a success are under
/// each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Odds([(f64, f64); 5]);

impl Odds {
    pub(crate) fn above(limit: f64) -> Self {
        if limit >= 1.0 {
            return Self([(0.0, 0.0); 5]); // Nothing is above.
        }
        let limit = limit.max(LEAST);
        let highest = (0.5 + limit / 2.0).max(0.9);
        Self(RATIOS.map(|ratio| {
            // Around a limit of nothing, multiples of it are nothing as well.
            let rate = (ratio * limit.max(1e-4)).min(highest);
            ((rate / limit).ln(), (-rate).ln_1p() - (-limit).ln_1p())
        }))
    }

    /// How many times as likely as at the limit it is to see this, under each rate.
    pub(crate) fn ratios(&self, seen: Tally) -> [f64; 5] {
        if seen.of == 0 {
            return [1.0; 5];
        }
        let (bad, good) = (seen.bad as f64, (seen.of - seen.bad) as f64);
        self.0
            .map(|(failure, success)| (bad * failure + good * success).exp())
    }
}
