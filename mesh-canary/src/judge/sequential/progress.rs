//! How far the judging of a rollout is.

use super::gate::{Gate, Passage};
use super::split::Split;
use super::weighing::Weighing;
use super::{PLANNED, Sequential};
use crate::analyzer::{Doubt, Evidence, Mark, Reason, Stage, Verdict};

/// What is known of the evidence so far. A window is looked at once, and once more if the stage is changed.
pub(super) struct Progress {
    judge: Sequential,
    planned: Option<std::time::Duration>,
    read: Mark,
    weighing: Weighing,
    gate: Gate,
    stage: Stage,
    /// How many windows of the stage were looked at.
    in_stage: usize,
    split: Split,
}

impl Progress {
    pub(super) fn new(judge: &Sequential, evidence: &Evidence) -> Self {
        let (stage, planned) = (evidence.stage(), evidence.planned());
        Self {
            judge: judge.clone(),
            planned,
            read: Mark::default(),
            weighing: Weighing::new(judge, planned.unwrap_or(PLANNED)),
            gate: Gate::new(judge),
            stage,
            in_stage: 0,
            split: Split::of(stage.weight),
        }
    }

    /// Whether this is what the judge knows of a part of the evidence.
    pub(super) fn is_of(&self, judge: &Sequential, evidence: &Evidence) -> bool {
        self.judge == *judge && self.planned == evidence.planned() && evidence.since(self.read).is_some()
    }

    /// Looks at what is new in the evidence.
    pub(super) fn follow(&mut self, evidence: &Evidence) {
        let new = evidence.since(self.read).unwrap_or_default();
        self.read = evidence.mark();
        self.weighing.follow(evidence.windows());
        let well = self.weighing.stable_was_well();
        let first_new = well.len().saturating_sub(new.len());
        for (window, well) in new.iter().zip(well.iter().skip(first_new)) {
            self.gate.observe(window, *well);
        }
        if self.stage != evidence.stage() {
            self.stage = evidence.stage();
            self.in_stage = 0;
            self.gate.enter_stage(&self.judge);
            self.split = Split::of(self.stage.weight);
        }
        let windows = evidence.stage_windows();
        let before = evidence.windows().len().saturating_sub(windows.len());
        let well = well.iter().skip(before);
        for (window, well) in windows.iter().zip(well).skip(self.in_stage) {
            self.gate.observe_in_stage(window, *well);
            self.split.observe(window);
        }
        self.gate.follow_stage(windows);
        self.in_stage = windows.len();
    }

    /// What the evidence says; it is the one that was followed last.
    pub(super) fn verdict(&self, evidence: &Evidence) -> Verdict {
        let weighing = &self.weighing;
        let told = |reason: Reason| reason.with_evidence(weighing.evidence());
        if let Some(findings) = weighing.alarm() {
            return Verdict::Rollback(told(Reason::new(findings.iter().cloned())));
        }
        if let Some(finding) = weighing.both_ail(evidence.windows()) {
            return Verdict::Inconclusive(Doubt::BaselineUnhealthy, told(finding.into()));
        }
        // Where users stay, a busy one moves many requests at once.
        let mismatch = (!self.judge.sticky).then(|| self.split.mismatch());
        if let Some(finding) = mismatch.flatten() {
            return Verdict::Inconclusive(Doubt::SplitMismatch, told(finding.into()));
        }
        if let Some(finding) = weighing.unknown_users() {
            return Verdict::Inconclusive(Doubt::NotMeasured, told(finding.into()));
        }
        match self.gate.decide(&self.judge) {
            Passage::Open(reason) => Verdict::Promote(told(reason)),
            Passage::Closed(reason) => Verdict::Continue(told(reason)),
            Passage::Doubtful(doubt, reason) => Verdict::Inconclusive(doubt, told(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analyzer::{CanaryAnalyzer, Memory, Window};

    fn push(evidence: &mut Evidence) {
        let from = evidence.elapsed();
        let window = Window::new(from, from + Duration::from_secs(5));
        evidence.push(window).expect("in order");
    }

    #[test]
    fn what_is_known_is_of_one_judge_and_of_evidence_that_only_grew() {
        let stage = Stage::new(0, 5, Duration::ZERO);
        let judge = Sequential::default();
        let (mut evidence, mut memory) = (Evidence::new(stage), Memory::default());
        push(&mut evidence);
        let before = evidence.clone();
        push(&mut evidence);
        judge.judge_with(&evidence, &mut memory);
        let known = memory.take::<Progress>().expect("kept");
        assert!(known.is_of(&judge, &evidence));
        assert_eq!(evidence.since(known.read), Some(&[][..]));

        let mut grown = evidence.clone();
        push(&mut grown);
        grown.enter(Stage::new(1, 10, Duration::from_secs(15)));
        assert!(known.is_of(&judge, &grown));

        let mut other = before.clone();
        push(&mut other);
        assert_eq!(other, evidence, "the same numbers, but who knows?");
        assert!(!known.is_of(&judge, &other));
        assert!(!known.is_of(&judge, &before));
        assert!(!known.is_of(&judge, &evidence.with_planned(Duration::from_secs(60))));
        assert!(!known.is_of(&judge.tolerate(2.0), &grown));
    }
}
