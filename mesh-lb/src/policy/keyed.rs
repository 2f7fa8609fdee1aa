//! What the hash policies share: a key, a table that says where it belongs, and a bound on what it meets there.

use std::fmt;
use std::sync::Arc;

use mesh_core::KeyExtractor;
use xxhash_rust::xxh3::xxh3_64;

use super::candidate::{Candidate, candidates};
use super::load_bound::{Bounded, LoadBound};
use crate::balancer::{PickContext, Picker, SlotView};

/// What a hash policy is told.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) key: Arc<dyn KeyExtractor>,
    pub(super) bound: LoadBound,
}

impl Settings {
    pub(super) fn new(key: impl KeyExtractor) -> Self {
        Self {
            key: Arc::new(key),
            bound: LoadBound::default(),
        }
    }

    /// A picker over the table that `build` makes of the candidates and their endpoints' hashes.
    pub(super) fn picker<T: Table>(
        &self,
        slots: &[SlotView],
        build: impl FnOnce(&[Candidate], &[u64]) -> T,
    ) -> Arc<dyn Picker> {
        let candidates = candidates(slots);
        let endpoint = |candidate: &Candidate| slots[candidate.slot].endpoint.id().to_string();
        let hashes: Vec<u64> = candidates
            .iter()
            .map(|candidate| xxh3_64(endpoint(candidate).as_bytes()))
            .collect();
        Arc::new(Keyed {
            table: build(&candidates, &hashes),
            key: Arc::clone(&self.key),
            candidates: Bounded::new(candidates, self.bound),
        })
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// Where keys belong.
pub(super) trait Table: Send + Sync + 'static {
    /// The candidates for a hash, the one it belongs to first. Each of them comes sooner or later if there is
    /// room for it in the table, and may come several times.
    fn preferred(&self, hash: u64) -> impl Iterator<Item = u32>;
}

/// How many places of a table are tried before all candidates are looked at. At most four fifths of them are
/// beyond a bound of 125 %, so that it happens once in a million times when all are busy.
const PROBES: usize = 64;

struct Keyed<T> {
    table: T,
    key: Arc<dyn KeyExtractor>,
    candidates: Bounded,
}

impl<T: Table> Picker for Keyed<T> {
    fn pick(&self, cx: &PickContext<'_>) -> Option<usize> {
        let key = cx.head.as_ref().and_then(|head| self.key.key(head));
        // Without a key anywhere is as good: by chance, and by weight as the table is.
        let hash = key.map_or(cx.random, |key| key.with_bytes(xxh3_64));
        let all = self.candidates.candidates();
        let preferred = || self.table.preferred(hash).map(|at| &all[at as usize]);
        let mut carried = None;
        let mut fits = |candidate: &&Candidate| {
            !cx.was_tried(candidate.slot) && self.candidates.allows(candidate, &mut carried, cx.random)
        };
        let picked = preferred()
            .take(PROBES)
            .find(&mut fits)
            .or_else(|| {
                let untried = all.iter().filter(|candidate| !cx.was_tried(candidate.slot));
                untried.reduce(lighter)
            })
            .or_else(|| preferred().next())?;
        Some(picked.slot)
    }
}

/// The one with fewer requests in flight for its weight; of equals the first.
fn lighter<'a>(a: &'a Candidate, b: &'a Candidate) -> &'a Candidate {
    let burden = |of: &Candidate, other: &Candidate| u64::from(of.load.in_flight()) * u64::from(other.weight);
    if burden(b, a) < burden(a, b) { b } else { a }
}
