//! What is left to whom: one number a key, in bounded memory.
//!
//! The number is the moment at which an allowance is whole again. Once it has passed, forgetting it changes
//! nothing, so nobody has to come by and tidy up: a table that is full forgets those when it needs the room.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use governor::nanos::Nanos;
use governor::state::StateStore;
use mesh_core::RequestKey;
use mesh_core::event::{EventBus, MeshEvent};
use parking_lot::Mutex;

/// How many keys share a lock, about. Making room looks at all of them: a microsecond.
const SHARD: usize = 1024;

/// How many locks there are at most. Beyond a million keys, more of them share one.
const MAX_SHARDS: usize = 1024;

/// A request, as the limiter sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Arrival {
    /// Whose it is; `None` for all that have no key.
    pub(super) whose: Option<KeyHash>,
    /// When it came, in nanoseconds.
    pub(super) now: u64,
}

/// What is kept of a key: 128 bits that nobody outside can foresee. Two keys with the same bits are less likely
/// than a broken machine, and nobody can search for them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyHash([u64; 2]);

/// Makes them, with secrets of its own.
#[derive(Default)]
pub(super) struct KeyHasher([RandomState; 2]);

impl KeyHasher {
    pub(super) fn hash(&self, key: &RequestKey<'_>) -> KeyHash {
        KeyHash(self.0.each_ref().map(|secret| secret.hash_one(key)))
    }
}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// The store that governor keeps its numbers in.
///
/// Time comes with the request, so governor's own clock stands still at zero, and what it is shown of an
/// allowance is how far in the future it is whole again.
pub(super) struct Store(pub(super) Arc<Allowances>);

/// All allowances of a limiter.
pub(super) struct Allowances {
    keyless: CachePadded<Allowance>,
    /// Of all keys for which there is no room.
    shared: CachePadded<Allowance>,
    crowded: Crowded,
    shards: Box<[CachePadded<Mutex<Shard>>]>,
}

/// What came of keys without room.
struct Crowded {
    requests: AtomicU64,
    /// When it may be told again, in nanoseconds.
    tell_from: AtomicU64,
    told_to: Option<Listener>,
}

/// Who hears that there are keys without room.
pub(super) struct Listener {
    pub(super) limit: Arc<str>,
    pub(super) room: usize,
    pub(super) events: EventBus,
}

impl Crowded {
    /// How long after one event the next may come, in nanoseconds.
    const TELL_EVERY: u64 = 60 * 1_000_000_000;

    #[cold]
    fn count(&self, now: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let Some(listener) = &self.told_to else {
            return;
        };
        let from = self.tell_from.load(Ordering::Relaxed);
        let next = now.saturating_add(Self::TELL_EVERY);
        // Of all who find it due at once, one tells.
        let told = now >= from
            && self
                .tell_from
                .compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if told {
            listener.events.emit(MeshEvent::RateLimitCrowded {
                limit: Arc::clone(&listener.limit),
                room: listener.room,
            });
        }
    }
}

impl Allowances {
    /// With room for so many keys. The shards get equal parts of it, rounded down.
    pub(super) fn new(max_keys: usize, told_to: Option<Listener>) -> Self {
        let shards = max_keys.div_ceil(SHARD).clamp(1, MAX_SHARDS).next_power_of_two();
        let shard = || CachePadded::new(Mutex::new(Shard::new(max_keys / shards)));
        Self {
            keyless: CachePadded::default(),
            shared: CachePadded::default(),
            crowded: Crowded {
                requests: AtomicU64::new(0),
                tell_from: AtomicU64::new(0),
                told_to,
            },
            shards: std::iter::repeat_with(shard).take(shards).collect(),
        }
    }

    /// How many keys are remembered.
    pub(super) fn keys(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().whole_at.len()).sum()
    }

    /// How many requests had a key for which there was no room.
    pub(super) fn crowded(&self) -> u64 {
        self.crowded.requests.load(Ordering::Relaxed)
    }

    fn shard(&self, key: KeyHash) -> &Mutex<Shard> {
        // A power of two; the table within uses the other half of the hash.
        &self.shards[key.0[1] as usize & (self.shards.len() - 1)]
    }
}

impl StateStore for Store {
    type Key = Arrival;

    fn measure_and_replace<T, F, E>(&self, arrival: &Arrival, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Arrival { whose, now } = *arrival;
        let Some(key) = whose else {
            return self.0.keyless.spend(now, &decide);
        };
        let own = self.0.shard(key).lock().spend(key, now, &decide);
        own.unwrap_or_else(|| {
            self.0.crowded.count(now);
            self.0.shared.spend(now, &decide)
        })
    }
}

/// One allowance that many share. When it is whole again.
#[derive(Default)]
struct Allowance(AtomicU64);

impl Allowance {
    fn spend<T, E>(
        &self,
        now: u64,
        decide: &impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Result<T, E> {
        // Relaxed: nothing else is published with this number.
        let mut whole_at = self.0.load(Ordering::Relaxed);
        loop {
            let (outcome, later) = spend(whole_at, now, decide)?;
            match self
                .0
                .compare_exchange_weak(whole_at, later, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(outcome),
                Err(changed) => whole_at = changed,
            }
        }
    }
}

/// A part of the keys: when their allowances are whole again.
struct Shard {
    whole_at: HashMap<KeyHash, u64, BuildHasherDefault<AsItIs>>,
    room: usize,
    /// No allowance is whole before this: until then there is nothing to forget.
    earliest: u64,
}

impl Shard {
    fn new(room: usize) -> Self {
        Self {
            whole_at: HashMap::default(),
            room,
            earliest: u64::MAX,
        }
    }

    /// `None`: there is no room for this key.
    fn spend<T, E>(
        &mut self,
        key: KeyHash,
        now: u64,
        decide: &impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Option<Result<T, E>> {
        if let Some(whole_at) = self.whole_at.get_mut(&key) {
            return Some(spend(*whole_at, now, decide).map(|(outcome, later)| {
                *whole_at = later;
                outcome
            }));
        }
        if self.whole_at.len() >= self.room && !self.make_room(now) {
            return None;
        }
        Some(spend(0, now, decide).map(|(outcome, later)| {
            self.earliest = self.earliest.min(later);
            self.whole_at.insert(key, later);
            outcome
        }))
    }

    /// Forgets the allowances that are whole again.
    fn make_room(&mut self, now: u64) -> bool {
        if now < self.earliest {
            return false;
        }
        let mut earliest = u64::MAX;
        self.whole_at.retain(|_, whole_at| {
            let keep = *whole_at > now;
            if keep {
                earliest = earliest.min(*whole_at);
            }
            keep
        });
        self.earliest = earliest;
        self.whole_at.len() < self.room
    }
}

/// Lets governor decide, and says when the allowance will be whole again.
fn spend<T, E>(
    whole_at: u64,
    now: u64,
    decide: &impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
) -> Result<(T, u64), E> {
    let (outcome, ahead) = decide(Some(Nanos::new(whole_at.saturating_sub(now))))?;
    Ok((outcome, now.saturating_add(ahead.as_u64())))
}

/// Takes a number that is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
