//! Whether a stage may end: by evidence of health, not by the absence of alarms.

use std::time::Duration;

use super::Sequential;
use super::latency::possibly_slower;
use crate::analyzer::{Doubt, Evidence, Finding, Number, Reason};
use crate::statistics::{Confidence, Tally};

/// How often a proof of health may be wrong.
const FALSE_PROOF: f64 = 0.05;

/// The way to the next stage.
pub(super) enum Passage {
    Open(Reason),
    Closed(Reason),
    Doubtful(Doubt, Reason),
}

/// A limit of the success criteria, and what was counted to prove it.
struct Proof {
    what: &'static str,
    limit: f64,
    confidence: Confidence,
    total: Tally,
    in_stage: Tally,
}

impl Proof {
    fn new(what: &'static str, limit: f64, total: Tally, in_stage: Tally) -> Self {
        Self {
            what,
            limit,
            confidence: Confidence::of_at_most(limit, FALSE_PROOF),
            total,
            in_stage,
        }
    }

    /// By all that was seen of this canary: more of it is better, and an alarm is for those who get worse.
    fn is_given(&self) -> bool {
        self.confidence.proves_at_most(self.limit, self.total)
    }

    /// By this stage: more load may be what it does not bear.
    fn is_refuted(&self) -> bool {
        self.confidence.proves_more_than(self.limit, self.in_stage)
    }

    /// How many more requests it takes if they go like those before.
    fn missing(&self) -> Option<u64> {
        let needed = self.confidence.needed(self.limit, self.total)?;
        Some(needed.saturating_sub(self.total.of))
    }

    fn finding(&self, span: Duration) -> Finding {
        let upper = Number::Ratio(self.confidence.upper(self.total));
        Finding::at_most(self.what, upper, Number::Ratio(self.limit)).seen(self.total.of, span)
    }
}

pub(super) fn decide(judge: &Sequential, evidence: &Evidence) -> Passage {
    let stage = judge.success.observe(evidence.stage_windows());
    let total = evidence.total();
    let in_stage = evidence.in_stage();
    let mut proofs = Vec::new();
    if let Some(limit) = judge.success.error_rate {
        let count = |traffic: &mesh_core::metric::Traffic| Tally::new(traffic.errors, traffic.requests);
        let (total, in_stage) = (count(&total.canary), count(&in_stage.canary));
        proofs.push(Proof::new("error rate, at the highest", limit, total, in_stage));
    }
    if let Some(limit) = judge.success.response_time {
        let slow = |traffic| possibly_slower(traffic, limit).unwrap_or_default();
        let (total, in_stage) = (slow(&total.canary), slow(&in_stage.canary));
        proofs.push(Proof::new(
            "share of slow responses, at the highest",
            0.05,
            total,
            in_stage,
        ));
    }
    let check = judge.success.check(&stage);
    if stage.is_enough() && !check.unknown.is_empty() {
        return Passage::Doubtful(Doubt::NotMeasured, Reason::new(check.unknown));
    }
    if proofs.iter().any(Proof::is_refuted) && in_stage.span >= judge.success.window {
        let findings = check.exceeded.into_iter().chain(check.kept);
        return Passage::Doubtful(Doubt::Between, Reason::new(findings));
    }
    let open: Vec<&Proof> = proofs.iter().filter(|proof| !proof.is_given()).collect();
    if stage.is_enough() && open.is_empty() && check.exceeded.is_empty() {
        return Passage::Open(Reason::new(check.kept));
    }
    let rate = in_stage.canary.requests as f64 / in_stage.span.as_secs_f64();
    let missing = if stage.is_enough() {
        Reason::default()
    } else {
        stage.what_is_missing()
    };
    let mut wait = if stage.is_enough() {
        Some(Duration::ZERO)
    } else {
        missing.wait
    };
    for proof in &open {
        let more = proof.missing().map(|requests| requests as f64 / rate);
        let more = more.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        wait = wait.zip(more).map(|(a, b)| a.max(b));
    }
    if !check.exceeded.is_empty() {
        wait = None; // What lies above the limit now has to get better first: nobody knows when.
    }
    let mut findings = missing.findings;
    findings.extend(open.iter().map(|proof| proof.finding(total.span)));
    if stage.is_enough() {
        findings.extend(check.exceeded);
    }
    let reason = Reason::new(findings).with_wait(wait);
    if in_stage.span >= judge.patience {
        let doubt = if in_stage.canary.requests == 0 {
            Doubt::NotMeasured
        } else {
            Doubt::Between
        };
        return Passage::Doubtful(doubt, reason);
    }
    Passage::Closed(reason)
}
