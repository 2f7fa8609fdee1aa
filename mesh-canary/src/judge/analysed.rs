//! Analysis templates beside another analyzer.

use crate::analyzer::{Analysed, CanaryAnalyzer, Doubt, Evidence, Memory, Reason, Standing, Verdict};

/// Judges as another analyzer does, and by what analysis templates say besides ([`Window::analysed`]).
///
/// A template that failed rolls back, and one that is inconclusive asks somebody. While one was not measured, or not
/// yet, no stage passes; what the other analyzer holds against the canary still counts. Where both versions are as bad
/// or were not given their shares, no template is believed either. Without templates it is the other analyzer.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::judge::{Sequential, WithTemplates};
/// use mesh_canary::{Analysed, CanaryAnalyzer, Evidence, Stage, Standing, Window};
///
/// let s = Duration::from_secs;
/// let failed = Analysed::new(Standing::Failed, "success-rate answered [94.2]", "fails if result[0] < 95");
/// let mut evidence = Evidence::new(Stage::new(0, 5, s(0)));
/// evidence.push(Window::new(s(0), s(5)).with_weight(5).with_analysed(failed))?;
///
/// let verdict = WithTemplates::beside(Sequential::default()).judge(&evidence);
/// assert_eq!(verdict.word(), "rollback");
/// assert!(verdict.to_string().contains("success-rate answered [94.2] (fails if result[0] < 95)"), "{verdict}");
/// # Ok::<(), mesh_canary::EvidenceError>(())
/// ```
///
/// [`Window::analysed`]: crate::Window::analysed
#[derive(Clone, Debug, PartialEq)]
pub struct WithTemplates<A> {
    beside: A,
}

impl<A> WithTemplates<A> {
    /// Beside this analyzer.
    pub fn beside(analyzer: A) -> Self {
        Self { beside: analyzer }
    }
}

impl<A: CanaryAnalyzer> CanaryAnalyzer for WithTemplates<A> {
    fn judge(&self, evidence: &Evidence) -> Verdict {
        together(self.beside.judge(evidence), evidence)
    }

    fn judge_with(&self, evidence: &Evidence, memory: &mut Memory) -> Verdict {
        together(self.beside.judge_with(evidence, memory), evidence)
    }
}

fn together(verdict: Verdict, evidence: &Evidence) -> Verdict {
    let newest = evidence.stage_windows().last();
    let Some(analysed) = newest.and_then(|window| window.analysed.as_ref()) else {
        return verdict;
    };
    let reason = |verdict: &Verdict| with(verdict.reason(), analysed);
    match (&verdict, analysed.standing) {
        (Verdict::Rollback(_), _) | (_, Standing::Good) => verdict,
        (Verdict::Inconclusive(Doubt::BaselineUnhealthy | Doubt::SplitMismatch, _), _) => verdict,
        (_, Standing::Failed) => Verdict::Rollback(reason(&verdict)),
        (_, Standing::Inconclusive) => Verdict::Inconclusive(Doubt::Between, reason(&verdict)),
        (Verdict::Promote(_) | Verdict::Continue(_), Standing::Pending | Standing::Unmeasured) => {
            Verdict::Continue(reason(&verdict))
        }
        (Verdict::Inconclusive(..), Standing::Pending | Standing::Unmeasured) => verdict,
    }
}

/// What a template says comes first.
fn with(reason: &Reason, analysed: &Analysed) -> Reason {
    let mut reason = reason.clone();
    reason.findings.insert(0, analysed.finding());
    if analysed.standing != Standing::Pending {
        reason.wait = None;
    }
    reason
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Finding, Number, Stage, Window};

    /// Says always the same.
    #[derive(Clone)]
    struct Says(Verdict);

    impl CanaryAnalyzer for Says {
        fn judge(&self, _: &Evidence) -> Verdict {
            self.0.clone()
        }
    }

    fn reason() -> Reason {
        Finding::at_most("errors", Number::Count(0), Number::Count(2)).into()
    }

    fn judged(says: Verdict, standing: Option<Standing>) -> Verdict {
        let s = Duration::from_secs;
        let mut evidence = Evidence::new(Stage::new(0, 5, s(0)));
        let analysed = standing.map(|standing| Analysed::new(standing, "answer", "condition"));
        let window = Window::new(s(0), s(5)).with_analysed(analysed);
        evidence.push(window).expect("in order");
        WithTemplates::beside(Says(says)).judge(&evidence)
    }

    #[test]
    fn without_templates_it_is_the_other_analyzer() {
        for says in [
            Verdict::Promote(reason()),
            Verdict::Continue(reason()),
            Verdict::Rollback(reason()),
        ] {
            assert_eq!(judged(says.clone(), None), says);
            assert_eq!(judged(says.clone(), Some(Standing::Good)), says);
        }
    }

    #[test]
    fn a_failed_template_rolls_back_unless_the_stable_version_is_as_bad() {
        for says in [
            Verdict::Promote(reason()),
            Verdict::Continue(reason()),
            Verdict::Inconclusive(Doubt::Between, reason()),
        ] {
            let verdict = judged(says, Some(Standing::Failed));
            assert_eq!(
                verdict.to_string(),
                "rollback: answer (condition); errors 0 (at most 2)"
            );
        }
        for doubt in [Doubt::BaselineUnhealthy, Doubt::SplitMismatch] {
            let says = Verdict::Inconclusive(doubt, reason());
            assert_eq!(judged(says.clone(), Some(Standing::Failed)), says);
        }
    }

    #[test]
    fn what_was_not_measured_holds_and_never_promotes_and_never_saves() {
        for standing in [Standing::Pending, Standing::Unmeasured] {
            let verdict = judged(Verdict::Promote(reason()), Some(standing));
            assert_eq!(verdict.word(), "continue");
            let bad = Verdict::Rollback(reason());
            assert_eq!(judged(bad.clone(), Some(standing)), bad);
        }
        let verdict = judged(Verdict::Promote(reason()), Some(Standing::Inconclusive));
        assert_eq!(verdict.word(), "inconclusive");
    }

    #[test]
    fn what_a_template_said_in_the_stage_before_says_nothing_of_this_one() {
        let s = Duration::from_secs;
        let mut evidence = Evidence::new(Stage::new(0, 5, s(0)));
        let failed = Analysed::new(Standing::Failed, "answer", "condition");
        evidence
            .push(Window::new(s(0), s(5)).with_analysed(failed))
            .expect("in order");
        evidence.enter(Stage::new(1, 10, s(5)));
        let says = Verdict::Continue(reason());
        assert_eq!(WithTemplates::beside(Says(says.clone())).judge(&evidence), says);
    }
}
