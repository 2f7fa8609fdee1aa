//! Shares of a service's versions that change while requests are routed.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use mesh_core::split::{SplitError, SplitErrorKind, TrafficSplit, Weights as Told};
use mesh_core::{Live, Publisher, ServiceName, Version, live};

use super::pins::salt;
use super::weights::Weights;

/// The shares of a service's versions, changed by whoever rolls one out and read by every table that was compiled
/// with it ([`Service::with_split`](crate::Service::with_split)). A request reads them without a lock, and no
/// table is compiled anew.
///
/// It begins with everything at the stable version. Endpoints without a version are called `stable` here.
///
/// ```
/// use mesh_core::{TrafficSplit, Weights};
/// use mesh_traffic::LiveSplit;
///
/// let split = LiveSplit::new("orders".parse()?, Some("v1".parse()?), ["v2".parse()?]);
/// assert_eq!(split.to_string(), "orders: v1 100%, v2 0%");
/// split.set_weights(&Weights::two("orders".parse()?, ("v1".parse()?, "v2".parse()?), 5)?)?;
/// assert_eq!(split.to_string(), "orders: v1 95%, v2 5%");
///
/// let unknown = Weights::two("orders".parse()?, ("v1".parse()?, "v3".parse()?), 5)?;
/// let error = split.set_weights(&unknown).expect_err("nothing serves v3");
/// assert_eq!(error.to_string(), "orders has no version v3; expected v1 or v2");
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone)]
pub struct LiveSplit {
    inner: Arc<Inner>,
}

struct Inner {
    service: ServiceName,
    /// The stable one first.
    versions: Box<[Option<Version>]>,
    publisher: Publisher<Shares>,
    shares: Live<Shares>,
}

/// The shares of a moment.
#[derive(PartialEq, Eq)]
pub(crate) struct Shares {
    /// Canaries before the stable version.
    pub(crate) weights: Weights,
    /// For each weight the version, as a place among all.
    pub(crate) versions: Box<[usize]>,
    /// Among the weights: whom `false` and `never` mean.
    pub(crate) stable: usize,
    /// Among the weights: whom `true` and `always` mean.
    pub(crate) canary: Option<usize>,
    pub(crate) salt: u64,
}

/// What endpoints without a version are called.
const STABLE: &str = "stable";

fn name_of(version: Option<&Version>) -> &str {
    version.map_or(STABLE, Version::as_str)
}

impl LiveSplit {
    /// The versions of a service, everything at the stable one; `None`: what endpoints without a version are.
    pub fn new(
        service: ServiceName,
        stable: Option<Version>,
        others: impl IntoIterator<Item = Version>,
    ) -> Self {
        let mut versions = vec![stable];
        for version in others {
            let known = |known: &Option<Version>| name_of(known.as_ref()) == version.as_str();
            if !versions.iter().any(known) {
                versions.push(Some(version));
            }
        }
        let at_rest = (0..versions.len()).map(|place| (place, if place == 0 { 100 } else { 0 }));
        let (publisher, shares) = live(Shares::of(&service, &versions, at_rest));
        Self {
            inner: Arc::new(Inner {
                service,
                versions: versions.into(),
                publisher,
                shares,
            }),
        }
    }

    /// The service.
    pub fn service(&self) -> &ServiceName {
        &self.inner.service
    }

    /// Whether both are one.
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Its versions, the stable one first; `None`: what endpoints without a version are.
    pub fn versions(&self) -> &[Option<Version>] {
        &self.inner.versions
    }

    /// The share of a version in force, in percent.
    pub fn share(&self, version: Option<&Version>) -> u32 {
        let shares = self.inner.shares.load();
        let is = |place: &usize| self.inner.versions[*place].as_ref() == version;
        let at = shares.versions.iter().position(is);
        at.map_or(0, |place| shares.weights.get(place))
    }

    /// Takes over the shares of a split that this one takes the place of, if it has all of its versions with a
    /// share.
    pub fn succeed(&self, before: &Self) {
        let now = before.inner.shares.load();
        let same = |place: &usize| {
            let version = &before.inner.versions[*place];
            self.inner.versions.iter().position(|known| known == version)
        };
        // In the order they were told: the stable one, which is drawn last, first.
        let order = std::iter::once(now.stable).chain((0..now.versions.len()).filter(|n| *n != now.stable));
        let shares: Option<Vec<(usize, u32)>> = order
            .filter(|n| *n == now.stable || now.weights.get(*n) > 0 || Some(*n) == now.canary)
            .map(|n| Some((same(now.versions.get(n)?)?, now.weights.get(n))))
            .collect();
        if let Some(shares) = shares {
            let shares = Shares::of(&self.inner.service, &self.inner.versions, shares.into_iter());
            self.inner.publisher.publish(shares);
        }
    }

    pub(crate) fn load(&self) -> impl Deref<Target = Arc<Shares>> {
        self.inner.shares.load()
    }

    fn unknown(&self, version: &Version) -> SplitError {
        let known: Vec<&str> = self.inner.versions.iter().map(|v| name_of(v.as_ref())).collect();
        let message = format!(
            "{} has no version {version}; expected {}",
            self.inner.service,
            known.join(" or ")
        );
        SplitError::new(SplitErrorKind::UnknownVersion, message)
    }
}

/// As `orders: v1 95%, v2 5%`.
impl fmt::Display for LiveSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.inner.service)?;
        for (place, version) in self.inner.versions.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let (name, share) = (name_of(version.as_ref()), self.share(version.as_ref()));
            write!(f, "{comma} {name} {share}%")?;
        }
        Ok(())
    }
}

impl fmt::Debug for LiveSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveSplit({self})")
    }
}

impl Shares {
    /// Shares that add up to 100, of versions by their places; the first is the stable one.
    fn of(
        service: &ServiceName,
        versions: &[Option<Version>],
        shares: impl Iterator<Item = (usize, u32)>,
    ) -> Self {
        let mut shares: Vec<(usize, u32)> = shares.collect();
        // Whoever is drawn first keeps what it has when its share grows.
        let first = shares.len().min(1);
        shares.rotate_left(first);
        let stable = shares.len().saturating_sub(1);
        let with_share = shares[..stable].iter().rposition(|(_, share)| *share > 0);
        let canary = with_share.or_else(|| stable.checked_sub(1));
        let canary_name = canary.map_or("", |canary| name_of(versions[shares[canary].0].as_ref()));
        let places: Box<[usize]> = shares.iter().map(|(place, _)| *place).collect();
        // They add up to 100, so there is one.
        let weights =
            Weights::relative(shares.iter().map(|(_, share)| *share)).unwrap_or_else(|_| Weights::one());
        Self {
            weights,
            stable,
            canary,
            salt: salt(&format!("{service}/{canary_name}")),
            versions: places,
        }
    }
}

impl TrafficSplit for LiveSplit {
    /// The first version of the weights is the stable one: whom a header of `false` or a cookie of `never` means.
    /// The last of the others with a share is the canary. One that is not known may be among them without a share.
    fn set_weights(&self, weights: &Told) -> Result<(), SplitError> {
        let inner = &*self.inner;
        if *weights.service() != inner.service {
            let message = format!(
                "these are the versions of {}, not of {}",
                inner.service,
                weights.service()
            );
            return Err(SplitError::new(SplitErrorKind::UnknownService, message));
        }
        let places = weights.shares().iter().filter_map(|(version, share)| {
            let is = |known: &Option<Version>| name_of(known.as_ref()) == version.as_str();
            match (inner.versions.iter().position(is), share) {
                (Some(place), _) => Some(Ok((place, u32::from(*share)))),
                // It left, and is to get nothing.
                (None, 0) => None,
                (None, _) => Some(Err(self.unknown(version))),
            }
        });
        let places = places.collect::<Result<Vec<_>, SplitError>>()?;
        let shares = Shares::of(&inner.service, &inner.versions, places.into_iter());
        if shares != **inner.shares.load() {
            inner.publisher.publish(shares);
        }
        Ok(())
    }
}

/// The splits of several services: one [`TrafficSplit`] for all of them.
///
/// ```
/// use mesh_core::{TrafficSplit, Weights};
/// use mesh_traffic::router::{LiveSplit, LiveSplits};
///
/// let orders = LiveSplit::new("orders".parse()?, Some("v1".parse()?), ["v2".parse()?]);
/// let splits: LiveSplits = [orders.clone()].into_iter().collect();
/// splits.set_weights(&Weights::two("orders".parse()?, ("v1".parse()?, "v2".parse()?), 20)?)?;
/// assert_eq!(orders.share(Some(&"v2".parse()?)), 20);
/// assert!(splits.set_weights(&Weights::all_to("users".parse()?, "v1".parse()?)).is_err());
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LiveSplits {
    splits: HashMap<ServiceName, LiveSplit>,
}

impl LiveSplits {
    /// The split of a service.
    pub fn get(&self, service: &ServiceName) -> Option<&LiveSplit> {
        self.splits.get(service)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &LiveSplit> {
        self.splits.values()
    }
}

impl FromIterator<LiveSplit> for LiveSplits {
    fn from_iter<I: IntoIterator<Item = LiveSplit>>(splits: I) -> Self {
        let named = |split: LiveSplit| (split.service().clone(), split);
        Self {
            splits: splits.into_iter().map(named).collect(),
        }
    }
}

impl TrafficSplit for LiveSplits {
    fn set_weights(&self, weights: &Told) -> Result<(), SplitError> {
        match self.splits.get(weights.service()) {
            Some(split) => split.set_weights(weights),
            None => Err(SplitError::new(
                SplitErrorKind::UnknownService,
                format!(
                    "{} has no versions that could share its requests",
                    weights.service()
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split() -> LiveSplit {
        let version = |text: &str| text.parse().expect("a version");
        LiveSplit::new(
            "orders".parse().expect("a name"),
            None,
            [version("v2"), version("v3"), version("v2")],
        )
    }

    fn told(shares: &[(&str, u8)]) -> Told {
        let shares = shares
            .iter()
            .map(|(version, share)| (version.parse().expect("a version"), *share));
        Told::new("orders".parse().expect("a name"), shares).expect("they add up")
    }

    #[test]
    fn endpoints_without_a_version_are_stable() {
        let split = split();
        assert_eq!(split.to_string(), "orders: stable 100%, v2 0%, v3 0%");
        split
            .set_weights(&told(&[("stable", 80), ("v3", 20)]))
            .expect("both are known");
        assert_eq!(split.to_string(), "orders: stable 80%, v2 0%, v3 20%");
        let shares = split.load();
        assert_eq!((shares.stable, shares.canary), (1, Some(0)));
        assert_eq!(&*shares.versions, [2, 0]);
    }

    #[test]
    fn a_version_that_left_may_be_told_of_if_it_gets_nothing() {
        let split = split();
        split
            .set_weights(&told(&[("stable", 100), ("v9", 0)]))
            .expect("nothing goes there");
        assert_eq!(split.to_string(), "orders: stable 100%, v2 0%, v3 0%");
        assert!(split.set_weights(&told(&[("stable", 99), ("v9", 1)])).is_err());
    }

    #[test]
    fn whoever_takes_its_place_takes_over_the_shares() {
        let before = split();
        before
            .set_weights(&told(&[("stable", 80), ("v3", 20)]))
            .expect("both are known");
        let version = |text: &str| text.parse().expect("a version");
        let service = || "orders".parse().expect("a name");
        let next = LiveSplit::new(service(), None, [version("v3"), version("v4")]);
        next.succeed(&before);
        assert_eq!(next.to_string(), "orders: stable 80%, v3 20%, v4 0%");
        let other = LiveSplit::new(service(), None, [version("v4")]);
        other.succeed(&before);
        assert_eq!(other.to_string(), "orders: stable 100%, v4 0%");
    }

    #[test]
    fn a_canary_without_a_share_is_still_the_one_that_is_meant() {
        let split = split();
        split
            .set_weights(&told(&[("stable", 100), ("v2", 0)]))
            .expect("both are known");
        assert_eq!(split.load().canary, Some(0));
        split.set_weights(&told(&[("v2", 100)])).expect("it is known");
        let shares = split.load();
        assert_eq!(
            (shares.stable, shares.canary, shares.weights.only()),
            (0, None, Some(0))
        );
    }
}
