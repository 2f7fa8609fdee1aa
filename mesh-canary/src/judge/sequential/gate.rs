//! Whether a stage may end: by evidence of health, not by the absence of alarms.

use std::time::Duration;

use mesh_core::metric::Traffic;

use super::Sequential;
use super::latency::possibly_slower;
use crate::analyzer::{Doubt, Finding, Number, Reason, Window};
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
    /// What is limited; its P95 is that no more than 5 % are slower.
    counted: Counted,
    limit: f64,
    confidence: Confidence,
    /// All that was seen of this canary: more of it is better, and an alarm is for those who get worse.
    total: Tally,
    /// Of that, what was seen while the stable version was well: an outage of both proves nothing about the canary.
    well: Tally,
    /// Of that, what was seen in this stage: more load may be what it does not bear.
    well_in_stage: Tally,
}

/// What counts as bad.
#[derive(Clone, Copy)]
enum Counted {
    Errors,
    SlowerThan(Duration),
}

impl Counted {
    fn of(self, traffic: &Traffic) -> Tally {
        match self {
            Self::Errors => Tally::new(traffic.errors, traffic.requests),
            Self::SlowerThan(limit) => possibly_slower(traffic, limit).unwrap_or_default(),
        }
    }
}

impl Proof {
    fn new(what: &'static str, counted: Counted, limit: f64) -> Self {
        Self {
            what,
            counted,
            limit,
            confidence: Confidence::of_at_most(limit, FALSE_PROOF / 2.0),
            total: Tally::default(),
            well: Tally::default(),
            well_in_stage: Tally::default(),
        }
    }

    /// One of the two ways to prove it, or both.
    fn ways(&self) -> impl Iterator<Item = Tally> {
        let other = (self.well != self.total).then_some(self.well);
        std::iter::once(self.total).chain(other)
    }

    fn is_given(&self) -> bool {
        self.ways()
            .any(|seen| self.confidence.proves_at_most(self.limit, seen))
    }

    fn is_refuted(&self) -> bool {
        self.confidence.proves_more_than(self.limit, self.well_in_stage)
    }

    /// How many more requests it takes if they go like those before.
    fn missing(&self) -> Option<u64> {
        let missing = |seen: Tally| {
            let needed = self.confidence.needed(self.limit, seen)?;
            Some(needed.saturating_sub(seen.of))
        };
        self.ways().filter_map(missing).min()
    }

    fn finding(&self, span: Duration) -> Finding {
        let upper = |seen| self.confidence.upper(seen);
        let upper = self.ways().map(upper).fold(1.0, f64::min);
        Finding::at_most(self.what, Number::Ratio(upper), Number::Ratio(self.limit)).seen(self.total.of, span)
    }
}

/// What was seen of the canary, in all and in the present stage.
pub(super) struct Gate {
    proofs: Vec<Proof>,
    span: Duration,
    newest: Observation,
    time_in_stage: Duration,
    requests_in_stage: u64,
}

impl Gate {
    /// Nothing seen yet.
    pub(super) fn new(judge: &Sequential) -> Self {
        let errors = judge.success.error_rate;
        let errors = errors.map(|limit| Proof::new("error rate, at the highest", Counted::Errors, limit));
        let slow = judge.success.response_time.map(Counted::SlowerThan);
        let slow = slow.map(|slow| Proof::new("share of slow responses, at the highest", slow, 0.05));
        Self {
            proofs: errors.into_iter().chain(slow).collect(),
            span: Duration::ZERO,
            newest: judge.success.observation(),
            time_in_stage: Duration::ZERO,
            requests_in_stage: 0,
        }
    }

    /// Adds a window, whichever stage it is of.
    pub(super) fn observe(&mut self, window: &Window, stable_was_well: bool) {
        self.span = self.span.saturating_add(window.length());
        for proof in &mut self.proofs {
            let seen = proof.counted.of(&window.canary);
            proof.total = proof.total.plus(seen);
            if stable_was_well {
                proof.well = proof.well.plus(seen);
            }
        }
    }

    /// Another stage is judged: nothing of it was seen yet.
    pub(super) fn enter_stage(&mut self, judge: &Sequential) {
        self.newest = judge.success.observation();
        self.time_in_stage = Duration::ZERO;
        self.requests_in_stage = 0;
        for proof in &mut self.proofs {
            proof.well_in_stage = Tally::default();
        }
    }

    /// Adds a window of the stage.
    pub(super) fn observe_in_stage(&mut self, window: &Window, stable_was_well: bool) {
        self.time_in_stage = self.time_in_stage.saturating_add(window.length());
        self.requests_in_stage = self.requests_in_stage.saturating_add(window.canary.requests);
        for proof in self.proofs.iter_mut().filter(|_| stable_was_well) {
            let seen = proof.counted.of(&window.canary);
            proof.well_in_stage = proof.well_in_stage.plus(seen);
        }
    }

    /// Looks at the newest windows of the stage.
    pub(super) fn follow_stage(&mut self, windows: &[Window]) {
        self.newest.follow(windows);
    }

    pub(super) fn decide(&self, judge: &Sequential) -> Passage {
        let (stage, time) = (&self.newest, self.time_in_stage);
        let check = judge.success.check(stage);
        if stage.is_enough() && !check.unknown.is_empty() {
            return Passage::Doubtful(Doubt::NotMeasured, Reason::new(check.unknown));
        }
        if time >= judge.success.window && self.proofs.iter().any(Proof::is_refuted) {
            let findings = check.exceeded.into_iter().chain(check.kept);
            return Passage::Doubtful(Doubt::Between, Reason::new(findings));
        }
        let open: Vec<&Proof> = self.proofs.iter().filter(|proof| !proof.is_given()).collect();
        if stage.is_enough() && open.is_empty() && check.exceeded.is_empty() {
            return Passage::Open(Reason::new(check.kept));
        }
        let reason = self.what_is_missing(&open, check.exceeded);
        if time >= judge.patience {
            let doubt = if self.requests_in_stage == 0 {
                Doubt::NotMeasured
            } else {
                Doubt::Between
            };
            return Passage::Doubtful(doubt, reason);
        }
        Passage::Closed(reason)
    }

    /// Why the gate stays closed, and when it will open at the rate of requests so far.
    fn what_is_missing(&self, open: &[&Proof], exceeded: Vec<Finding>) -> Reason {
        let enough = self.newest.is_enough();
        let missing = if enough {
            Reason::default()
        } else {
            self.newest.what_is_missing()
        };
        let mut wait = if enough {
            Some(Duration::ZERO)
        } else {
            missing.wait
        };
        if !exceeded.is_empty() {
            wait = None; // What lies above the limit now has to get better first: nobody knows when.
        }
        let rate = self.requests_in_stage as f64 / self.time_in_stage.as_secs_f64();
        for proof in open {
            let Some(so_far) = wait else { break };
            let more = proof.missing().map(|requests| requests as f64 / rate);
            let more = more.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            wait = more.map(|more| so_far.max(more));
        }
        let mut findings = missing.findings;
        findings.extend(open.iter().map(|proof| proof.finding(self.span)));
        if enough {
            findings.extend(exceeded);
        }
        Reason::new(findings).with_wait(wait)
    }
}
