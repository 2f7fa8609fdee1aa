//! A key's next endpoint on a ring.

use std::sync::Arc;

use mesh_core::KeyExtractor;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::candidate::Candidate;
use super::keyed::{Settings, Table};
use super::load_bound::LoadBound;
use crate::balancer::{LoadBalancer, Picker, SlotView};

/// Requests with one key go to one endpoint: consistent hashing on a ring, as ketama does it, with bounded
/// loads.
///
/// Each endpoint has points on a ring, as many as its weight says; a key belongs to the endpoint of the next
/// point. An endpoint that comes or goes moves its own keys and no others, and every process that knows the
/// same endpoints and weights finds the same one. An endpoint that carries more than the [`LoadBound`], or was
/// tried already, is passed over for the next on the ring. A request without a key goes anywhere.
///
/// The ring has 384 to 768 points an endpoint, so that shares are right within some 5 %, but at least 1024 and
/// at most 2¹⁸, or one an endpoint: 10 000 endpoints have 16 each. How many points a weight makes is a power of
/// two, and stays the same for most changes of a set; where it does not, more keys move.
/// [`Maglev`](super::Maglev) is faster to pick, and moves a few keys more.
///
/// ```
/// use std::sync::Arc;
/// use mesh_core::{Endpoint, KeyBy, RequestHead};
/// use mesh_lb::{LoadBalancer, PickContext, RingHash, SlotView};
/// use tokio::time::Instant;
///
/// let slot = |address: &str| -> Result<SlotView, mesh_core::endpoint::AddressError> {
///     Ok(SlotView::new(Arc::new(Endpoint::new(address.parse()?)), Arc::default()))
/// };
/// let slots = [slot("10.0.0.7:3001")?, slot("10.0.0.8:3001")?, slot("10.0.0.9:3001")?];
/// let picker = RingHash::new("header:x-session".parse::<KeyBy>()?).picker(&slots);
/// let request = http::Request::get("/").header("x-session", "s1").body(())?;
/// let mut pick = || {
///     let cx = PickContext::new(fastrand::u64(..), Instant::now());
///     picker.pick(&cx.for_request(RequestHead::of(&request)))
/// };
/// let home = pick();
/// assert!(home.is_some() && (0..100).all(|_| pick() == home));
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RingHash(Settings);

impl RingHash {
    /// By this key, with the default [`LoadBound`]. [`KeyBy`](mesh_core::KeyBy) are the keys that configuration
    /// knows.
    pub fn new(key: impl KeyExtractor) -> Self {
        Self(Settings::new(key))
    }

    /// With another bound.
    #[must_use]
    pub fn bound(mut self, bound: LoadBound) -> Self {
        self.0.bound = bound;
        self
    }
}

impl LoadBalancer for RingHash {
    fn picker(&self, slots: &[SlotView]) -> Arc<dyn Picker> {
        self.0.picker(slots, Ring::new)
    }
}

/// The fewest points of a ring, and of each endpoint on average. Endpoints of equal weight get 512 if the
/// weight is a power of two: the limits lie far from that, so that one that weighs less does not change it.
const MIN_POINTS: u64 = 1024;
const MIN_AVERAGE: u64 = 384;

/// The most points of a ring with fewer endpoints than that.
const MAX_POINTS: u64 = 1 << 18;

/// Points in the order of their hashes, and whose they are.
struct Ring {
    hashes: Box<[u64]>,
    owners: Box<[u32]>,
}

impl Ring {
    fn new(candidates: &[Candidate], hashes: &[u64]) -> Self {
        let scale = Scale::of(candidates);
        let mut points: Vec<(u64, u32)> = Vec::new();
        for (owner, (candidate, hash)) in candidates.iter().zip(hashes).enumerate() {
            let of_owner = (0..scale.points(candidate.weight)).map(|point| {
                let hash = xxh3_64_with_seed(&hash.to_le_bytes(), point);
                (hash, owner as u32)
            });
            points.extend(of_owner);
        }
        points.sort_unstable();
        let (hashes, owners): (Vec<u64>, Vec<u32>) = points.into_iter().unzip();
        Self {
            hashes: hashes.into_boxed_slice(),
            owners: owners.into_boxed_slice(),
        }
    }
}

impl Table for Ring {
    fn preferred(&self, hash: u64) -> impl Iterator<Item = u32> {
        let start = self.hashes.partition_point(|point| *point < hash);
        let (before, after) = self.owners.split_at(start);
        after.iter().chain(before).copied()
    }
}

/// How many points a weight makes, as a power of two. A scale that followed the set more closely would move
/// points, and keys with them, at each change of it.
#[derive(Clone, Copy)]
struct Scale {
    power: i32,
}

impl Scale {
    /// The smallest with which the ring has points enough, or the greatest with which it has not too many.
    fn of(candidates: &[Candidate]) -> Self {
        let all = candidates.iter().map(|c| u128::from(c.weight)).sum();
        let average = (candidates.len() as u64).saturating_mul(MIN_AVERAGE);
        let enough = average.clamp(MIN_POINTS, MAX_POINTS).into();
        // Weights are at least 1: for each endpoint alone that is enough.
        let mut scale = Self {
            power: MIN_POINTS.ilog2() as i32,
        };
        while scale.scaled(all) > MAX_POINTS.into() || scale.halved().scaled(all) >= enough {
            scale = scale.halved();
        }
        scale
    }

    fn halved(self) -> Self {
        Self {
            power: self.power - 1,
        }
    }

    fn points(self, weight: u32) -> u64 {
        (self.scaled(weight.into()) as u64).max(1)
    }

    fn scaled(self, weight: u128) -> u128 {
        match u32::try_from(self.power) {
            Ok(power) => weight << power,
            Err(_) => (weight + (1 << (-self.power - 1))) >> -self.power,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::candidate::candidates;
    use super::super::test_slots;
    use super::*;

    fn ring(weights: &[u32]) -> Ring {
        let hashes: Vec<u64> = (0..weights.len() as u64).map(|i| i * 7 + 1).collect();
        Ring::new(&candidates(&test_slots(weights)), &hashes)
    }

    #[test]
    fn the_size_of_a_ring_is_bounded_from_below_and_above() {
        for (endpoints, points) in [
            (0, 0),
            (1, 1_024),
            (2, 1_024),
            (3, 1_536),
            (10, 5_120),
            (512, 262_144),
            (513, 131_328),
            (10_000, 160_000),
        ] {
            for weight in [1, 8, 1 << 31] {
                let ring = ring(&vec![weight; endpoints]);
                assert_eq!(ring.owners.len(), points, "{endpoints} of weight {weight}");
            }
        }
        for weights in [
            &[1, u32::MAX][..],
            &[u32::MAX, u32::MAX - 1, u32::MAX - 2],
            &[1, 2, 3, 1_000_000],
            &[2, 3],
        ] {
            let points = ring(weights).owners.len();
            let least = (384 * weights.len()).max(1_024);
            assert!((least..=2 * least).contains(&points), "{weights:?}: {points}");
        }
    }

    #[test]
    fn a_hash_belongs_to_the_next_point_and_the_last_ones_to_the_first() {
        let ring = ring(&[1, 1, 1]);
        let first = |hash| ring.preferred(hash).next();
        for (point, owner) in ring.hashes.iter().zip(&ring.owners) {
            assert_eq!(first(*point), Some(*owner));
        }
        assert_eq!(first(0), Some(ring.owners[0]));
        assert_eq!(first(u64::MAX), Some(ring.owners[0]));
        assert_eq!(ring.preferred(u64::MAX).count(), ring.owners.len());
    }
}
