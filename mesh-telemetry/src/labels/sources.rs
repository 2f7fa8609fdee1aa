//! The names of originating services: the first few as they are, then `other`.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use crate::labels::OTHER;
use crate::registry::GrowOnly;

/// The longest name that is taken as it is.
const LONGEST: usize = 63;

/// The label `source_service`, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(u16);

impl SourceId {
    /// A sender without a verified identity.
    pub const UNKNOWN: Self = Self(0);
    /// A sender beyond the first few.
    pub const OTHER: Self = Self(1);

    const FIRST: u16 = 2;

    pub(crate) const fn number(self) -> u16 {
        self.0
    }

    /// Of [`RequestLabels::pack`](crate::labels::RequestLabels).
    pub(crate) const fn from_packed(labels: u64) -> Self {
        Self(labels as u16)
    }
}

/// All names seen. A name keeps its number for the life of the process.
pub(crate) struct Sources {
    known: GrowOnly<Source>,
    limit: u16,
    taken: AtomicU16,
    full: AtomicBool,
}

struct Source {
    name: Box<str>,
    id: SourceId,
}

impl Sources {
    pub(crate) fn new(limit: u16) -> Self {
        Self {
            known: GrowOnly::new(),
            limit: limit.min(u16::MAX - SourceId::FIRST),
            taken: AtomicU16::new(0),
            full: AtomicBool::new(limit == 0),
        }
    }

    /// The number of a name. Takes a lock only for a name that is new while there is room.
    pub(crate) fn id(&self, name: &str) -> SourceId {
        if name == "unknown" {
            return SourceId::UNKNOWN;
        }
        let hash = hash(name.as_bytes());
        let same = |source: &Source| *source.name == *name;
        if let Some(source) = self.known.get(hash, same) {
            return source.id;
        }
        if self.full.load(Ordering::Relaxed) || !is_plain(name) {
            return SourceId::OTHER;
        }
        let source = self.known.get_or_insert_with(hash, same, || self.next(name));
        source.map_or(SourceId::OTHER, |source| source.id)
    }

    /// Called under the table's lock, so the counter has one writer.
    fn next(&self, name: &str) -> Option<Source> {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken >= self.limit {
            self.full.store(true, Ordering::Relaxed);
            return None;
        }
        self.taken.store(taken + 1, Ordering::Relaxed);
        Some(Source {
            name: name.into(),
            id: SourceId(SourceId::FIRST + taken),
        })
    }

    /// The name of a number.
    pub(crate) fn name(&self, id: SourceId) -> &str {
        match id {
            SourceId::UNKNOWN => "unknown",
            SourceId::OTHER => OTHER,
            id => self
                .known
                .iter()
                .find(|source| source.id == id)
                .map_or(OTHER, |source| &source.name),
        }
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= LONGEST && name != OTHER && name.bytes().all(plain)
}

/// Eight bytes a step. Names that collide cost each other a comparison, and there are few names, so the hash
/// needs no secret.
fn hash(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(ODD);
    let hash = chunks.iter().fold(bytes.len() as u64, |hash, chunk| {
        mix(hash, u64::from_le_bytes(*chunk))
    });
    mix(hash, u64::from_le_bytes(last))
}
