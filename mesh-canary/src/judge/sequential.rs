//! A sequential test against the stable version.

use std::time::Duration;

use super::criteria::{Criteria, CriteriaError, FEWEST, Limits, proving};
use crate::analyzer::{CanaryAnalyzer, Doubt, Evidence, Finding, Number, Reason, Verdict};
use crate::statistics::{SplitCheck, Tally};

mod gate;
mod latency;
mod watch;
mod weighing;

use weighing::Weighing;

/// Judges by what the canary does worse than the stable version at the same time.
///
/// 1. **Rollback** if the evidence against the canary reaches `1 / falseRollback`. It is weighed from whether it
///    fails more often than the stable version, whether it is slower, and whether it exceeds a limit of the
///    rollback criteria while the stable version does not. A canary that is no worse than the stable version and
///    within the limits is rolled back in at most the share `falseRollback` of rollouts, however often one looks.
/// 2. **Inconclusive** if both versions exceed a limit of the rollback criteria: something else is broken. Also if
///    requests are not split as they were to be, if the canary is proven to miss the success criteria without
///    being worse than the stable version, and if nothing is proven in [`patience`](Self::patience).
/// 3. **Promote** if the canary is proven to keep the success criteria, by all requests so far, and does keep them
///    in this stage.
/// 4. **Continue** until then, with how long it will take at the present rate of requests.
///
/// A few requests prove nothing: 1 % errors at most need about 460 requests without one. The window of the
/// success criteria is a least time in the stage, the window of the rollback criteria only what is shown.
///
/// Where users stay with their version, [`sticky`](Self::sticky) has to be told: one user that fails a thousand times
/// would look like a thousand failures.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::judge::Sequential;
/// use mesh_canary::{CanaryAnalyzer, Evidence, Stage, Window};
/// use mesh_core::metric::Traffic;
///
/// let s = Duration::from_secs;
/// let counted = |requests, errors| Traffic { requests, errors, ..Traffic::default() };
/// let mut evidence = Evidence::new(Stage::new(0, 5, s(0))).with_planned(s(1800));
///
/// // 0.1 % of the stable version's requests fail, and 1.2 % of the canary's.
/// let judge = Sequential::default();
/// for at in (0..60).step_by(5) {
///     let window = Window::new(s(at), s(at + 5)).with_weight(5);
///     evidence.push(window.with_stable(counted(4750, 5)).with_canary(counted(250, 3)))?;
/// }
/// let verdict = judge.judge(&evidence);
/// assert!(verdict.to_string().starts_with("rollback: error rate 1.2% (at most 0.105%"), "{verdict}");
/// # Ok::<(), mesh_canary::EvidenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sequential {
    success: Limits,
    rollback: Limits,
    false_rollback: f64,
    tolerated: f64,
    sticky: bool,
    patience: Duration,
}

/// How long a rollout is thought to take if nobody says.
const PLANNED: Duration = Duration::from_secs(3600);

/// How often a split that is right may be called wrong.
const FALSE_MISMATCH: f64 = 0.001;

/// A split that is wrong by less than this part of the smaller share does no harm: observed shares are compared.
const HARMLESS_MISMATCH: f64 = 0.1;

impl Sequential {
    /// Judges by these criteria. [`Criteria::min_requests`] of the success criteria is the least number of the
    /// canary's requests in a stage; by default as many as tell it from one that fails as often as the rollback
    /// criteria allow (59 for 5 %).
    ///
    /// # Errors
    /// Criteria without a limit or without a window, a rate that is not a ratio, a limit or a number of requests
    /// of zero where that makes no sense, or a success that is also a rollback.
    pub fn new(success: Criteria, rollback: Criteria) -> Result<Self, CriteriaError> {
        let least = rollback.error_rate_limit().map_or(FEWEST, proving);
        let (success, rollback) = Limits::pair(success, least, rollback, FEWEST)?;
        Ok(Self::with(success, rollback))
    }

    fn with(success: Limits, rollback: Limits) -> Self {
        Self {
            success,
            rollback,
            false_rollback: 0.01,
            tolerated: 1.0,
            sticky: false,
            patience: Duration::from_secs(3600),
        }
    }

    /// How often a good canary may be rolled back, as a share of rollouts. The default is 0.01.
    ///
    /// # Errors
    /// It is not above 0 and below 1.
    pub fn false_rollback(mut self, share: f64) -> Result<Self, CriteriaError> {
        if !(share > 0.0 && share < 1.0) {
            return Err(CriteriaError::new(
                "analysis.falseRollback",
                share,
                "a ratio above 0 and below 1 (0.01 is 1%)",
            ));
        }
        self.false_rollback = share;
        Ok(self)
    }

    /// Tolerates a canary that fails, or is slow, up to so many times as often as the stable version. The default is
    /// 1; less than that is 1.
    #[must_use]
    pub fn tolerate(mut self, ratio: f64) -> Self {
        self.tolerated = ratio.max(1.0);
        self
    }

    /// Whether users stay with the version they got. The default is that each request is split anew.
    ///
    /// Errors are then compared by [`Traffic::failed_users`], which have to be known: users by their *first* error
    /// with either version. Latencies are not compared, only held against the limits.
    ///
    /// [`Traffic::failed_users`]: mesh_core::metric::Traffic::failed_users
    #[must_use]
    pub fn sticky(mut self, sticky: bool) -> Self {
        self.sticky = sticky;
        self
    }

    /// How long a stage may go on without a proof before somebody has to look. The default is an hour.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How strong the evidence has to be.
    fn enough(&self) -> f64 {
        1.0 / self.false_rollback
    }

    /// Whether requests of this stage were split as they were to be.
    fn mismatch(&self, evidence: &Evidence) -> Option<Finding> {
        let share = f64::from(evidence.stage().weight) / 100.0;
        if self.sticky {
            return None;
        }
        // In the first window of a stage, requests end that were split by the weights before.
        let windows = evidence.stage_windows().iter().skip(1);
        let windows = windows.filter(|window| window.weight == evidence.stage().weight);
        let (mut seen, mut span) = (Tally::default(), Duration::ZERO);
        for window in windows {
            let (canary, stable) = (window.canary.requests, window.stable.requests);
            seen = seen.plus(Tally::new(canary, canary.saturating_add(stable)));
            span = span.saturating_add(window.length());
        }
        let got = seen.share()?;
        let harmless = HARMLESS_MISMATCH * share.min(1.0 - share);
        if (got - share).abs() <= harmless || SplitCheck::of(share).evidence(seen) < 1.0 / FALSE_MISMATCH {
            return None;
        }
        let (got, share) = (Number::Ratio(got), Number::Ratio(share));
        let what = "the canary's share of the requests";
        let finding = if seen.share()? > f64::from(evidence.stage().weight) / 100.0 {
            Finding::at_most(what, got, share)
        } else {
            Finding::at_least(what, got, share)
        };
        Some(finding.seen(seen.of, span))
    }
}

/// With the limits of the mesh's documentation: success with at most 1 % errors and a P95 of at most 500 ms over at
/// least 5 minutes, rollback above 5 % or above 1 s.
impl Default for Sequential {
    fn default() -> Self {
        let (success, rollback) = Limits::documented(proving(0.05), FEWEST);
        Self::with(success, rollback)
    }
}

impl CanaryAnalyzer for Sequential {
    fn judge(&self, evidence: &Evidence) -> Verdict {
        let weighing = Weighing::of(self, evidence);
        let told = |reason: Reason| reason.with_evidence(weighing.evidence());
        if let Some(findings) = weighing.alarm(evidence.windows()) {
            return Verdict::Rollback(told(Reason::new(findings)));
        }
        if let Some(finding) = weighing.both_ail(evidence.windows()) {
            return Verdict::Inconclusive(Doubt::BaselineUnhealthy, told(finding.into()));
        }
        if let Some(finding) = self.mismatch(evidence) {
            return Verdict::Inconclusive(Doubt::SplitMismatch, told(finding.into()));
        }
        if let Some(finding) = weighing.unknown_users() {
            return Verdict::Inconclusive(Doubt::NotMeasured, told(finding.into()));
        }
        let seen = gate::Seen {
            evidence,
            stable_was_well: weighing.stable_was_well(),
        };
        match gate::decide(self, &seen) {
            gate::Passage::Open(reason) => Verdict::Promote(told(reason)),
            gate::Passage::Closed(reason) => Verdict::Continue(told(reason)),
            gate::Passage::Doubtful(doubt, reason) => Verdict::Inconclusive(doubt, told(reason)),
        }
    }
}

#[cfg(test)]
mod tests;
