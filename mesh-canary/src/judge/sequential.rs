//! A sequential test against the stable version.

use std::time::Duration;

use super::criteria::{Criteria, CriteriaError, FEWEST, Limits, proving};
use crate::analyzer::{CanaryAnalyzer, Evidence, Memory, Verdict};

mod gate;
mod latency;
mod progress;
mod split;
mod watch;
mod weighing;

use progress::Progress;

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
/// assert!(verdict.to_string().starts_with("rollback: error rate 1.2% (significantly more than the stable version, stable 0.105%"), "{verdict}");
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
        self.judge_with(evidence, &mut Memory::default())
    }

    fn judge_with(&self, evidence: &Evidence, memory: &mut Memory) -> Verdict {
        let known = memory.take::<Progress>();
        let known = known.filter(|known| known.is_of(self, evidence));
        let mut progress = known.unwrap_or_else(|| Box::new(Progress::new(self, evidence)));
        progress.follow(evidence);
        let verdict = progress.verdict(evidence);
        memory.keep(progress);
        verdict
    }
}

#[cfg(test)]
mod tests;
