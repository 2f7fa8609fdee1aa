//! What share of the requests the canary really got, where users stay with their version.

use super::{Evidence, Finding, Number};
use crate::statistics::{SplitCheck, Tally};

/// How often so many users may be called uneven that are as even as chance makes them.
const FALSE_ALARM: f64 = 0.001;

/// A difference below this part of the smaller share is not told.
const HARMLESS: f64 = 0.1;

impl Evidence {
    /// The canary's share of this stage's requests, if it is further from the stage's weight than chance explains over as
    /// many users as were seen: then a few of them send much more than others, and take it with them to their version.
    /// That says nothing against either. Nothing where users are not told apart.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mesh_canary::{Evidence, Stage, Window};
    /// use mesh_core::metric::Traffic;
    ///
    /// let s = Duration::from_secs;
    /// let counted = |requests, users| Traffic { requests, users: Some(users), ..Traffic::default() };
    /// let mut evidence = Evidence::new(Stage::new(0, 10, s(0)));
    /// let window = Window::new(s(0), s(5)).with_weight(10);
    /// evidence.push(window.with_stable(counted(9_000, 900)).with_canary(counted(9_000, 100)))?;
    /// let uneven = evidence.uneven_share().expect("half instead of a tenth");
    /// assert_eq!(uneven.to_string(), "the canary's share of the requests 50% (at most 10%, 18000 requests in 5s)");
    /// # Ok::<(), mesh_canary::EvidenceError>(())
    /// ```
    pub fn uneven_share(&self) -> Option<Finding> {
        let weight = self.stage().weight;
        let share = f64::from(weight) / 100.0;
        let users = self.windows().iter().try_fold(0_u64, |sum, window| {
            let (stable, canary) = window.stable.users.zip(window.canary.users)?;
            Some(sum.saturating_add(stable).saturating_add(canary))
        })?;
        let (mut seen, mut span) = (Tally::default(), std::time::Duration::ZERO);
        for window in self
            .stage_windows()
            .iter()
            .filter(|window| window.weight == weight)
        {
            let (canary, stable) = (window.canary.requests, window.stable.requests);
            seen = seen.plus(Tally::new(canary, canary.saturating_add(stable)));
            span = span.saturating_add(window.length());
        }
        let got = seen.share()?;
        // As if each user were one request: of so many, the share would be this by chance.
        let of_users = Tally::new((got * users as f64).round() as u64, users);
        let is_harmless = (got - share).abs() <= HARMLESS * share.min(1.0 - share);
        if is_harmless || SplitCheck::of(share).evidence(of_users) < 1.0 / FALSE_ALARM {
            return None;
        }
        let what = "the canary's share of the requests";
        let finding = match got > share {
            true => Finding::at_most(what, Number::Ratio(got), Number::Ratio(share)),
            false => Finding::at_least(what, Number::Ratio(got), Number::Ratio(share)),
        };
        Some(finding.seen(seen.of, span))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_core::metric::Traffic;

    use super::*;
    use crate::analyzer::{Stage, Window};

    fn evidence(stable: (u64, Option<u64>), canary: (u64, Option<u64>)) -> Evidence {
        let traffic = |(requests, users)| Traffic {
            requests,
            users,
            ..Traffic::default()
        };
        let mut evidence = Evidence::new(Stage::new(0, 10, Duration::ZERO));
        let window = Window::new(Duration::ZERO, Duration::from_secs(5)).with_weight(10);
        let window = window.with_stable(traffic(stable)).with_canary(traffic(canary));
        evidence.push(window).expect("valid");
        evidence
    }

    #[test]
    fn one_user_of_many_that_takes_half_of_the_requests_along_is_noticed() {
        assert!(
            evidence((9_000, Some(900)), (9_000, Some(100)))
                .uneven_share()
                .is_some()
        );
        let too_few = evidence((99_900, Some(900)), (100, Some(100))).uneven_share();
        let told = too_few.expect("a thousandth instead of a tenth").to_string();
        assert!(told.contains("0.1% (at least 10%"), "{told}");
    }

    #[test]
    fn what_chance_makes_of_a_few_users_is_none_of_it() {
        assert_eq!(
            evidence((10_000, Some(1)), (0, Some(0))).uneven_share(),
            None,
            "one user, one version"
        );
        assert_eq!(evidence((5_000, Some(5)), (1_500, Some(1))).uneven_share(), None);
        assert_eq!(
            evidence((9_000, Some(900)), (1_050, Some(100))).uneven_share(),
            None,
            "nearly right"
        );
        assert_eq!(
            evidence((9_000, None), (9_000, None)).uneven_share(),
            None,
            "nobody tells users apart"
        );
        assert_eq!(evidence((0, Some(0)), (0, Some(0))).uneven_share(), None);
    }
}
