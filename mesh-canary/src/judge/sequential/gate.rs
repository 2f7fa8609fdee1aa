//! Whether a stage may end: by evidence of health, not by the absence of alarms.

use std::time::Duration;

use mesh_core::metric::Traffic;

use super::Sequential;
use super::latency::possibly_slower;
use crate::analyzer::{Doubt, Evidence, Finding, Number, Reason, Window};
use crate::judge::observation::Observation;
use crate::statistics::{Confidence, Tally};

/// How often a proof of health may be wrong. There are two ways to give one, each with half of it.
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
    /// All that was seen of this canary: more of it is better, and an alarm is for those who get worse.
    total: Tally,
    /// Of that, what was seen while the stable version was well: an outage of both proves nothing about the canary.
    well: Tally,
    /// Of that, what was seen in this stage: more load may be what it does not bear.
    well_in_stage: Tally,
}

impl Proof {
    fn of(what: &'static str, limit: f64, seen: &Seen<'_>, count: impl Fn(&Traffic) -> Tally) -> Self {
        let mut proof = Self {
            what,
            limit,
            confidence: Confidence::of_at_most(limit, FALSE_PROOF / 2.0),
            total: Tally::default(),
            well: Tally::default(),
            well_in_stage: Tally::default(),
        };
        for (window, well) in seen.evidence.windows().iter().zip(seen.stable_was_well) {
            let tally = count(&window.canary);
            proof.total = proof.total.plus(tally);
            if *well {
                proof.well = proof.well.plus(tally);
                if window.from >= seen.evidence.stage().from {
                    proof.well_in_stage = proof.well_in_stage.plus(tally);
                }
            }
        }
        proof
    }

    fn is_given(&self) -> bool {
        let by = |tally| self.confidence.proves_at_most(self.limit, tally);
        by(self.total) || by(self.well)
    }

    fn is_refuted(&self) -> bool {
        self.confidence.proves_more_than(self.limit, self.well_in_stage)
    }

    /// How many more requests it takes if they go like those before.
    fn missing(&self) -> Option<u64> {
        let missing = |tally: Tally| {
            Some(
                self.confidence
                    .needed(self.limit, tally)?
                    .saturating_sub(tally.of),
            )
        };
        [missing(self.total), missing(self.well)]
            .into_iter()
            .flatten()
            .min()
    }

    fn finding(&self, span: Duration) -> Finding {
        let upper = self
            .confidence
            .upper(self.total)
            .min(self.confidence.upper(self.well));
        Finding::at_most(self.what, Number::Ratio(upper), Number::Ratio(self.limit)).seen(self.total.of, span)
    }
}

/// What is decided by.
pub(super) struct Seen<'a> {
    pub(super) evidence: &'a Evidence,
    /// For each window.
    pub(super) stable_was_well: &'a [bool],
}

pub(super) fn decide(judge: &Sequential, seen: &Seen<'_>) -> Passage {
    let evidence = seen.evidence;
    let stage = judge.success.observe(evidence.stage_windows());
    let (mut time, mut requests) = (Duration::ZERO, 0_u64);
    for window in evidence.stage_windows() {
        time = time.saturating_add(window.length());
        requests = requests.saturating_add(window.canary.requests);
    }
    let mut proofs = Vec::new();
    if let Some(limit) = judge.success.error_rate {
        let errors = |traffic: &Traffic| Tally::new(traffic.errors, traffic.requests);
        proofs.push(Proof::of("error rate, at the highest", limit, seen, errors));
    }
    if let Some(limit) = judge.success.response_time {
        let slow = |traffic: &Traffic| possibly_slower(traffic, limit).unwrap_or_default();
        proofs.push(Proof::of(
            "share of slow responses, at the highest",
            0.05,
            seen,
            slow,
        ));
    }
    let check = judge.success.check(&stage);
    if stage.is_enough() && !check.unknown.is_empty() {
        return Passage::Doubtful(Doubt::NotMeasured, Reason::new(check.unknown));
    }
    if proofs.iter().any(Proof::is_refuted) && time >= judge.success.window {
        let findings = check.exceeded.into_iter().chain(check.kept);
        return Passage::Doubtful(Doubt::Between, Reason::new(findings));
    }
    let open: Vec<&Proof> = proofs.iter().filter(|proof| !proof.is_given()).collect();
    if stage.is_enough() && open.is_empty() && check.exceeded.is_empty() {
        return Passage::Open(Reason::new(check.kept));
    }
    let rate = requests as f64 / time.as_secs_f64();
    let reason = what_is_missing(evidence, &stage, &open, check.exceeded, rate);
    if time >= judge.patience {
        let doubt = if requests == 0 {
            Doubt::NotMeasured
        } else {
            Doubt::Between
        };
        return Passage::Doubtful(doubt, reason);
    }
    Passage::Closed(reason)
}

/// Why the gate stays closed, and when it will open at a rate of requests a second.
fn what_is_missing(
    evidence: &Evidence,
    stage: &Observation,
    open: &[&Proof],
    exceeded: Vec<Finding>,
    rate: f64,
) -> Reason {
    let enough = stage.is_enough();
    let missing = if enough {
        Reason::default()
    } else {
        stage.what_is_missing()
    };
    let mut wait = if enough {
        Some(Duration::ZERO)
    } else {
        missing.wait
    };
    for proof in open {
        let more = proof.missing().map(|requests| requests as f64 / rate);
        let more = more.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        wait = wait.zip(more).map(|(a, b)| a.max(b));
    }
    if !exceeded.is_empty() {
        wait = None; // What lies above the limit now has to get better first: nobody knows when.
    }
    let lengths = evidence.windows().iter().map(Window::length);
    let span = lengths.fold(Duration::ZERO, Duration::saturating_add);
    let mut findings = missing.findings;
    findings.extend(open.iter().map(|proof| proof.finding(span)));
    if enough {
        findings.extend(exceeded);
    }
    Reason::new(findings).with_wait(wait)
}
