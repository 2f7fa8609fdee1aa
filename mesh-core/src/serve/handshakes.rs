//! Handshakes that are going on: a room of their own, so that who never finishes one keeps nobody out.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Whom handshakes are counted by: an IPv4 address, or the part of an IPv6 address that one customer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl Source {
    pub(super) fn of(remote: SocketAddr) -> Self {
        Self(match remote.ip().to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        })
    }
}

/// A handshake's number. A smaller one is older.
type Ticket = u64;

/// Which handshakes are going on, and which of them has to go when there are too many: the oldest of the source that
/// has the most. An honest handshake takes milliseconds, so the old ones are those that nobody means to finish; and a
/// flood pushes out itself.
#[derive(Debug)]
pub(super) struct Pending {
    most: usize,
    next: Ticket,
    of: HashMap<Ticket, Source>,
    by_source: HashMap<Source, BTreeSet<Ticket>>,
}

impl Pending {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            next: 0,
            of: HashMap::new(),
            by_source: HashMap::new(),
        }
    }

    /// Lets one begin, and tells which other one has to go for it.
    pub(super) fn insert(&mut self, source: Source) -> (Ticket, Option<Ticket>) {
        let cut = (self.of.len() >= self.most).then(|| self.cut()).flatten();
        let ticket = self.next;
        self.next += 1;
        self.of.insert(ticket, source);
        self.by_source.entry(source).or_default().insert(ticket);
        (ticket, cut)
    }

    /// One is over. That it was told to go before does no harm.
    pub(super) fn remove(&mut self, ticket: Ticket) {
        let Some(source) = self.of.remove(&ticket) else {
            return;
        };
        if let Some(tickets) = self.by_source.get_mut(&source) {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.by_source.remove(&source);
            }
        }
    }

    fn cut(&mut self) -> Option<Ticket> {
        // Of two with as many, the one that has waited longer.
        let oldest = |tickets: &BTreeSet<Ticket>| tickets.first().copied();
        let most = |tickets: &BTreeSet<Ticket>| (tickets.len(), std::cmp::Reverse(oldest(tickets)));
        let ticket = oldest(self.by_source.values().max_by_key(|tickets| most(tickets))?)?;
        self.remove(ticket);
        Some(ticket)
    }
}

/// The handshakes of a server, all its clones together.
#[derive(Clone, Debug)]
pub(super) struct Handshakes(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    pending: Pending,
    /// Dropped, it tells the handshake to end.
    cut: HashMap<Ticket, oneshot::Sender<()>>,
}

impl Handshakes {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            pending: Pending::new(most),
            cut: HashMap::new(),
        })))
    }

    pub(super) fn begin(&self, source: Source) -> Handshake {
        let (keep, cut) = oneshot::channel();
        let mut state = self.state();
        let (ticket, gone) = state.pending.insert(source);
        state.cut.insert(ticket, keep);
        if let Some(gone) = gone {
            state.cut.remove(&gone);
        }
        drop(state);
        Handshake {
            ticket,
            cut,
            all: self.clone(),
        }
    }

    // Taken when a handshake begins or ends; never by a request.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handshake that is going on. Dropped, it is over.
pub(super) struct Handshake {
    ticket: Ticket,
    cut: oneshot::Receiver<()>,
    all: Handshakes,
}

impl Handshake {
    /// Resolves when it has to end for another one's sake.
    pub(super) async fn cut(&mut self) {
        // Nothing is ever sent: what resolves it is that the sender is gone.
        let _ = (&mut self.cut).await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut state = self.all.state();
        state.pending.remove(self.ticket);
        state.cut.remove(&self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(last: u8) -> Source {
        Source::of(([127, 0, 0, last], 1).into())
    }

    #[test]
    fn the_addresses_of_one_customer_are_one_source() {
        let of = |text: &str| Source::of(text.parse().expect("an address"));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:1]:2"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("[::ffff:127.0.0.1]:1"), of("127.0.0.1:9"));
        assert_ne!(of("127.0.0.1:1"), of("127.0.0.2:1"));
    }

    #[test]
    fn a_flood_pushes_out_its_own_oldest() {
        let mut pending = Pending::new(4);
        let (honest, _) = pending.insert(source(1));
        let flood: Vec<_> = (0..3).map(|_| pending.insert(source(2)).0).collect();
        assert_eq!(pending.insert(source(2)).1, Some(flood[0]));
        assert_eq!(pending.insert(source(3)).1, Some(flood[1]));
        pending.remove(honest);
        assert_eq!(pending.insert(source(3)).1, None);
    }

    proptest! {
        #[test]
        fn there_are_never_too_many_and_only_the_busiest_source_loses(
            most in 1_usize..8,
            steps in proptest::collection::vec((0_u8..5, any::<proptest::sample::Index>(), any::<bool>()), 0..200),
        ) {
            let mut pending = Pending::new(most);
            // A plain second one: every handshake with its source, the oldest first.
            let mut model: Vec<(Ticket, u8)> = Vec::new();
            for (last, which, ends) in steps {
                if ends && !model.is_empty() {
                    let (ticket, _) = model.remove(which.index(model.len()));
                    pending.remove(ticket);
                    continue;
                }
                let (ticket, cut) = pending.insert(source(last));
                prop_assert_eq!(cut.is_some(), model.len() == most);
                if let Some(cut) = cut {
                    let at = model.iter().position(|(ticket, _)| *ticket == cut).expect("it was going on");
                    let of = |source: u8| model.iter().filter(|(_, other)| *other == source).count();
                    let loser = model[at].1;
                    prop_assert!((0..5).all(|other| of(other) <= of(loser)));
                    prop_assert!(model[..at].iter().all(|(_, other)| *other != loser));
                    model.remove(at);
                }
                model.push((ticket, last));
                prop_assert!(model.len() <= most && pending.of.len() == model.len());
                prop_assert_eq!(pending.by_source.values().map(BTreeSet::len).sum::<usize>(), model.len());
            }
        }
    }
}
