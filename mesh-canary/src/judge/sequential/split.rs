//! Whether the requests of a stage were split as they were to be.

use std::time::Duration;

use crate::analyzer::{Finding, Number, Window};
use crate::statistics::{SplitCheck, Tally};

/// How often a split that is right may be called wrong.
const FALSE_MISMATCH: f64 = 0.001;

/// A split that is wrong by less than this part of the smaller share does no harm: observed shares are compared.
const HARMLESS_MISMATCH: f64 = 0.1;

/// The split of one stage.
pub(super) struct Split {
    weight: u8,
    /// In the first window of a stage, requests end that were split by the weights before.
    begun: bool,
    seen: Tally,
    span: Duration,
}

impl Split {
    /// The canary is to get so many percent.
    pub(super) fn of(weight: u8) -> Self {
        Self {
            weight,
            begun: false,
            seen: Tally::default(),
            span: Duration::ZERO,
        }
    }

    pub(super) fn observe(&mut self, window: &Window) {
        if std::mem::replace(&mut self.begun, true) && window.weight == self.weight {
            let (canary, stable) = (window.canary.requests, window.stable.requests);
            let here = Tally::new(canary, canary.saturating_add(stable));
            self.seen = self.seen.plus(here);
            self.span = self.span.saturating_add(window.length());
        }
    }

    pub(super) fn mismatch(&self) -> Option<Finding> {
        let share = f64::from(self.weight) / 100.0;
        let got = self.seen.share()?;
        let harmless = HARMLESS_MISMATCH * share.min(1.0 - share);
        if (got - share).abs() <= harmless || SplitCheck::of(share).evidence(self.seen) < 1.0 / FALSE_MISMATCH
        {
            return None;
        }
        let what = "the canary's share of the requests";
        let finding = if got > share {
            Finding::at_most(what, Number::Ratio(got), Number::Ratio(share))
        } else {
            Finding::at_least(what, Number::Ratio(got), Number::Ratio(share))
        };
        Some(finding.seen(self.seen.of, self.span))
    }
}
