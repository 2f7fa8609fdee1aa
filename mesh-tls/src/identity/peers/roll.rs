//! Who is connected, by what they showed, and who of them has to go: plain state.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_core::SpiffeId;
use tokio::time::Instant;

use crate::identity::now::Now;

/// How long what is in flight may take once a peer is not trusted any more.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What tells one shown chain from another: its hash, and what it was verified for.
pub(super) type Digest = [u8; 32];

/// Whose a chain is, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) id: Option<SpiffeId>,
    pub(super) serial: Arc<str>,
}

/// A connection's place in the roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    digest: Digest,
    number: u64,
}

/// Why the connections of a peer end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its certificate, or one above it, is past its end.
    Expired,
    /// It is not believed by the trust that is in force.
    Unbelieved { revoked: bool, cause: String },
}

/// The connections of one peer that have to end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leaving<C> {
    pub(super) who: Who,
    pub(super) why: Why,
    pub(super) connections: Vec<C>,
}

/// The peers that are connected. `S` is what they showed, `C` a connection.
///
/// Connections that showed the same are one entry, judged once. An entry whose verdict is bad, or whose end has come,
/// leaves the roll: its connections are told to leave at once, and to close after [`GRACE`].
#[derive(Debug)]
pub(super) struct Roll<S, C> {
    entries: HashMap<Digest, Entry<S, C>>,
    ends: BTreeSet<(SystemTime, Digest)>,
    leaving: VecDeque<(Instant, Vec<C>)>,
    open: usize,
    next: u64,
    /// The number of the trust that is in force.
    trust: u64,
}

#[derive(Debug)]
struct Entry<S, C> {
    shown: Arc<S>,
    who: Who,
    end: SystemTime,
    /// The number of the trust by which it was believed.
    believed_by: u64,
    open: HashMap<u64, C>,
}

impl<S, C: Clone> Roll<S, C> {
    pub(super) fn new(trust: u64) -> Self {
        Self {
            entries: HashMap::new(),
            ends: BTreeSet::new(),
            leaving: VecDeque::new(),
            open: 0,
            next: 0,
            trust,
        }
    }

    /// A connection begins, whose peer was believed by this trust, until this end. `make` tells what it showed, if
    /// nobody showed it before. Whether somebody has to look sooner than [`rest`](Self::rest) said is answered too.
    pub(super) fn begin(
        &mut self,
        digest: Digest,
        (believed_by, end): (u64, SystemTime),
        connection: C,
        make: impl FnOnce() -> (S, Who),
    ) -> (Place, bool) {
        let number = self.next;
        self.next += 1;
        let entry = self.entries.entry(digest).or_insert_with(|| {
            let (shown, who) = make();
            self.ends.insert((end, digest));
            Entry {
                shown: Arc::new(shown),
                who,
                end,
                believed_by,
                open: HashMap::new(),
            }
        });
        entry.believed_by = entry.believed_by.max(believed_by);
        entry.open.insert(number, connection);
        self.open += 1;
        let is_behind = entry.believed_by < self.trust;
        let is_first = entry.open.len() == 1 && self.ends.first() == Some(&(entry.end, digest));
        (Place { digest, number }, is_behind || is_first)
    }

    /// A connection is over.
    pub(super) fn end(&mut self, place: Place) {
        let Some(entry) = self.entries.get_mut(&place.digest) else {
            return;
        };
        if entry.open.remove(&place.number).is_none() {
            return;
        }
        self.open -= 1;
        if entry.open.is_empty() {
            self.remove(place.digest);
        }
    }

    /// Another trust is in force: everybody is to be judged by it.
    pub(super) fn trust(&mut self, trust: u64) {
        self.trust = trust;
    }

    /// Nobody is believed without being judged again, by the same trust: a root has come to its end.
    pub(super) fn doubt(&mut self) {
        for entry in self.entries.values_mut() {
            entry.believed_by = 0;
        }
    }

    /// Who has not been judged by the trust in force.
    pub(super) fn unjudged(&self) -> Vec<(Digest, Arc<S>)> {
        let behind = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.believed_by < self.trust);
        behind
            .map(|(digest, entry)| (*digest, Arc::clone(&entry.shown)))
            .collect()
    }

    /// What a trust says of what was shown.
    pub(super) fn judged(
        &mut self,
        digest: Digest,
        trust: u64,
        verdict: Result<(), Why>,
        now: Now,
    ) -> Option<Leaving<C>> {
        let entry = self.entries.get_mut(&digest)?;
        match verdict {
            Ok(()) => {
                entry.believed_by = entry.believed_by.max(trust);
                None
            }
            // A later trust may have believed it meanwhile.
            Err(_) if entry.believed_by > trust => None,
            Err(why) => self.dismiss(digest, why, now),
        }
    }

    /// Who has come to the end now, and what is to be closed, of `most` peers each: there may be more.
    pub(super) fn on_time(&mut self, now: Now, most: usize) -> (Vec<Leaving<C>>, Vec<C>) {
        let mut expired = Vec::new();
        while expired.len() < most
            && let Some(&(end, digest)) = self.ends.first()
            && end <= now.wall
        {
            match self.dismiss(digest, Why::Expired, now) {
                Some(leaving) => expired.push(leaving),
                // Nothing of it is there; it cannot be, but must not turn in a circle either.
                None => {
                    self.ends.pop_first();
                }
            }
        }
        let due = self.leaving.iter().take(most);
        let due = due.take_while(|(at, _)| *at <= now.steady).count();
        let close = self.leaving.drain(..due).flat_map(|(_, gone)| gone);
        (expired, close.collect())
    }

    /// How long there is nothing to do, if nothing happens.
    pub(super) fn rest(&self, now: Now) -> Option<Duration> {
        let end = self.ends.first().map(|(end, _)| {
            let left = end.duration_since(now.wall);
            left.unwrap_or(Duration::ZERO)
        });
        let close = self.leaving.front().map(|(at, _)| *at - now.steady);
        end.into_iter().chain(close).min()
    }

    /// How many connections there are, of how many different peers.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.open, self.entries.len())
    }

    fn dismiss(&mut self, digest: Digest, why: Why, now: Now) -> Option<Leaving<C>> {
        let entry = self.remove(digest)?;
        self.open -= entry.open.len();
        let connections: Vec<_> = entry.open.into_values().collect();
        self.leaving.push_back((now.steady + GRACE, connections.clone()));
        Some(Leaving {
            who: entry.who,
            why,
            connections,
        })
    }

    fn remove(&mut self, digest: Digest) -> Option<Entry<S, C>> {
        let entry = self.entries.remove(&digest)?;
        self.ends.remove(&(entry.end, digest));
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
