//! How two versions compare, for people who look at both.

use std::fmt;

use super::Observed;
use crate::statistics::{Confidence, Tally};

/// How often all bounds together may be wrong, in all looks at a run.
const WRONG: f64 = 0.05;

/// How many times as often one version fails: what is bet on, in either direction.
const RATIOS: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];

/// More evidence than this is not told: nobody needs it.
const TOLD: f64 = 1e9;

/// A number and what it lies between, which holds however often one looks, in 19 of 20 runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// As it was seen.
    pub seen: f64,
    /// The least that it can be.
    pub low: f64,
    /// The most that it can be.
    pub high: f64,
}

impl Interval {
    /// Whether the number can be this one.
    pub fn holds(&self, number: f64) -> bool {
        (self.low..=self.high).contains(&number)
    }
}

/// How two versions compare in their failures.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::{Contrast, Evidence, Stage, Window};
/// use mesh_core::metric::Traffic;
///
/// let counted = |requests, errors| Traffic { requests, errors, ..Traffic::default() };
/// let mut evidence = Evidence::new(Stage::new(0, 50, Duration::ZERO));
/// let hour = Window::new(Duration::ZERO, Duration::from_secs(3600)).with_weight(50);
/// evidence.push(hour.with_stable(counted(50_000, 500)).with_canary(counted(50_000, 250)))?;
///
/// let contrast = Contrast::of(&evidence.in_stage(), 50, false);
/// let difference = contrast.error_rate.expect("both were asked");
/// assert_eq!(difference.seen, -0.005); // half a percent fewer of its requests fail
/// assert!(difference.high < 0.0 && difference.low > -0.01, "{difference:?}");
/// assert!(contrast.better > 1000.0 && contrast.worse < 1.0, "{contrast}");
/// # Ok::<(), mesh_canary::EvidenceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Contrast {
    /// The share of the new version's requests that fail, less that of the stable version's (0.01 is 1 % more). Nothing
    /// before both were asked. Where users stay with their version its bounds are wider than any number, since one
    /// user's requests fail together.
    pub error_rate: Option<Interval>,
    /// How many times as often the new version fails: users by their first failure where users stay with their version,
    /// else requests. Nothing before anything failed, or if users are not counted.
    pub ratio: Option<Interval>,
    /// How strongly it speaks for a new version that fails more often: chance alone takes it above x in at most one of x runs.
    pub worse: f64,
    /// The same for one that fails less often.
    pub better: f64,
}

impl Contrast {
    /// Of what was seen at a fixed split, which gave the new version `weight` percent; `sticky` where users stay with their
    /// version.
    pub fn of(seen: &Observed, weight: u8, sticky: bool) -> Self {
        let share = f64::from(weight) / 100.0;
        let failures = if sticky {
            seen.canary.failed_users.zip(seen.stable.failed_users)
        } else {
            Some((seen.canary.errors, seen.stable.errors))
        };
        let compared = failures.filter(|_| share > 0.0 && share < 1.0);
        Self {
            error_rate: difference(seen, sticky),
            ratio: compared.and_then(|failures| ratio(failures, share)),
            worse: compared.map_or(1.0, |(canary, stable)| evidence(canary, stable, share)),
            better: compared.map_or(1.0, |(canary, stable)| evidence(stable, canary, 1.0 - share)),
        }
    }
}

fn difference(seen: &Observed, sticky: bool) -> Option<Interval> {
    let tally = |of: &mesh_core::metric::Traffic| Tally::new(of.errors, of.requests);
    let (canary, stable) = (tally(&seen.canary), tally(&seen.stable));
    let difference = canary.share()? - stable.share()?;
    if sticky {
        return Some(Interval {
            seen: difference,
            low: -1.0,
            high: 1.0,
        });
    }
    // Each version's bounds are wrong in half of the runs that may be.
    let bounds = Confidence::new(WRONG / 2.0);
    Some(Interval {
        seen: difference,
        low: bounds.lower(canary) - bounds.upper(stable),
        high: bounds.upper(canary) - bounds.lower(stable),
    })
}

/// Of all failures, the new version has a share by which alone it is known how many times as often it fails, whatever
/// the rate of failures is and however it changes.
fn ratio((canary, stable): (u64, u64), share: f64) -> Option<Interval> {
    let failures = Tally::new(canary, canary.saturating_add(stable));
    let bounds = Confidence::new(WRONG);
    let ratio = |of_failures: f64| of_failures / (1.0 - of_failures) * (1.0 - share) / share;
    Some(Interval {
        seen: ratio(failures.share()?),
        low: ratio(bounds.lower(failures)),
        high: ratio(bounds.upper(failures)),
    })
}

/// How strongly so many failures of one version, which has this share of the traffic, speak for one that fails more often
/// than the other.
fn evidence(one: u64, other: u64, share: f64) -> f64 {
    let (one, all) = (one as f64, one as f64 + other as f64);
    let bets = RATIOS.map(|ratio| (one * ratio.ln() - all * ((ratio - 1.0) * share).ln_1p()).exp());
    (bets.iter().sum::<f64>() / RATIOS.len() as f64).min(TOLD)
}

impl fmt::Display for Contrast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error_rate {
            Some(Interval { seen, low, high }) if low > -1.0 || high < 1.0 => write!(
                f,
                "error rate {:+.3} points ({:+.3} to {:+.3})",
                seen * 100.0,
                low * 100.0,
                high * 100.0
            )?,
            Some(Interval { seen, .. }) => write!(f, "error rate {:+.3} points", seen * 100.0)?,
            None => return f.write_str("nothing to compare yet"),
        }
        if let Some(Interval { seen, low, high }) = self.ratio {
            write!(f, "; fails {seen:.2} times as often ({low:.2} to {high:.2})")?;
        }
        write!(
            f,
            "; evidence {:.1} that it is worse, {:.1} that it is better",
            self.worse, self.better
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_core::metric::Traffic;
    use proptest::prelude::*;

    use super::*;
    use crate::statistics::Comparison;

    fn seen(stable: (u64, u64), canary: (u64, u64)) -> Observed {
        let counted = |(requests, errors)| Traffic {
            requests,
            errors,
            failed_users: Some(errors),
            ..Traffic::default()
        };
        let mut observed = Observed::default();
        (observed.stable, observed.canary) = (counted(stable), counted(canary));
        observed
    }

    #[test]
    fn without_anything_seen_there_is_nothing_to_compare() {
        let contrast = Contrast::of(&Observed::default(), 50, false);
        assert_eq!((contrast.error_rate, contrast.ratio), (None, None));
        assert_eq!((contrast.worse, contrast.better), (1.0, 1.0));
        assert_eq!(contrast.to_string(), "nothing to compare yet");
    }

    #[test]
    fn where_users_stay_with_their_version_only_users_are_bounded() {
        let contrast = Contrast::of(&seen((9000, 900), (1000, 200)), 10, true);
        let difference = contrast.error_rate.expect("both");
        assert!(difference.low <= -1.0 && difference.high >= 1.0, "{difference:?}");
        let ratio = contrast.ratio.expect("users failed");
        assert!((ratio.seen - 2.0).abs() < 1e-9 && ratio.low > 1.0, "{ratio:?}");
        let mut uncounted = seen((900, 90), (100, 20));
        uncounted.canary.failed_users = None;
        let contrast = Contrast::of(&uncounted, 10, true);
        assert_eq!((contrast.ratio, contrast.worse), (None, 1.0));
    }

    #[test]
    fn what_holds_however_often_one_looks_is_wrong_about_two_alike_in_few_runs() {
        let (mut wrong, mut told) = (0, 0);
        for seed in 0..400 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut stable, mut canary) = ((0, 0), (0, 0));
            let (mut missed, mut fooled) = (false, false);
            for _ in 0..100 {
                for _ in 0..50 {
                    let arm = if rng.f64() < 0.3 { &mut canary } else { &mut stable };
                    arm.0 += 1;
                    arm.1 += u64::from(rng.f64() < 0.05);
                }
                let contrast = Contrast::of(&seen(stable, canary), 30, false);
                missed |= contrast.error_rate.is_some_and(|interval| !interval.holds(0.0));
                missed |= contrast.ratio.is_some_and(|interval| !interval.holds(1.0));
                fooled |= contrast.worse >= 20.0 || contrast.better >= 20.0;
            }
            wrong += i32::from(missed);
            told += i32::from(fooled);
        }
        // Two intervals of 1 in 20 each, and evidence of 20 in two directions.
        assert!(wrong <= 40 && told <= 40, "{wrong} and {told} of 400");
    }

    proptest! {
        #[test]
        fn what_was_seen_lies_within_its_bounds(
            stable in (1..5000_u64, 0..5000_u64), canary in (1..5000_u64, 0..5000_u64), weight in 1..100_u8, sticky: bool,
        ) {
            let arm = |(requests, errors): (u64, u64)| (requests, errors.min(requests));
            let contrast = Contrast::of(&seen(arm(stable), arm(canary)), weight, sticky);
            for interval in contrast.error_rate.into_iter().chain(contrast.ratio) {
                prop_assert!(interval.low <= interval.seen && interval.seen <= interval.high, "{:?}", interval);
            }
            prop_assert!(contrast.worse >= 0.0 && contrast.better >= 0.0);
        }

        #[test]
        fn the_evidence_is_that_of_the_comparison_of_a_rollout(canary in 0..60_u64, stable in 0..300_u64, weight in 1..100_u8) {
            let contrast = Contrast::of(&seen((10_000, stable), (10_000, canary)), weight, false);
            let mut comparison = Comparison::from_the_start();
            comparison.observe(f64::from(weight) / 100.0, canary, stable, Duration::from_secs(60));
            let expected = comparison.evidence().min(TOLD);
            prop_assert!((contrast.worse - expected).abs() <= 1e-6 * expected.max(1.0), "{} {}", contrast.worse, expected);
        }
    }
}
