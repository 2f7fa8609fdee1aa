//! How many endpoints may be left out at once.
//!
//! Whoever fails, a service with most of its endpoints ejected fails more: the rest takes all of the load. So
//! there is a cap, and the last endpoint that takes requests stays whatever it does.

use std::fmt;

use tokio::time::Instant;

/// How many endpoints of a service may be ejected at once: a share of them, rounded down, but at least one, and
/// never the last that takes requests.
///
/// ```
/// use mesh_lb::outlier::{EjectionCap, Spared, Standing};
///
/// let cap = EjectionCap::default();
/// let standing = Standing { endpoints: 3, ejected: 0, available: 3 };
/// assert_eq!(cap.check(standing), Ok(()));
///
/// let spared = cap.check(Standing { endpoints: 3, ejected: 1, available: 2 }).expect_err("50% of 3 is 1");
/// assert_eq!(spared.to_string(), "1 of 3 endpoints are ejected already, the most that maxEjectionPercent allows");
/// assert_eq!(cap.check(Standing { endpoints: 2, ejected: 0, available: 1 }), Err(Spared::Last));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EjectionCap {
    percent: f64,
}

impl Default for EjectionCap {
    /// Half of them.
    fn default() -> Self {
        Self::new(50.0)
    }
}

/// How the endpoints of a service stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many there are.
    pub endpoints: usize,
    /// How many of them are ejected.
    pub ejected: usize,
    /// How many take requests: not ejected, and healthy. The one in question is among them.
    pub available: usize,
}

/// An endpoint that is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejected<K> {
    /// Which.
    pub endpoint: K,
    /// When its ejection is over.
    pub due: Instant,
    /// Whether it would take requests if it were back: not if it is unhealthy as well.
    pub usable: bool,
}

/// Why an endpoint is not ejected though it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// No other takes requests.
    Last,
    /// Too many are ejected already.
    Cap {
        /// How many are.
        ejected: usize,
        /// Of how many.
        endpoints: usize,
    },
}

impl fmt::Display for Spared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("it is the last endpoint that takes requests"),
            Self::Cap { ejected, endpoints } => write!(
                f,
                "{ejected} of {endpoints} endpoints are ejected already, the most that maxEjectionPercent allows"
            ),
        }
    }
}

impl std::error::Error for Spared {}

impl EjectionCap {
    /// At most this share of the endpoints, in percent. 0 (and less, and NaN) ejects none; 100 (and more) all but
    /// one.
    pub fn new(percent: f64) -> Self {
        let percent = if percent.is_nan() { 0.0 } else { percent };
        Self {
            percent: percent.clamp(0.0, 100.0),
        }
    }

    /// How many of so many endpoints may be ejected at once.
    pub fn limit(self, endpoints: usize) -> usize {
        if endpoints < 2 || self.percent == 0.0 {
            return 0;
        }
        let share = (endpoints as f64 * self.percent / 100.0) as usize;
        share.clamp(1, endpoints - 1)
    }

    /// Whether one more may be ejected. Decide one at a time, and count each before the next: two that are decided
    /// on the same standing may both be told yes.
    ///
    /// # Errors
    /// Why it is spared.
    pub fn check(self, standing: Standing) -> Result<(), Spared> {
        let Standing {
            endpoints,
            ejected,
            available,
        } = standing;
        if endpoints < 2 || available < 2 {
            return Err(Spared::Last);
        }
        if ejected >= self.limit(endpoints) {
            return Err(Spared::Cap { ejected, endpoints });
        }
        Ok(())
    }

    /// Which of the ejected come back before their time: for when there are fewer endpoints than there were, or
    /// when nobody is left to take requests. Those that can take requests come first, of these the ones that had
    /// the shortest time to wait. `available` is how many take requests without them.
    pub fn returning<K>(
        self,
        endpoints: usize,
        available: usize,
        ejected: &mut [Ejected<K>],
    ) -> &[Ejected<K>] {
        ejected.sort_by_key(|one| (!one.usable, one.due));
        let too_many = ejected.len().saturating_sub(self.limit(endpoints));
        let needed = usize::from(available == 0 && ejected.first().is_some_and(|one| one.usable));
        ejected.get(..too_many.max(needed)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn standing(endpoints: usize, ejected: usize) -> Standing {
        Standing {
            endpoints,
            ejected,
            available: endpoints - ejected,
        }
    }

    #[test]
    fn the_share_is_rounded_down_but_one_may_always_be_ejected_and_never_all() {
        for (percent, endpoints, limit) in [
            (50.0, 0, 0),
            (50.0, 1, 0),
            (50.0, 2, 1),
            (50.0, 3, 1),
            (50.0, 5, 2),
            (10.0, 3, 1),
            (33.4, 3, 1),
            (100.0, 4, 3),
            (250.0, 4, 3),
            (0.0, 4, 0),
            (-1.0, 4, 0),
            (f64::NAN, 4, 0),
            (100.0, usize::MAX, usize::MAX - 1),
        ] {
            assert_eq!(
                EjectionCap::new(percent).limit(endpoints),
                limit,
                "{percent}% of {endpoints}"
            );
        }
    }

    #[test]
    fn the_last_one_that_takes_requests_is_never_ejected_whatever_the_share() {
        let all = EjectionCap::new(100.0);
        assert_eq!(all.check(standing(1, 0)), Err(Spared::Last));
        assert_eq!(all.check(standing(4, 3)), Err(Spared::Last));
        // Two of three are unhealthy.
        let unhealthy = Standing {
            endpoints: 3,
            ejected: 0,
            available: 1,
        };
        assert_eq!(all.check(unhealthy), Err(Spared::Last));
    }

    #[test]
    fn a_share_of_nothing_ejects_nobody() {
        let spared = EjectionCap::new(0.0).check(standing(9, 0));
        assert_eq!(
            spared,
            Err(Spared::Cap {
                ejected: 0,
                endpoints: 9
            })
        );
    }

    #[test]
    fn when_the_set_shrinks_those_whose_ejection_ends_first_are_back_first() {
        let now = Instant::now();
        let ejected = |endpoint: char, due, usable| Ejected {
            endpoint,
            due: now + Duration::from_secs(due),
            usable,
        };
        let mut four = [
            ejected('a', 9, true),
            ejected('b', 1, false),
            ejected('c', 5, true),
            ejected('d', 7, true),
        ];
        let back: String = EjectionCap::default()
            .returning(5, 1, &mut four)
            .iter()
            .map(|one| one.endpoint)
            .collect();
        assert_eq!(back, "cd");
    }

    #[test]
    fn an_unhealthy_endpoint_is_no_help_when_nobody_is_left() {
        let due = Instant::now();
        let mut one = [Ejected {
            endpoint: 'a',
            due,
            usable: false,
        }];
        assert!(EjectionCap::default().returning(2, 0, &mut one).is_empty());
        one[0].usable = true;
        assert_eq!(EjectionCap::default().returning(2, 0, &mut one).len(), 1);
        assert!(EjectionCap::default().returning(2, 1, &mut one).is_empty());
    }

    /// An endpoint as a fleet keeps it.
    #[derive(Clone, Copy, Debug)]
    struct Kept {
        id: u32,
        healthy: bool,
        ejected: Option<Instant>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Join,
        Leave(usize),
        Health(usize, bool),
        Fail(usize, u64),
        Return(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let n = any::<usize>;
        prop_oneof![
            3 => Just(Op::Join),
            2 => n().prop_map(Op::Leave),
            2 => (n(), any::<bool>()).prop_map(|(n, healthy)| Op::Health(n, healthy)),
            6 => (n(), 0..300_u64).prop_map(|(n, due)| Op::Fail(n, due)),
            1 => n().prop_map(Op::Return),
        ]
    }

    fn available(fleet: &[Kept]) -> usize {
        fleet.iter().filter(|e| e.healthy && e.ejected.is_none()).count()
    }

    fn ejected(fleet: &[Kept]) -> Vec<Ejected<u32>> {
        let ejected = |e: &Kept| {
            e.ejected.map(|due| Ejected {
                endpoint: e.id,
                due,
                usable: e.healthy,
            })
        };
        fleet.iter().filter_map(ejected).collect()
    }

    proptest! {
        #[test]
        fn under_any_sequence_the_cap_holds_and_the_last_one_stays(
            ops in proptest::collection::vec(op(), 1..200),
            percent in 0.0..120.0_f64,
        ) {
            let (cap, start) = (EjectionCap::new(percent), Instant::now());
            let mut fleet: Vec<Kept> = Vec::new();
            let mut next = 0;
            for op in ops {
                let at = |n: usize, fleet: &[Kept]| n.checked_rem(fleet.len());
                match op {
                    Op::Join => {
                        fleet.push(Kept { id: next, healthy: true, ejected: None });
                        next += 1;
                    }
                    Op::Leave(n) => {
                        at(n, &fleet).map(|n| fleet.remove(n));
                    }
                    Op::Health(n, healthy) => {
                        if let Some(n) = at(n, &fleet) {
                            fleet[n].healthy = healthy;
                        }
                    }
                    Op::Return(n) => {
                        if let Some(n) = at(n, &fleet) {
                            fleet[n].ejected = None;
                        }
                    }
                    Op::Fail(n, due) => {
                        let Some(n) = at(n, &fleet).filter(|n| fleet[*n].healthy) else {
                            continue;
                        };
                        let standing = Standing {
                            endpoints: fleet.len(),
                            ejected: ejected(&fleet).len(),
                            available: available(&fleet),
                        };
                        if fleet[n].ejected.is_none() && cap.check(standing).is_ok() {
                            fleet[n].ejected = Some(start + Duration::from_secs(due));
                            prop_assert!(available(&fleet) > 0, "the last one was ejected");
                        }
                    }
                }
                let mut out = ejected(&fleet);
                let back = cap.returning(fleet.len(), available(&fleet), &mut out);
                for one in back {
                    let kept = fleet.iter_mut().find(|e| e.id == one.endpoint).expect("it is there");
                    kept.ejected = None;
                }
                let out = ejected(&fleet);
                prop_assert!(out.len() <= cap.limit(fleet.len()));
                prop_assert!(out.len() as f64 <= (fleet.len() as f64 * percent / 100.0).max(1.0));
                prop_assert!(available(&fleet) > 0 || out.iter().all(|one| !one.usable));
            }
        }

        #[test]
        fn whoever_may_be_ejected_leaves_another_that_takes_requests(
            endpoints in 0..40_usize,
            ejected in 0..40_usize,
            available in 0..40_usize,
            percent: f64,
        ) {
            let cap = EjectionCap::new(percent);
            let standing = Standing { endpoints, ejected, available };
            if cap.check(standing).is_ok() {
                prop_assert!(available >= 2);
                prop_assert!(ejected < cap.limit(endpoints));
            }
        }
    }
}
