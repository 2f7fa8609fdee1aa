//! The same for people.

use std::fmt;
use std::time::Duration;

use mesh_canary::simulate::{Outcome, Report, Summary};
use mesh_core::duration::about;

use super::{Came, Tried};

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => writeln!(f, "{service}: {}", self.plan)?,
            None => writeln!(f, "{}", self.plan)?,
        }
        match &self.came {
            Came::One(report) => one(f, report, self.seed),
            Came::Many(summary) => many(f, summary, self.seed),
        }
    }
}

fn one(f: &mut fmt::Formatter<'_>, report: &Report, seed: u64) -> fmt::Result {
    let (at, state, weight, samples, evidence) = ("at", "state", "weight", "samples", "evidence");
    writeln!(
        f,
        "\n{at:>8}  {state:<12} {weight:>6} {samples:>9} {evidence:>9}  what"
    )?;
    for line in &report.timeline {
        let evidence = line
            .evidence
            .map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        writeln!(
            f,
            "{:>8}  {:<12} {:>5}% {:>9} {evidence:>9}  {}",
            Seconds(line.at_s).to_string(),
            line.state,
            line.weight,
            line.samples,
            line.event,
        )?;
    }
    let (outcome, after) = (word(report.decision), Seconds(report.at_s));
    writeln!(f, "\n→ {outcome} after {after}: {}", report.reason)?;
    for (name, arm) in [("stable", report.arms.stable), ("new", report.arms.canary)] {
        let p95 = arm
            .p95_ms
            .map_or_else(|| "-".to_owned(), |p95| format!("{p95:.0}ms"));
        writeln!(
            f,
            "  {name} version: {} requests while both were compared, {} failed, P95 {p95}",
            arm.requests, arm.errors
        )?;
    }
    let hurt = report.users_hurt;
    writeln!(
        f,
        "  {hurt} requests failed that would not have with the stable version (seed {seed})"
    )
}

fn many(f: &mut fmt::Formatter<'_>, summary: &Summary, seed: u64) -> fmt::Result {
    let Summary {
        runs,
        promoted,
        rolled_back,
        undecided,
        ..
    } = summary;
    writeln!(f, "\n{runs} rollouts, from seed {seed}")?;
    let counts = [
        ("promoted", promoted),
        ("rolled back", rolled_back),
        ("undecided", undecided),
    ];
    for (what, count) in counts {
        let share = 100.0 * *count as f64 / (*runs).max(1) as f64;
        writeln!(f, "  {what:<12} {count:>8}  {share:>5.1} %")?;
    }
    if let (Some(p50), Some(p90)) = (summary.detection_s.p50, summary.detection_s.p90) {
        let (p50, p90) = (Seconds(p50), Seconds(p90));
        writeln!(
            f,
            "  of those rolled back half were so within {p50}, nine of ten within {p90}, since the new version was worse"
        )?;
    }
    writeln!(
        f,
        "  {:.1} requests of each failed that would not have with the stable version",
        summary.users_hurt.mean
    )
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Promoted => "promoted",
        Outcome::RolledBack => "rolled back",
        Outcome::Undecided => "undecided",
    }
}

struct Seconds(f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = Duration::try_from_secs_f64(self.0).unwrap_or_default();
        about(span).fmt(f)
    }
}
