//! All that speaks against a canary, weighed window by window.

use std::time::Duration;

use mesh_core::metric::Traffic;

use super::Sequential;
use super::latency::Slower;
use super::watch::{Limit, Watch};
use crate::analyzer::{Bound, Finding, Number, Observed, Window};
use crate::judge::criteria::{Limits, p95};
use crate::judge::observation::newest;
use crate::statistics::{AtShare, Comparison};

/// How much of the false rollbacks that are allowed each way to be wrong may use up: weights of a mean, which is
/// evidence of the same kind as its parts.
const ERRORS: f64 = 4.0;
const LATENCIES: f64 = 2.0;
const LIMIT: f64 = 1.0;

/// More evidence than this is not told: nobody needs it.
const TOLD: f64 = 1e9;

/// What was found to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// More errors than the stable version.
    Errors,
    /// Slower than the stable version.
    Latencies,
    /// A limit is exceeded, by its number.
    Limit(usize),
}

/// The evidence after some windows.
pub(super) struct Weighing {
    judge: Sequential,
    errors: Comparison,
    slower: Option<Slower>,
    watches: Vec<Watch>,
    users_unknown: bool,
    stable_was_well: Vec<bool>,
    alarm: Option<Vec<Finding>>,
}

impl Weighing {
    /// Nothing seen yet of a rollout that is planned to take so long.
    pub(super) fn new(judge: &Sequential, planned: Duration) -> Self {
        let comparison = Comparison::at_any_time(planned).tolerate(judge.tolerated);
        let limits = [
            judge.rollback.error_rate.map(Limit::Errors),
            judge.rollback.response_time.map(Limit::P95),
        ];
        let timed = judge
            .success
            .response_time
            .or(judge.rollback.response_time)
            .is_some();
        let watch = |limit| Watch::new(limit, planned, judge.enough());
        Self {
            judge: judge.clone(),
            slower: (timed && !judge.sticky).then(|| Slower::new(&comparison)),
            errors: comparison,
            watches: limits.into_iter().flatten().map(watch).collect(),
            users_unknown: false,
            stable_was_well: Vec::new(),
            alarm: None,
        }
    }

    /// Weighs the windows that were not weighed before. What reached the limit once stays an alarm: it would have been
    /// one then.
    pub(super) fn follow(&mut self, windows: &[Window]) {
        let weighed = self.stable_was_well.len();
        for (n, window) in windows.iter().enumerate().skip(weighed) {
            self.observe(window);
            if self.alarm.is_none() && self.mean() >= self.judge.enough() {
                let until_then = windows.get(..=n).unwrap_or(windows);
                self.alarm = Some(self.findings(until_then, self.cause()));
            }
        }
    }

    fn observe(&mut self, window: &Window) {
        let (canary, stable) = (&window.canary, &window.stable);
        let (share, failed) = if self.judge.sticky {
            let users = canary.failed_users.zip(stable.failed_users);
            // A window without them says nothing of errors; the next one may.
            self.users_unknown = users.is_none();
            (f64::from(window.weight) / 100.0, users.unwrap_or_default())
        } else {
            let all = canary.requests.saturating_add(stable.requests);
            (
                canary.requests as f64 / all as f64,
                (canary.errors, stable.errors),
            )
        };
        let at = AtShare::new(share, self.judge.tolerated);
        self.errors.observe_at(&at, failed.0, failed.1, window.length());
        if let Some(slower) = &mut self.slower {
            slower.observe(window, at);
        }
        for watch in &mut self.watches {
            watch.observe(window);
        }
        let suspected = self.watches.iter().any(Watch::suspects_stable);
        self.stable_was_well.push(!suspected);
    }

    /// Whether nothing was wrong with the stable version, for each window.
    pub(super) fn stable_was_well(&self) -> &[bool] {
        &self.stable_was_well
    }

    fn parts(&self) -> impl Iterator<Item = (Cause, f64, f64)> {
        let errors = (Cause::Errors, ERRORS, self.errors.evidence());
        let slower = self.slower.iter();
        let slower = slower.map(|slower| (Cause::Latencies, LATENCIES, slower.evidence()));
        let watches = self.watches.iter().enumerate();
        let watches = watches.map(|(n, watch)| (Cause::Limit(n), LIMIT, watch.evidence()));
        std::iter::once(errors).chain(slower).chain(watches)
    }

    fn mean(&self) -> f64 {
        let (sum, weights) = self
            .parts()
            .fold((0.0, 0.0), |(sum, weights), (_, weight, evidence)| {
                (sum + weight * evidence, weights + weight)
            });
        sum / weights
    }

    fn cause(&self) -> Cause {
        let weightiest = self.parts().max_by(|a, b| (a.1 * a.2).total_cmp(&(b.1 * b.2)));
        weightiest.map_or(Cause::Errors, |(cause, ..)| cause)
    }

    /// How strongly everything together speaks against the canary.
    pub(super) fn evidence(&self) -> f64 {
        self.mean().min(TOLD)
    }

    /// Why the canary has to be rolled back, as it was seen when that was found out.
    pub(super) fn alarm(&self) -> Option<&[Finding]> {
        self.alarm.as_deref()
    }

    fn findings(&self, windows: &[Window], cause: Cause) -> Vec<Finding> {
        let seen = self.most_telling(windows, cause);
        match cause {
            Cause::Errors if self.judge.sticky => vec![failed_users(windows), self.error_rate(&seen)],
            Cause::Errors => vec![self.error_rate(&seen)],
            Cause::Latencies => vec![response_time(&seen, self.judge.tolerated)],
            Cause::Limit(n) => vec![self.limited(n, &seen)],
        }
    }

    /// What both versions exceed at present.
    pub(super) fn both_ail(&self, windows: &[Window]) -> Option<Finding> {
        let enough = self.judge.enough();
        let n = self.watches.iter().position(|watch| watch.both_ail(enough))?;
        Some(self.limited(n, &self.newest(windows)))
    }

    /// What is missing to compare users.
    pub(super) fn unknown_users(&self) -> Option<Finding> {
        self.users_unknown
            .then(|| Finding::at_most("users with errors", None, Number::Ratio(1.0)))
    }

    fn newest(&self, windows: &[Window]) -> Observed {
        let Limits {
            window, min_requests, ..
        } = self.judge.rollback;
        Observed::of(newest(windows, window, min_requests))
    }

    /// What broke just now shows in the newest requests, what is a little wrong all the time only in all of them.
    fn most_telling(&self, windows: &[Window], cause: Cause) -> Observed {
        let newest = self.newest(windows);
        let total = Observed::of(windows);
        let badness = |seen: &Observed| {
            let of = |traffic: &Traffic| match cause {
                Cause::Latencies => traffic
                    .latency
                    .quantile(0.95)
                    .map_or(0.0, |p95| p95.as_secs_f64()),
                Cause::Errors | Cause::Limit(_) => traffic.error_rate().unwrap_or(0.0),
            };
            of(&seen.canary) - of(&seen.stable)
        };
        if badness(&newest) >= badness(&total) {
            newest
        } else {
            total
        }
    }

    fn error_rate(&self, seen: &Observed) -> Finding {
        let rate = |traffic: &Traffic| traffic.error_rate().map(Number::Ratio);
        Finding::above_stable("error rate", rate(&seen.canary), self.judge.tolerated)
            .beside_stable(rate(&seen.stable))
            .refused(seen.canary.refusals)
            .seen(seen.canary.requests, seen.span)
    }

    fn limited(&self, n: usize, seen: &Observed) -> Finding {
        let limit = match self.watches.get(n).map(|watch| watch.limit) {
            Some(Limit::P95(limit)) => Number::Latency(limit),
            Some(Limit::Errors(limit)) => Number::Ratio(limit),
            None => return self.error_rate(seen),
        };
        let mut finding = match limit {
            Number::Ratio(_) => self.error_rate(seen),
            _ => response_time(seen, self.judge.tolerated),
        };
        finding.bound = Bound::AtMost(limit);
        finding
    }
}

fn response_time(seen: &Observed, tolerated: f64) -> Finding {
    Finding::above_stable("P95 response time", p95(&seen.canary.latency), tolerated)
        .beside_stable(p95(&seen.stable.latency))
        .seen(seen.canary.latency.count(), seen.span)
}

/// Of the users that failed, how many are the canary's, beside how many would be by its share.
fn failed_users(windows: &[Window]) -> Finding {
    let (mut canary, mut all, mut expected) = (0_u64, 0_u64, 0.0);
    for window in windows {
        let here = window.canary.failed_users.unwrap_or(0);
        let both = here.saturating_add(window.stable.failed_users.unwrap_or(0));
        canary = canary.saturating_add(here);
        all = all.saturating_add(both);
        expected += both as f64 * f64::from(window.weight) / 100.0;
    }
    let share = |part: f64| Number::Ratio(if all == 0 { 0.0 } else { part / all as f64 });
    Finding::above_share(
        "share of the users with errors",
        share(canary as f64),
        share(expected),
    )
}
