//! When a generation of a CA has to be ready, and when it may go.

use std::time::{Duration, SystemTime};

use crate::authority::{CaError, CaErrorKind};

const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const MONTH: Duration = Duration::from_secs(30 * 86_400);
/// How far clocks may be apart.
pub(super) const SKEW: Duration = Duration::from_secs(300);
/// How long a generation is kept behind the end of its last certificate.
const GRACE: Duration = DAY;

/// The two lifetimes that everything follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// How long a root is good for.
    pub(super) root: Duration,
    /// How long what it signs is good for at most.
    pub(super) longest_leaf: Duration,
}

impl Times {
    /// How long before the end of the one that signs the next one takes over: what is signed a moment before is still
    /// good to its own end, and there is a day for what goes wrong.
    pub(super) fn activate_before(self) -> Duration {
        match self.is_doomed() {
            true => self.root / 3,
            false => self.wanted_activate_before(),
        }
    }

    /// How long before the end of the one that signs the next one is made: there is a day at least for everybody to
    /// learn of it.
    pub(super) fn prepare_before(self) -> Duration {
        match self.is_doomed() {
            // Of a CA that was made before this was asked of one: it would be replaced all the time.
            true => self.root / 2,
            false => self.wanted_prepare_before(),
        }
    }

    fn wanted_activate_before(self) -> Duration {
        let leaf = self.longest_leaf.saturating_add(SKEW + DAY);
        (self.root / 6).min(WEEK).max(leaf)
    }

    fn wanted_prepare_before(self) -> Duration {
        let learn = (self.root / 2).min(MONTH).max(DAY);
        self.wanted_activate_before().saturating_add(learn)
    }

    /// How long before its own end a generation that waits takes over, if the one that signs lives longer: so that there
    /// is a day still for its successor.
    pub(super) fn take_over_before(self) -> Duration {
        self.activate_before().saturating_add(DAY)
    }

    /// Whether a root would have to be replaced before it is a day old.
    fn is_doomed(self) -> bool {
        self.wanted_prepare_before().saturating_add(DAY) > self.root
    }

    /// When a generation may go that signs no more: `since` then, and the last of what it signed is good until
    /// `last_leaf`.
    pub(super) fn removable_at(since: SystemTime, last_leaf: Option<SystemTime>) -> SystemTime {
        let last = last_leaf.map_or(since, |last| last.max(since));
        last.checked_add(SKEW + GRACE).unwrap_or(last)
    }

    /// A root that ends before what it signed can be replaced makes a CA that fails when it is too late.
    pub(super) fn check(self) -> Result<(), CaError> {
        let (root, leaf) = (self.root.as_secs(), self.longest_leaf.as_secs());
        let refuse = |message| Err(CaError::new(CaErrorKind::InvalidRequest, message));
        if leaf == 0 {
            return refuse("certificates are to be good for less than a second: expected more".to_owned());
        }
        if leaf.checked_mul(2).is_none_or(|twice| twice > root) {
            return refuse(format!(
                "the root is to be good for {root} s, and what it signs for up to {leaf} s: 2 x {leaf} is more than \
                 {root}. Let the root live longer, or certificates shorter"
            ));
        }
        if self.is_doomed() {
            let (activate, prepare) = (
                self.wanted_activate_before().as_secs(),
                self.wanted_prepare_before().as_secs(),
            );
            let learn = prepare.saturating_sub(activate);
            return refuse(format!(
                "the root is to be good for {root} s, and its successor would have to be there {prepare} s before its \
                 end: {activate} s, in which the longest certificate ({leaf} s), clocks that differ ({} s) and what goes \
                 wrong ({} s) have room, and {learn} s until everybody trusts it. With a day before that it is {} s: let \
                 the root live so long, or certificates shorter",
                SKEW.as_secs(),
                DAY.as_secs(),
                prepare.saturating_add(DAY.as_secs()),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(root: Duration, longest_leaf: Duration) -> Times {
        Times { root, longest_leaf }
    }

    #[test]
    fn by_default_the_next_one_is_made_13_months_before_the_end_and_takes_over_a_month_later() {
        let default = times(3_650 * DAY, 365 * DAY);
        assert_eq!(default.activate_before(), 366 * DAY + SKEW);
        assert_eq!(default.prepare_before(), 396 * DAY + SKEW);
        let short = times(90 * DAY, Duration::from_secs(3_600));
        assert_eq!(
            (short.activate_before(), short.prepare_before()),
            (WEEK, 37 * DAY)
        );
    }

    #[test]
    fn a_root_that_would_be_replaced_as_soon_as_it_is_made_is_refused_with_the_arithmetic() {
        let error = times(3 * DAY, DAY).check().expect_err("doomed").to_string();
        // A day for the longest certificate, one for what goes wrong, a day and a half to learn of it.
        for said in [
            "good for 259200 s",
            "there 302700 s before its end",
            "certificate (86400 s)",
            "129600 s until everybody",
            "it is 389100 s",
        ] {
            assert!(error.contains(said), "{said:?} is not in {error}");
        }
        times(7 * DAY, DAY).check().expect("long enough");
    }

    proptest! {
        #[test]
        fn of_lifetimes_that_pass_each_root_rests_before_its_successor_is_made_and_outlives_what_it_signs(
            root in 1_u64..1 << 33, leaf in 0_u64..1 << 32,
        ) {
            let times = times(Duration::from_secs(root), Duration::from_secs(leaf));
            if times.check().is_ok() {
                prop_assert!(times.prepare_before() + DAY <= times.root);
                prop_assert!(times.prepare_before() >= times.activate_before() + DAY);
                prop_assert!(times.activate_before() >= times.longest_leaf + SKEW + DAY);
            } else {
                // What was made before this was asked still is not replaced without end.
                prop_assert!(times.prepare_before() < times.root.max(Duration::from_nanos(1)));
                prop_assert!(times.activate_before() <= times.prepare_before());
            }
        }
    }
}
