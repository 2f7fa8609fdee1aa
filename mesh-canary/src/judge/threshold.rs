//! Fixed limits: the `successCriteria` and `rollbackCriteria` of a configuration.

use super::criteria::{Criteria, CriteriaError, FEWEST, Limits, proving};
use super::observation::Observation;
use crate::analyzer::{CanaryAnalyzer, Doubt, Evidence, Mark, Memory, Reason, Stage, Verdict};

/// Judges by fixed limits.
///
/// 1. **Rollback** if the canary exceeds a limit of the rollback criteria over their window.
/// 2. **Promote** if it keeps every limit of the success criteria over their window. All of that window lies in
///    the present stage.
/// 3. **Inconclusive** if it does neither, once the window of the success criteria is full.
/// 4. **Continue** until then.
///
/// "Exceeds" is strict: an error rate of exactly 5 % does not exceed 5 %. A window is the newest stretch of
/// evidence that is as long as the criteria say *and* holds their least number of requests; it does not count
/// while the canary gets no requests at all. No requests are never a success.
///
/// The default has the limits of the mesh's documentation: success with at most 1 % errors and a P95 of at most
/// 500 ms over 5 minutes, rollback above 5 % or above 1 s over 1 minute.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::judge::{Criteria, Threshold};
///
/// let s = Duration::from_secs;
/// let judge = Threshold::new(
///     Criteria::over(s(300)).error_rate(0.01).response_time(Duration::from_millis(500)),
///     Criteria::over(s(60)).error_rate(0.05).response_time(s(1)),
/// )?;
/// assert_eq!(judge, Threshold::default());
///
/// let error = Threshold::new(Criteria::over(s(300)).error_rate(1.5), Criteria::over(s(60)).error_rate(0.05));
/// assert_eq!(
///     error.expect_err("a percentage").to_string(),
///     "successCriteria.errorRate is 1.5: expected a ratio between 0 and 1 (0.01 is 1%)",
/// );
/// # Ok::<(), mesh_canary::judge::CriteriaError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    success: Limits,
    rollback: Limits,
}

impl Threshold {
    /// Judges by these criteria.
    ///
    /// # Errors
    /// Criteria without a limit or without a window, a rate that is not a ratio, a limit or a number of requests
    /// of zero where that makes no sense, or a success that is also a rollback.
    pub fn new(success: Criteria, rollback: Criteria) -> Result<Self, CriteriaError> {
        let proof = success.error_rate_limit().map_or(FEWEST, proving);
        let (success, rollback) = Limits::pair(success, proof, rollback, FEWEST)?;
        Ok(Self { success, rollback })
    }
}

impl Default for Threshold {
    fn default() -> Self {
        let (success, rollback) = Limits::documented(proving(0.01), FEWEST);
        Self { success, rollback }
    }
}

impl CanaryAnalyzer for Threshold {
    fn judge(&self, evidence: &Evidence) -> Verdict {
        self.judge_with(evidence, &mut Memory::default())
    }

    fn judge_with(&self, evidence: &Evidence, memory: &mut Memory) -> Verdict {
        let known = memory.take::<Progress>();
        let known = known.filter(|known| known.judge == *self && evidence.since(known.read).is_some());
        let mut progress = known.unwrap_or_else(|| Box::new(Progress::new(self, evidence.stage())));
        progress.follow(evidence);
        let verdict = progress.verdict();
        memory.keep(progress);
        verdict
    }
}

/// What is known of the evidence so far.
struct Progress {
    judge: Threshold,
    read: Mark,
    stage: Stage,
    recent: Observation,
    in_stage: Observation,
}

impl Progress {
    fn new(judge: &Threshold, stage: Stage) -> Self {
        Self {
            judge: judge.clone(),
            read: Mark::default(),
            stage,
            recent: judge.rollback.observation(),
            in_stage: judge.success.observation(),
        }
    }

    fn follow(&mut self, evidence: &Evidence) {
        self.recent.follow(evidence.windows());
        if self.stage != evidence.stage() {
            self.stage = evidence.stage();
            self.in_stage = self.judge.success.observation();
        }
        self.in_stage.follow(evidence.stage_windows());
        self.read = evidence.mark();
    }

    fn verdict(&self) -> Verdict {
        let Threshold { success, rollback } = &self.judge;
        if self.recent.is_enough() {
            let exceeded = rollback.check(&self.recent).exceeded;
            if !exceeded.is_empty() {
                return Verdict::Rollback(Reason::new(exceeded));
            }
        }
        if !self.in_stage.is_enough() {
            return Verdict::Continue(self.in_stage.what_is_missing());
        }
        let check = success.check(&self.in_stage);
        if !check.exceeded.is_empty() {
            let findings = check.exceeded.into_iter().chain(check.unknown);
            Verdict::Inconclusive(Doubt::Between, Reason::new(findings))
        } else if !check.unknown.is_empty() {
            Verdict::Inconclusive(Doubt::NotMeasured, Reason::new(check.unknown))
        } else {
            Verdict::Promote(Reason::new(check.kept))
        }
    }
}

#[cfg(test)]
mod tests;
