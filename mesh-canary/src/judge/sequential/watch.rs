//! A limit of the rollback criteria, watched for both versions.

use std::time::Duration;

use mesh_core::metric::Traffic;

use super::latency::certainly_slower;
use crate::analyzer::Window;
use crate::statistics::{Ailing, Guard, Odds, Tally};

/// What is limited.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    /// The share of errors. One user that asks again and again for what fails is no share of anything.
    Errors(f64),
    /// The 95th percentile of latencies: no more than 5 % are slower.
    P95(Duration),
}

impl Limit {
    /// The share of bad ones that is allowed.
    fn share(self) -> f64 {
        match self {
            Self::Errors(rate) => rate,
            Self::P95(_) => 0.05,
        }
    }

    fn count(self, traffic: &Traffic) -> Tally {
        match self {
            Self::Errors(_) => {
                let repeats = traffic.repeats;
                let of = traffic.requests.saturating_sub(repeats.requests);
                Tally::new(traffic.errors.saturating_sub(repeats.errors).min(of), of)
            }
            Self::P95(limit) => certainly_slower(traffic, limit).unwrap_or_default(),
        }
    }
}

/// From here on the stable version is suspected: what the canary does then is not held against it.
/// Low, since a mild outage shows in both versions at about the same time, and chance decides in which one first.
const SUSPICION: f64 = 2.0;

/// Whether the canary exceeds a limit that the stable version keeps.
pub(super) struct Watch {
    pub(super) limit: Limit,
    odds: Odds,
    canary_alone: Guard,
    canary: Ailing,
    stable: Ailing,
}

impl Watch {
    pub(super) fn new(limit: Limit, planned: Duration, enough: f64) -> Self {
        Self {
            limit,
            odds: Odds::above(limit.share()),
            canary_alone: Guard::at_any_time(limit.share(), planned),
            canary: Ailing::new(enough),
            stable: Ailing::new(enough),
        }
    }

    pub(super) fn observe(&mut self, window: &Window) {
        let canary = self.limit.count(&window.canary);
        let ratios = self.odds.ratios(canary);
        self.canary.observe(ratios);
        self.stable
            .observe(self.odds.ratios(self.limit.count(&window.stable)));
        // Which windows count is decided by the stable version alone, so that it is no choice among the canary's.
        let held_against = if self.suspects_stable() {
            Tally::default()
        } else {
            canary
        };
        self.canary_alone
            .observe_ratios(held_against, ratios, window.length());
    }

    /// How strongly it speaks against the canary: not at all while the stable version is suspected.
    pub(super) fn evidence(&self) -> f64 {
        if self.suspects_stable() {
            0.0
        } else {
            self.canary_alone.evidence()
        }
    }

    /// Whether the stable version may exceed the limit at present.
    pub(super) fn suspects_stable(&self) -> bool {
        self.stable.evidence() >= SUSPICION
    }

    /// Whether both versions exceed the limit at present.
    pub(super) fn both_ail(&self, enough: f64) -> bool {
        self.canary.evidence() >= enough && self.stable.evidence() >= enough
    }
}
