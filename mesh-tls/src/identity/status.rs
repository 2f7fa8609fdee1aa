//! How an identity is doing: for metrics, readiness and people.

use std::sync::Arc;
use std::time::SystemTime;

use mesh_core::SpiffeId;

use super::epoch::Epoch;
use crate::authority::IssuedCert;
use crate::certificate::Certificate;
use crate::verify::{CrlSummary, Verifier};

/// What the certificate in use is worth, by the trust bundle in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// Peers believe it.
    Good,
    /// They do, but the key of its CA may be known to others: a new one is being asked for.
    Tainted,
    /// They do not: its CA is not in the bundle any more, or has no revocation list.
    Untrusted,
    /// It was taken back.
    Revoked,
    /// It is past its end.
    Expired,
}

/// How far the next certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The one in use serves; it is not time yet.
    Serving,
    /// It is time: it is asked for in a moment, or again after a failure.
    RenewDue,
    /// A key is being made.
    Requested,
    /// The authority was asked to sign.
    KeyReady,
    /// It has signed; whether the certificate could serve is being looked at.
    Issued,
}

/// How an identity is doing, of one moment. [`Identity::status`](super::Identity::status) gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdentityStatus {
    /// Whose it is.
    pub id: SpiffeId,
    /// The certificate in use.
    pub certificate: IssuedCert,
    /// What it is worth.
    pub standing: Standing,
    /// How the next one comes.
    pub renewal: RenewalStatus,
    /// Whom it trusts.
    pub trust: TrustStatus,
    /// Why the identity as it is could not be saved: a restart would ask for a new certificate. Readiness is a matter of
    /// the process: it serves all the same.
    pub unsaved: Option<Arc<str>>,
}

impl IdentityStatus {
    /// Whether everything is as it should be: peers believe the certificate, it is renewed in time, the bundle can be
    /// followed, and a restart would find what there is.
    pub fn is_well(&self) -> bool {
        self.standing == Standing::Good
            && self.renewal.overdue_since.is_none()
            && self.trust.refused.is_none()
            && self.trust.unreachable.is_none()
            && self.unsaved.is_none()
    }
}

/// How the next certificate comes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewalStatus {
    /// When it is asked for. Nothing, if somebody else renews.
    pub due: Option<SystemTime>,
    /// How far it is.
    pub step: Step,
    /// Since when a new certificate is wanted and has not come. Nothing, if it was not wanted or did not fail.
    pub overdue_since: Option<SystemTime>,
    /// How often asking has failed since.
    pub failures: u32,
    /// Why, the last time.
    pub last_error: Option<Arc<str>>,
}

/// Whom an identity trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustStatus {
    /// Counts up with every change of the bundle in force, from 1 on in each process.
    pub epoch: u64,
    /// SHA-256 of the bundle in force, in lower-case hexadecimal: the same for all who go by the same.
    pub hash: Arc<str>,
    /// The sequence of the bundle in force.
    pub sequence: u64,
    /// The sequence of the newest bundle that was told; more than `sequence`, if that one was of no use.
    pub seen: u64,
    /// The CAs.
    pub roots: Arc<[RootStatus]>,
    /// The revocation lists.
    pub crls: Arc<[CrlStatus]>,
    /// Why the newest bundle was refused. The last good one stays in force.
    pub refused: Option<Arc<str>>,
    /// How many bundles were refused.
    pub refusals: u64,
    /// Why the bundle cannot be followed now.
    pub unreachable: Option<Arc<str>>,
}

impl TrustStatus {
    pub(super) fn of(epoch: &Epoch) -> Self {
        Self {
            epoch: epoch.trust_number,
            hash: Arc::clone(&epoch.trust_hash),
            sequence: epoch.sequence,
            seen: epoch.sequence,
            roots: Arc::clone(&epoch.roots),
            crls: Arc::clone(&epoch.crls),
            refused: None,
            refusals: 0,
            unreachable: None,
        }
    }
}

/// The certificate of a CA that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootStatus {
    /// Its name.
    pub subject: String,
    /// When it begins to be good.
    pub not_before: SystemTime,
    /// Until when it is good: what to warn of before it ends.
    pub not_after: SystemTime,
}

impl RootStatus {
    pub(super) fn of(root: &Certificate) -> Self {
        Self {
            subject: root.subject().to_owned(),
            not_before: root.not_before(),
            not_after: root.not_after(),
        }
    }
}

/// What is known of a revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrlStatus {
    /// Whose list it is.
    pub issuer: String,
    /// Its number, in decimal digits.
    pub number: String,
    /// Since when it counts.
    pub this_update: SystemTime,
    /// When a newer one was to be there.
    pub next_update: SystemTime,
    /// How many certificates it takes back.
    pub revoked: usize,
}

impl CrlStatus {
    pub(super) fn all_of(verifier: &Verifier) -> Arc<[Self]> {
        let of = |summary: CrlSummary<'_>| Self {
            issuer: summary.issuer.to_owned(),
            number: summary.number,
            this_update: summary.this_update,
            next_update: summary.next_update,
            revoked: summary.revoked,
        };
        verifier.crls().map(of).collect()
    }
}
