//! The peers that are connected, and the end of those who are not trusted any more.
//!
//! A handshake is the only time at which TLS looks at a certificate. Connections live longer than what was true then:
//! here each of them is remembered with what its peer showed. When the trust changes, everybody is judged again, and a
//! certificate that ends takes its connections along.

mod roll;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use mesh_core::control::{ConnectionControl, Order};
use mesh_core::{EventBus, Live, MeshEvent};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::sync::Notify;

use super::Epoch;
use super::now::Now;
use crate::certificate::Certificate;
use crate::verify::{Expected, Usage, Verifier, VerifyErrorKind};
use roll::{Digest, Leaving, Place, Roll, Who, Why};

/// The wall clock may be set, or the machine may have slept: it is looked at this often while somebody is connected.
const GLANCE: Duration = Duration::from_secs(2);
/// So many are judged between two looks at who else is waiting for the thread.
const FEW: usize = 8;
/// So many are judged on a thread of their own before their verdicts count, and so many leave at once.
const MANY: usize = 512;
/// So many peers are named in the log when many go at once.
const NAMED: usize = 16;

/// What a peer showed, and what for.
#[derive(Debug)]
struct Shown {
    chain: Box<[CertificateDer<'static>]>,
    usage: Usage,
    expected: Expected,
    more_roots: Arc<[CertificateDer<'static>]>,
}

/// How many peers are connected, and how many connections ended because of their peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCounts {
    /// Connections whose peer proved who it is: those that were accepted, and those that were made.
    pub connections: usize,
    /// The different certificates that their peers showed.
    pub certificates: usize,
    /// Connections that ended since their peer's certificate, or one above it, was revoked.
    pub ended_revoked: u64,
    /// Connections that ended at the end of their peer's certificate.
    pub ended_expired: u64,
    /// Connections that ended for another reason not to believe the peer: its CA is not trusted any more.
    pub ended_untrusted: u64,
}

/// The peers of an identity. The lock is taken when a connection begins or ends and when trust changes; never by a
/// request.
pub(crate) struct LivePeers {
    roll: Mutex<Roll<Shown, ConnectionControl>>,
    /// Told when somebody came who has to be looked at before anything else would be.
    came: Notify,
    revoked: AtomicU64,
    expired: AtomicU64,
    untrusted: AtomicU64,
    events: Option<EventBus>,
}

/// How a peer was verified.
pub(crate) struct Verified<'c> {
    pub(crate) chain: &'c [CertificateDer<'static>],
    pub(crate) leaf: &'c Certificate,
    pub(crate) usage: Usage,
    pub(crate) expected: &'c Expected,
    pub(crate) more_roots: &'c Arc<[CertificateDer<'static>]>,
    /// The number of the trust that it was verified by.
    pub(crate) trust: u64,
}

impl Verified<'_> {
    fn digest(&self) -> Digest {
        let mut hash = Context::new(&SHA256);
        for cert in self.chain {
            hash.update(&cert.len().to_be_bytes());
            hash.update(cert);
        }
        let role = match self.usage {
            Usage::Client => "client",
            Usage::Server => "server",
        };
        hash.update(role.as_bytes());
        // Whoever connects to the same has the same text.
        hash.update(self.expected.to_string().as_bytes());
        for root in &**self.more_roots {
            hash.update(&root.len().to_be_bytes());
            hash.update(root);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(hash.finish().as_ref());
        digest
    }

    /// The first moment at which a certificate of the chain is past its end.
    fn end(&self) -> SystemTime {
        let above = self.chain.iter().skip(1).filter_map(|cert| {
            let cert = Certificate::parse(cert).ok()?;
            Some(cert.not_after())
        });
        above.fold(self.leaf.not_after(), SystemTime::min)
    }
}

/// A connection's place among the live ones, which ends with it.
pub(crate) struct LivePeer {
    place: Place,
    peers: Weak<LivePeers>,
}

impl fmt::Debug for LivePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LivePeer").finish_non_exhaustive()
    }
}

impl Drop for LivePeer {
    fn drop(&mut self) {
        if let Some(peers) = self.peers.upgrade() {
            peers.roll.lock().end(self.place);
        }
    }
}

impl LivePeers {
    pub(super) fn new(trust: u64, events: Option<EventBus>) -> Arc<Self> {
        Arc::new(Self {
            roll: Mutex::new(Roll::new(trust)),
            came: Notify::new(),
            revoked: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            untrusted: AtomicU64::new(0),
            events,
        })
    }

    /// A connection begins. What is answered is kept as long as its byte stream.
    pub(crate) fn begin(self: &Arc<Self>, verified: &Verified<'_>) -> (Box<LivePeer>, ConnectionControl) {
        let control = ConnectionControl::new();
        let (digest, end) = (verified.digest(), verified.end());
        let (place, is_urgent) =
            self.roll
                .lock()
                .begin(digest, (verified.trust, end), control.clone(), || {
                    let shown = Shown {
                        chain: verified.chain.into(),
                        usage: verified.usage,
                        expected: verified.expected.clone(),
                        more_roots: Arc::clone(verified.more_roots),
                    };
                    let who = Who {
                        id: verified.leaf.spiffe_id().ok().cloned(),
                        serial: verified.leaf.serial().to_string().into(),
                    };
                    (shown, who)
                });
        // It was verified by a trust that was replaced during the handshake, or is the first to end.
        if is_urgent {
            self.came.notify_one();
        }
        let live = LivePeer {
            place,
            peers: Arc::downgrade(self),
        };
        (Box::new(live), control)
    }

    pub(super) fn counts(&self) -> PeerCounts {
        let (connections, certificates) = self.roll.lock().len();
        PeerCounts {
            connections,
            certificates,
            ended_revoked: self.revoked.load(Ordering::Relaxed),
            ended_expired: self.expired.load(Ordering::Relaxed),
            ended_untrusted: self.untrusted.load(Ordering::Relaxed),
        }
    }

    /// Ends the connections of those who are not trusted any more, until it is dropped.
    pub(super) async fn watch(self: Arc<Self>, mut epoch: Live<Epoch>) {
        let mut root_ended = None;
        loop {
            let current = epoch.load_full();
            let now = || Now::of(&*current.trust.clock);
            let ended = current.last_root_ended(now().wall);
            {
                let mut roll = self.roll.lock();
                roll.trust(current.trust_number);
                if std::mem::replace(&mut root_ended, ended) != ended {
                    roll.doubt();
                }
            }
            self.judge(&current, now).await;
            loop {
                let (expired, close) = self.roll.lock().on_time(now(), MANY);
                if expired.is_empty() && close.is_empty() {
                    break;
                }
                self.tell(expired).await;
                order(&close, Order::Close).await;
            }
            let rest = self.roll.lock().rest(now());
            let sleep = async {
                match rest {
                    Some(rest) => tokio::time::sleep(rest.min(GLANCE)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = epoch.changed() => {}
                () = self.came.notified() => {}
                () = sleep => {}
            }
        }
    }

    /// Judges everybody who has not been judged by the trust of this epoch.
    async fn judge(&self, epoch: &Arc<Epoch>, now: impl Fn() -> Now) {
        let unjudged = self.roll.lock().unjudged();
        let at_once = if unjudged.len() <= FEW { FEW } else { MANY };
        let mut unjudged = unjudged.into_iter().peekable();
        while unjudged.peek().is_some() {
            let some: Vec<_> = unjudged.by_ref().take(at_once).collect();
            let verdicts = if some.len() <= FEW {
                verdicts(epoch, some)
            } else {
                let epoch = Arc::clone(epoch);
                match tokio::task::spawn_blocking(move || verdicts(&epoch, some)).await {
                    Ok(verdicts) => verdicts,
                    Err(error) => {
                        tracing::error!(%error, "peers that are connected could not be judged; they are judged again when somebody comes or the trust changes");
                        return;
                    }
                }
            };
            let now = now();
            let leaving: Vec<_> = {
                let mut roll = self.roll.lock();
                verdicts
                    .into_iter()
                    .filter_map(|(digest, verdict)| roll.judged(digest, epoch.trust_number, verdict, now))
                    .collect()
            };
            self.tell(leaving).await;
        }
    }

    async fn tell(&self, leaving: Vec<Leaving<ConnectionControl>>) {
        let unnamed = leaving.len().saturating_sub(NAMED);
        for (place, leaving) in leaving.into_iter().enumerate() {
            let Leaving {
                who,
                why,
                connections,
            } = leaving;
            let number = u64::try_from(connections.len()).unwrap_or(u64::MAX);
            let counter = match &why {
                Why::Expired => &self.expired,
                Why::Unbelieved { revoked: true, .. } => &self.revoked,
                Why::Unbelieved { .. } => &self.untrusted,
            };
            counter.fetch_add(number, Ordering::Relaxed);
            order(&connections, Order::Leave).await;
            let why = match why {
                Why::Expired => "its certificate, or one above it, has come to its end".to_owned(),
                Why::Unbelieved { cause, .. } => cause,
            };
            let id = who
                .id
                .as_ref()
                .map_or("a peer without a SPIFFE ID", |id| id.as_str());
            if place < NAMED {
                tracing::warn!(peer = id, serial = %who.serial, connections = number, "connections end, since their peer is not trusted any more: {why}");
            }
            if let Some(events) = &self.events {
                events.emit(MeshEvent::PeerUntrusted {
                    peer: id.into(),
                    serial: who.serial,
                    connections: connections.len(),
                    cause: why.into(),
                });
            }
        }
        if unnamed > 0 {
            tracing::warn!(peers = unnamed, "the connections of these further peers end too");
        }
    }
}

/// Each connection that is told wakes a task, and ending costs it something: who else has to do on this thread has its turn
/// in between.
async fn order(connections: &[ConnectionControl], order: Order) {
    for connection in connections {
        connection.tell(order);
        tokio::task::coop::consume_budget().await;
    }
}

/// What a trust says of each.
fn verdicts(epoch: &Epoch, shown: Vec<(Digest, Arc<Shown>)>) -> Vec<(Digest, Result<(), Why>)> {
    let now = epoch.trust.clock.now();
    shown
        .into_iter()
        .map(|(digest, shown)| (digest, verdict(&epoch.trust.verifier, &shown, now)))
        .collect()
}

fn verdict(verifier: &Verifier, shown: &Shown, now: SystemTime) -> Result<(), Why> {
    let unbelieved = |revoked, cause: &dyn fmt::Display| Why::Unbelieved {
        revoked,
        cause: cause.to_string(),
    };
    let with_more;
    let verifier = match shown.more_roots.is_empty() {
        true => verifier,
        false => {
            with_more = verifier
                .with_more_roots(&shown.more_roots)
                .map_err(|error| unbelieved(false, &error))?;
            &with_more
        }
    };
    match verifier.verify(&shown.chain, shown.usage, &shown.expected, now) {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            // These tell of the authority and of clocks, not of the peer, which was believed before.
            VerifyErrorKind::StaleCrl | VerifyErrorKind::NotYetValid => Ok(()),
            VerifyErrorKind::Expired => Err(Why::Expired),
            kind => Err(unbelieved(kind == VerifyErrorKind::Revoked, &error)),
        },
    }
}

#[cfg(test)]
mod tests;
