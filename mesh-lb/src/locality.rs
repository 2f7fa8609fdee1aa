//! How much of a service's traffic stays in the zone of its caller.
//!
//! A near endpoint is quicker and its traffic costs nothing, but if every caller kept to its own zone, a zone with
//! few endpoints and many callers would be overrun. So a zone keeps what its endpoints can carry, and the rest goes
//! where there is room: every endpoint, near or far, then gets the same load for its weight.
//!
//! Nobody tells how many callers a zone has. They are taken to be spread evenly over the zones that have
//! endpoints. Where that is wrong, load shows it: [`spills`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mesh_core::Endpoint;

/// Fewer endpoints than this are not divided: one more or less of them would move too much.
pub const MIN_ENDPOINTS: usize = 6;

/// A near endpoint may have so many more requests in flight than twice those of a far one.
const SLACK: u32 = 4;

/// The shares of the zones, for callers in one of them.
///
/// ```
/// use mesh_core::Endpoint;
/// use mesh_lb::locality::Locality;
///
/// // Two in zone a, four in zone b: a can carry 2/6 of the load and has half of the callers.
/// let endpoint = |n: u16| {
///     let zone = if n <= 2 { "a" } else { "b" };
///     Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], n)).into()).with_zone(Some(zone.into()))
/// };
/// let endpoints: Vec<_> = (1..=6).map(endpoint).collect();
///
/// let in_a = Locality::of(Some("a"), &endpoints)?;
/// assert_eq!((in_a.share(Some("a")), in_a.share(Some("b"))), (2.0 / 3.0, 1.0 / 3.0));
/// let in_b = Locality::of(Some("b"), &endpoints)?;
/// assert_eq!((in_b.share(Some("a")), in_b.share(Some("b"))), (0.0, 1.0));
/// # Ok::<(), mesh_lb::locality::NoPreference>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Locality {
    shares: Vec<ZoneShare>,
}

#[derive(Clone, Debug, PartialEq)]
struct ZoneShare {
    zone: Option<Arc<str>>,
    /// Of the callers' requests.
    share: f64,
    /// Of the weight of all endpoints.
    capacity: f64,
}

/// Why all endpoints are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoPreference {
    /// Nobody said which zone the caller is in.
    OwnZoneUnknown,
    /// There are fewer than [`MIN_ENDPOINTS`].
    TooFew,
    /// None is in the caller's zone.
    NobodyNear,
}

impl fmt::Display for NoPreference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnZoneUnknown => f.write_str("no zone is preferred: the own zone is not known"),
            Self::TooFew => write!(
                f,
                "no zone is preferred: there are fewer than {MIN_ENDPOINTS} endpoints"
            ),
            Self::NobodyNear => f.write_str("no zone is preferred: no endpoint is in the own zone"),
        }
    }
}

impl std::error::Error for NoPreference {}

impl Locality {
    /// The shares for callers in the zone `own`. Endpoints without a weight carry nothing and do not count; those
    /// without a zone are far from everybody.
    ///
    /// # Errors
    /// Why no zone is preferred: then requests go to all endpoints by weight.
    pub fn of<'a>(
        own: Option<&str>,
        endpoints: impl IntoIterator<Item = &'a Endpoint>,
    ) -> Result<Self, NoPreference> {
        let own = own.ok_or(NoPreference::OwnZoneUnknown)?;
        let (mut weights, mut count) = (BTreeMap::<Option<Arc<str>>, u64>::new(), 0);
        for endpoint in endpoints.into_iter().filter(|e| e.weight > 0) {
            *weights.entry(endpoint.zone.clone()).or_default() += u64::from(endpoint.weight);
            count += 1;
        }
        if count < MIN_ENDPOINTS {
            return Err(NoPreference::TooFew);
        }
        let near = weights
            .iter()
            .find(|(zone, _)| zone.as_deref() == Some(own))
            .map(|(_, weight)| u128::from(*weight))
            .ok_or(NoPreference::NobodyNear)?;

        let total: u128 = weights.values().map(|weight| u128::from(*weight)).sum();
        let zones = weights.keys().flatten().count() as u128;
        // Everything times `zones * total`, to stay with whole numbers: a zone's callers make `total` of load, and
        // its endpoints carry `zones * weight`.
        let kept = (near * zones).min(total);
        let room = |zone: &Option<Arc<str>>, weight: u64| {
            let callers = if zone.is_some() { total } else { 0 };
            (u128::from(weight) * zones).saturating_sub(callers)
        };
        let all_room: u128 = weights.iter().map(|(zone, weight)| room(zone, *weight)).sum();
        let of_callers = |load: u128| load as f64 / total as f64;
        let share = |zone: &Option<Arc<str>>, weight| {
            if zone.as_deref() == Some(own) {
                of_callers(kept)
            } else if kept == total {
                0.0
            } else {
                // There is room: what one zone cannot carry, others can.
                of_callers(total - kept) * room(zone, weight) as f64 / all_room as f64
            }
        };
        let shares = weights.iter().map(|(zone, weight)| ZoneShare {
            zone: zone.clone(),
            share: share(zone, *weight),
            capacity: *weight as f64 / total as f64,
        });
        Ok(Self {
            shares: shares.collect(),
        })
    }

    /// The share of the requests that goes to this zone, 0 to 1; `None` are the endpoints without a zone.
    pub fn share(&self, zone: Option<&str>) -> f64 {
        self.find(zone).map_or(0.0, |found| found.share)
    }

    /// What the weight of an endpoint in this zone is to be multiplied with, so that the zones get their shares
    /// (see [`weight::scaled`](crate::weight::scaled)). 1 is the endpoint's share without any preference.
    pub fn factor(&self, zone: Option<&str>) -> f64 {
        self.find(zone).map_or(0.0, |found| found.share / found.capacity)
    }

    fn find(&self, zone: Option<&str>) -> Option<&ZoneShare> {
        self.shares.iter().find(|share| share.zone.as_deref() == zone)
    }
}

/// Whether a request is better served by a far endpoint than by a near one, going by their requests in flight: the
/// near one has more than twice as many, and a few more. So a zone with more callers than was thought, or with
/// slow endpoints, gets help before anything fails.
///
/// ```
/// use mesh_lb::locality::spills;
///
/// assert!(!spills(4, 0)); // hardly anything to do
/// assert!(!spills(20, 10)); // busy, and so are the others
/// assert!(spills(40, 10));
/// ```
pub fn spills(near: u32, far: u32) -> bool {
    u64::from(near) > 2 * u64::from(far) + u64::from(SLACK)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Endpoints by their zone and weight.
    fn endpoints(all: &[(Option<&str>, u32)]) -> Vec<Endpoint> {
        let endpoint = |(n, (zone, weight)): (usize, &(Option<&str>, u32))| {
            Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], n as u16 + 1)).into())
                .with_zone(zone.map(Arc::from))
                .with_weight(*weight)
        };
        all.iter().enumerate().map(endpoint).collect()
    }

    #[test]
    fn a_zone_that_can_carry_its_callers_keeps_them_all() {
        let all = endpoints(
            &[(Some("a"), 1); 6]
                .iter()
                .chain(&[(Some("b"), 1); 6])
                .copied()
                .collect::<Vec<_>>(),
        );
        for (own, other) in [("a", "b"), ("b", "a")] {
            let locality = Locality::of(Some(own), &all).expect("enough");
            assert_eq!(
                (locality.share(Some(own)), locality.share(Some(other))),
                (1.0, 0.0)
            );
            assert_eq!(
                (locality.factor(Some(own)), locality.factor(Some(other))),
                (2.0, 0.0)
            );
        }
    }

    #[test]
    fn what_a_zone_cannot_carry_goes_where_there_is_room() {
        // A third of the callers each; a carries 10 %, b 40 %, c 50 %.
        let all = endpoints(&[
            (Some("a"), 10),
            (Some("b"), 20),
            (Some("b"), 20),
            (Some("c"), 20),
            (Some("c"), 20),
            (Some("c"), 10),
        ]);
        let locality = Locality::of(Some("a"), &all).expect("enough");
        let close = |zone, expected: f64| {
            let share = locality.share(Some(zone));
            assert!((share - expected).abs() < 1e-12, "{zone}: {share}");
        };
        close("a", 0.3);
        // The room is 4 - 10/3 and 5 - 10/3.
        close("b", 0.7 * 2.0 / 7.0);
        close("c", 0.7 * 5.0 / 7.0);
        assert_eq!(locality.share(Some("nowhere")), 0.0);
    }

    #[test]
    fn endpoints_without_a_zone_help_those_that_have_too_few() {
        let all = endpoints(&[
            (Some("a"), 1),
            (Some("b"), 2),
            (Some("b"), 1),
            (None, 1),
            (None, 1),
            (None, 1),
        ]);
        let locality = Locality::of(Some("a"), &all).expect("enough");
        assert_eq!(locality.share(Some("a")), 2.0 / 7.0);
        assert_eq!(locality.share(None), 5.0 / 7.0);
        assert_eq!(locality.share(Some("b")), 0.0);
    }

    #[test]
    fn without_a_zone_without_enough_or_without_a_near_one_all_are_alike() {
        let five = endpoints(&[(Some("a"), 1); 5]);
        assert_eq!(Locality::of(Some("a"), &five), Err(NoPreference::TooFew));
        let weightless = endpoints(&[(Some("a"), 1), (Some("a"), 0)].repeat(5));
        assert_eq!(Locality::of(Some("a"), &weightless), Err(NoPreference::TooFew));
        let six = endpoints(&[(Some("a"), 1); 6]);
        assert_eq!(Locality::of(None, &six), Err(NoPreference::OwnZoneUnknown));
        assert_eq!(Locality::of(Some("b"), &six), Err(NoPreference::NobodyNear));
        assert_eq!(
            NoPreference::TooFew.to_string(),
            "no zone is preferred: there are fewer than 6 endpoints"
        );
        let none_is_no_zone = endpoints(&[(None, 1); 6]);
        assert_eq!(
            Locality::of(Some("a"), &none_is_no_zone),
            Err(NoPreference::NobodyNear)
        );
    }

    #[test]
    fn a_busy_zone_is_helped_by_one_that_is_not() {
        assert!(spills(5, 0));
        assert!(!spills(4, 0));
        assert!(spills(25, 10));
        assert!(!spills(24, 10));
        assert!(!spills(u32::MAX, u32::MAX));
    }

    fn fleet() -> impl Strategy<Value = Vec<Endpoint>> {
        let zone = prop_oneof![
            4 => Just(Some("a")),
            2 => Just(Some("b")),
            1 => Just(Some("c")),
            1 => Just(None),
        ];
        let weight = prop_oneof![5 => 0..20_u32, 1 => Just(u32::MAX)];
        proptest::collection::vec((zone, weight), 5..40).prop_map(|all| endpoints(&all))
    }

    proptest! {
        #[test]
        fn the_shares_are_all_of_the_requests_and_factors_give_them(all in fleet()) {
            let Ok(locality) = Locality::of(Some("a"), &all) else {
                return Ok(());
            };
            let zones = [Some("a"), Some("b"), Some("c"), None];
            let sum: f64 = zones.iter().map(|zone| locality.share(*zone)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9, "{}", sum);
            let weighed = |e: &Endpoint| f64::from(e.weight) * locality.factor(e.zone.as_deref());
            let total: f64 = all.iter().map(weighed).sum();
            for zone in zones {
                let here: f64 = all.iter().filter(|e| e.zone.as_deref() == zone).map(weighed).sum();
                prop_assert!((here / total - locality.share(zone)).abs() < 1e-9);
            }
        }

        #[test]
        fn with_callers_spread_evenly_every_endpoint_gets_the_same_load_for_its_weight(all in fleet()) {
            let named = |zone: &&str| all.iter().any(|e| e.weight > 0 && e.zone.as_deref() == Some(zone));
            let callers: Vec<&str> = ["a", "b", "c"].iter().filter(|zone| named(zone)).copied().collect();
            let localities: Vec<_> = callers.iter().filter_map(|own| Locality::of(Some(own), &all).ok()).collect();
            if localities.is_empty() {
                return Ok(());
            }
            prop_assert_eq!(localities.len(), callers.len());
            for endpoint in all.iter().filter(|e| e.weight > 0) {
                let factors = localities.iter().map(|l| l.factor(endpoint.zone.as_deref()));
                let load = factors.sum::<f64>() / callers.len() as f64;
                prop_assert!((load - 1.0).abs() < 1e-9, "{:?}: {}", endpoint.zone, load);
            }
        }
    }
}
