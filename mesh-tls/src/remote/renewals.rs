//! Who may renew by showing a certificate.

mod ledger;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use mesh_core::clock::{SystemClock, WallClock};
use mesh_core::{PeerInfo, SpiffeId};
use parking_lot::Mutex;
use rustls_pki_types::CertificateRevocationListDer;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{KnownCert, KnownCerts};
use crate::authority::{CaError, CaErrorKind, DnsName, SerialNumber, TrustBundle};
use crate::erase::BoxFuture;
use ledger::{Ledger, Line};

/// Who may renew by showing a certificate: who holds one that was issued here, is good, was not revoked, and was not
/// *superseded*.
///
/// A certificate is superseded as soon as the one that it was renewed to is shown: so an answer that was lost can be asked
/// for again, and a certificate that somebody copied is of no use for long. Replicas, which have one identity and
/// certificates of their own, do not supersede each other.
///
/// Clones share it.
#[derive(Clone)]
pub struct Renewals {
    inner: Arc<Inner>,
}

struct Inner {
    known: Box<dyn ErasedKnown>,
    state: Mutex<State>,
    ledger: Option<Ledger>,
    revoked: Mutex<Revoked>,
    clock: Arc<dyn WallClock>,
}

/// The twin of [`KnownCerts`] that a vtable can hold.
trait ErasedKnown: Send + Sync {
    fn known(&self, serial: SerialNumber) -> BoxFuture<'_, Result<Option<KnownCert>, CaError>>;
}

impl<K: KnownCerts> ErasedKnown for K {
    fn known(&self, serial: SerialNumber) -> BoxFuture<'_, Result<Option<KnownCert>, CaError>> {
        Box::pin(KnownCerts::known(self, serial))
    }
}

/// A certificate that may be renewed.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) serial: SerialNumber,
    pub(super) id: SpiffeId,
    pub(super) dns_names: Vec<DnsName>,
    pub(super) not_after: SystemTime,
}

#[derive(Debug, Default)]
struct State {
    certs: HashMap<SerialNumber, Cert>,
    /// How many there may be before those that are over are looked for.
    enough: usize,
}

/// What is known of a certificate.
#[derive(Clone, Debug)]
struct Cert {
    id: SpiffeId,
    dns_names: Vec<DnsName>,
    not_after: SystemTime,
    /// The one it was renewed from.
    replaces: Option<SerialNumber>,
    /// Those it was renewed to.
    successors: Vec<SerialNumber>,
    was_shown: bool,
    is_superseded: bool,
}

impl Cert {
    fn new(id: SpiffeId, dns_names: Vec<DnsName>, not_after: SystemTime) -> Self {
        Self {
            id,
            dns_names,
            not_after,
            replaces: None,
            successors: Vec::new(),
            was_shown: false,
            is_superseded: false,
        }
    }
}

/// What the bundle of this sequence revokes.
#[derive(Debug, Default)]
struct Revoked {
    sequence: u64,
    serials: HashSet<SerialNumber>,
}

impl Renewals {
    /// Remembered as long as this process lives.
    pub fn in_memory(known: impl KnownCerts) -> Self {
        Self::in_memory_with_clock(known, SystemClock)
    }

    /// The same, by another clock.
    pub fn in_memory_with_clock(known: impl KnownCerts, clock: impl WallClock) -> Self {
        Self::of(known, State::default(), None, clock)
    }

    /// Remembered in the directory of the CA, which has to be there. One process at a time serves from it.
    ///
    /// # Errors
    /// The directory cannot be used, or what is kept there is damaged.
    pub fn open(directory: impl Into<PathBuf>, known: impl KnownCerts) -> Result<Self, CaError> {
        let (ledger, lines) = Ledger::open(directory.into(), SystemClock.now())?;
        let mut state = State::default();
        for line in lines {
            state.replay(line);
        }
        Ok(Self::of(known, state, Some(ledger), SystemClock))
    }

    fn of(known: impl KnownCerts, state: State, ledger: Option<Ledger>, clock: impl WallClock) -> Self {
        let inner = Inner {
            known: Box::new(known),
            state: Mutex::new(state),
            ledger,
            revoked: Mutex::default(),
            clock: Arc::new(clock),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The certificate that a peer showed, if it may be renewed. Whatever it was renewed from may not be any more.
    ///
    /// # Errors
    /// [`CaErrorKind::Denied`]: it may not, and the message says why; it is for the log.
    pub(super) async fn standing(&self, peer: &PeerInfo, bundle: &TrustBundle) -> Result<Standing, CaError> {
        let denied = |why: String| CaError::new(CaErrorKind::Denied, why);
        let (Some(id), Some(serial)) = (&peer.identity, &peer.serial) else {
            return Err(denied("no certificate was shown".into()));
        };
        let serial: SerialNumber = serial
            .parse()
            .map_err(|error| denied(format!("the certificate of {id}: {error}")))?;
        let inner = &self.inner;
        if inner.is_revoked(serial, bundle) {
            return Err(denied(format!("the certificate {serial} of {id} was revoked")));
        }
        let is_new = !inner.state.lock().certs.contains_key(&serial);
        if is_new {
            let known = inner.known.known(serial).await?;
            let known = known
                .ok_or_else(|| denied(format!("the certificate {serial} of {id} was not issued here")))?;
            let cert = Cert::new(known.spiffe_id, Vec::new(), known.not_after);
            inner.state.lock().certs.entry(serial).or_insert(cert);
        }
        let (standing, is_first) = {
            let mut state = inner.state.lock();
            let Some(cert) = state.certs.get(&serial) else {
                return Err(denied(format!(
                    "the certificate {serial} of {id} is not known any more"
                )));
            };
            if cert.id != *id {
                return Err(denied(format!(
                    "the certificate {serial} was issued to {} and not to {id}",
                    cert.id
                )));
            }
            if cert.not_after <= inner.clock.now() {
                return Err(denied(format!("the certificate {serial} of {id} is over")));
            }
            if cert.is_superseded {
                return Err(denied(format!(
                    "the certificate {serial} of {id} is superseded: it was renewed, and the new one is in use. If {id} does \
                     not know of that, somebody else has its key"
                )));
            }
            let standing = Standing {
                serial,
                id: id.clone(),
                dns_names: cert.dns_names.clone(),
                not_after: cert.not_after,
            };
            (standing, state.show(serial))
        };
        if is_first && let Some(ledger) = &inner.ledger {
            ledger.write(Line::shown(serial)).await?;
        }
        Ok(standing)
    }

    /// Remembers a certificate that was issued, before it is handed out.
    pub(super) async fn issued(
        &self,
        serial: SerialNumber,
        id: &SpiffeId,
        dns_names: &[DnsName],
        not_after: SystemTime,
        replaces: Option<SerialNumber>,
    ) -> Result<(), CaError> {
        if let Some(ledger) = &self.inner.ledger {
            ledger
                .write(Line::issued(serial, id, dns_names, not_after, replaces))
                .await?;
        }
        let mut cert = Cert::new(id.clone(), dns_names.to_vec(), not_after);
        cert.replaces = replaces;
        let mut state = self.inner.state.lock();
        state.add(serial, cert);
        state.forget(self.inner.clock.now());
        Ok(())
    }
}

impl State {
    fn add(&mut self, serial: SerialNumber, cert: Cert) {
        if let Some(before) = cert.replaces.and_then(|before| self.certs.get_mut(&before)) {
            before.successors.push(serial);
        }
        self.certs.insert(serial, cert);
    }

    /// Somebody shows it: what came before it, and what else that was renewed to, is superseded. Whether it is the first
    /// time.
    fn show(&mut self, serial: SerialNumber) -> bool {
        let Some(cert) = self.certs.get_mut(&serial) else {
            return false;
        };
        if std::mem::replace(&mut cert.was_shown, true) {
            return false;
        }
        let Some(before) = cert.replaces else {
            // There is nothing to tell of the first of its line.
            return false;
        };
        let Some(before) = self.certs.get_mut(&before) else {
            return true;
        };
        before.is_superseded = true;
        let others: Vec<_> = before
            .successors
            .iter()
            .copied()
            .filter(|other| *other != serial)
            .collect();
        for other in others {
            if let Some(other) = self.certs.get_mut(&other) {
                other.is_superseded = true;
            }
        }
        true
    }

    fn replay(&mut self, line: Line) {
        match line {
            Line::Shown(serial) => {
                self.show(serial);
            }
            Line::Issued {
                serial,
                id,
                dns_names,
                not_after,
                replaces,
            } => {
                // One that the CA issued by itself, and of which nothing is written.
                if let Some(before) = replaces {
                    let cert = || Cert::new(id.clone(), dns_names.clone(), not_after);
                    self.certs.entry(before).or_insert_with(cert);
                }
                let mut cert = Cert::new(id, dns_names, not_after);
                cert.replaces = replaces;
                self.add(serial, cert);
            }
        }
    }

    /// Certificates that are over cannot be shown. Looked for when there are twice as many as were good the last time, so
    /// that it costs little.
    fn forget(&mut self, now: SystemTime) {
        if self.certs.len() >= self.enough.max(1024) {
            self.certs.retain(|_, cert| cert.not_after > now);
            self.enough = 2 * self.certs.len();
        }
    }
}

impl Inner {
    fn is_revoked(&self, serial: SerialNumber, bundle: &TrustBundle) -> bool {
        let mut revoked = self.revoked.lock();
        if revoked.sequence != bundle.sequence {
            *revoked = Revoked {
                sequence: bundle.sequence,
                serials: bundle.crls.iter().flat_map(serials).collect(),
            };
        }
        revoked.serials.contains(&serial)
    }
}

/// What a list revokes. One that cannot be read is the authority's own, and its consumers refuse it loudly.
fn serials(crl: &CertificateRevocationListDer<'static>) -> Vec<SerialNumber> {
    match CertificateRevocationList::from_der(crl) {
        Ok((_, list)) => list
            .iter_revoked_certificates()
            .filter_map(|entry| SerialNumber::from_bytes(entry.raw_serial()).ok())
            .collect(),
        Err(error) => {
            tracing::error!(%error, "a revocation list of the CA cannot be read");
            Vec::new()
        }
    }
}

impl fmt::Debug for Renewals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewals")
            .field("certificates", &self.inner.state.lock().certs.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
