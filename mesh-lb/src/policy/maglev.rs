//! A key's endpoint in a table.

use std::sync::Arc;

use mesh_core::KeyExtractor;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::candidate::Candidate;
use super::keyed::{Settings, Table};
use super::load_bound::LoadBound;
use super::turns::turns;
use crate::balancer::{LoadBalancer, Picker, SlotView};

/// Requests with one key go to one endpoint: Maglev's consistent hashing, with bounded loads.
///
/// The endpoints take turns, by weight, in taking places of a table of 65 537, each in an order of its own; a
/// key belongs to the endpoint at its place. Shares are as even as the table allows, within one place. An
/// endpoint that goes moves its own keys and a few of the others'; every process that knows the same
/// endpoints and weights finds the same one. An endpoint that carries more than the [`LoadBound`], or was
/// tried already, is passed over for the one at the next place. A request without a key goes anywhere.
///
/// A pick is one look into the table, however many endpoints there are. They should be a hundred times fewer
/// than places, though: with thousands, shares come in steps of a place, and more keys move;
/// [`RingHash`](super::RingHash) moves none but those it must.
///
/// ```
/// use std::sync::Arc;
/// use mesh_core::{Endpoint, KeyBy, RequestHead};
/// use mesh_lb::{LoadBalancer, Maglev, PickContext, SlotView};
/// use tokio::time::Instant;
///
/// let slot = |address: &str| -> Result<SlotView, mesh_core::endpoint::AddressError> {
///     Ok(SlotView::new(Arc::new(Endpoint::new(address.parse()?)), Arc::default()))
/// };
/// let slots = [slot("10.0.0.7:3001")?, slot("10.0.0.8:3001")?, slot("10.0.0.9:3001")?];
/// let picker = Maglev::new("cookie:session".parse::<KeyBy>()?).picker(&slots);
/// let request = http::Request::get("/").header("cookie", "session=s1").body(())?;
/// let cx = PickContext::new(fastrand::u64(..), Instant::now()).for_request(RequestHead::of(&request));
/// let home = picker.pick(&cx).ok_or("there are endpoints")?;
///
/// // An endpoint that is busier than the others is relieved of its keys until it no longer is.
/// let busy: Vec<_> = (0..3).map(|_| slots[home].load.begin()).collect();
/// assert_ne!(picker.pick(&cx), Some(home));
/// drop(busy);
/// assert_eq!(picker.pick(&cx), Some(home));
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Maglev(Settings);

impl Maglev {
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

impl LoadBalancer for Maglev {
    fn picker(&self, slots: &[SlotView]) -> Arc<dyn Picker> {
        self.0.picker(slots, Places::new)
    }
}

/// The size of the table. A prime, so that any step through it comes by every place.
const PLACES: u32 = 65_537;

const FREE: u32 = u32::MAX;

/// Whose each place is.
struct Places(Box<[u32]>);

impl Places {
    fn new(candidates: &[Candidate], hashes: &[u64]) -> Self {
        // The order of discovery must not matter.
        let mut owners: Vec<(u64, u32)> = hashes.iter().copied().zip(0..).collect();
        owners.sort_unstable();
        let weight = |(_, owner): &(u64, u32)| candidates[*owner as usize].weight;
        let weights: Vec<u32> = owners.iter().map(weight).collect();
        let mut walks: Vec<Walk> = owners.iter().map(|(hash, _)| Walk::of(*hash)).collect();
        let mut places = if owners.is_empty() {
            Vec::new()
        } else {
            vec![FREE; PLACES as usize]
        };
        for turn in turns(&weights, places.len() as u32) {
            let walk = &mut walks[turn as usize];
            let (_, owner) = owners[turn as usize];
            while places[walk.place as usize] != FREE {
                walk.on();
            }
            places[walk.place as usize] = owner;
        }
        Self(places.into_boxed_slice())
    }
}

impl Table for Places {
    fn preferred(&self, hash: u64) -> impl Iterator<Item = u32> {
        let start = (hash % u64::from(PLACES)) as usize;
        let (before, after) = self.0.split_at(start.min(self.0.len()));
        after.iter().chain(before).copied()
    }
}

/// An endpoint's way through all places.
struct Walk {
    place: u32,
    step: u32,
}

impl Walk {
    fn of(hash: u64) -> Self {
        let seeded = |seed| xxh3_64_with_seed(&hash.to_le_bytes(), seed);
        Self {
            place: (seeded(1) % u64::from(PLACES)) as u32,
            step: (seeded(2) % u64::from(PLACES - 1)) as u32 + 1,
        }
    }

    fn on(&mut self) {
        self.place = (self.place + self.step) % PLACES;
    }
}
