//! Revocation lists: which of them counts for a certificate, and what it says.
//!
//! webpki has the issuer's name point to a list, takes the first of that name, and verifies its signature, over all of
//! its bytes, in every handshake. Here a list belongs to the key that signed it, its signature is verified once, and
//! the newest counts.

mod list;
mod scope;

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateRevocationListDer;

use super::StaleCrl;
use super::error::{VerifyError, VerifyErrorKind};
use super::trust::Root;
use crate::certificate::Certificate;
use crate::printable::shortened;
use list::List;

pub(crate) use scope::uris;

/// How far clocks may be apart before a list that begins in the future is refused.
const SKEW: Duration = Duration::from_secs(300);

/// The lists of a bundle.
#[derive(Debug, Default)]
pub(super) struct Crls(Vec<List>);

/// What is known of a revocation list, for metrics and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrlSummary<'v> {
    /// Whose list it is.
    pub issuer: &'v str,
    /// Its number, in decimal digits: it grows with every list of an issuer.
    pub number: String,
    /// Since when it counts.
    pub this_update: SystemTime,
    /// When a newer one was to be there.
    pub next_update: SystemTime,
    /// How many certificates it takes back.
    pub revoked: usize,
}

impl Crls {
    /// Reads lists. Those of a root are verified now, and only the newest is kept; those of a CA below one are
    /// verified when a chain shows the CA's key.
    pub(super) fn compile(
        ders: &[CertificateRevocationListDer<'static>],
        roots: &[Root],
    ) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut kept: Vec<List> = Vec::new();
        for (place, der) in ders.iter().enumerate() {
            let added = List::read(der, roots).and_then(|list| keep_newest(&mut kept, list));
            if let Err(problem) = added {
                problems.push(format!("revocation list {}: {problem}", place + 1));
            }
        }
        if problems.is_empty() && !kept.is_empty() && !kept.iter().any(List::is_verified) {
            problems.push(
                "no revocation list is of a root of the bundle, so that nobody could be believed: \
                 are roots and lists of the same CA?"
                    .into(),
            );
        }
        match problems.is_empty() {
            true => Ok(Self(kept)),
            false => Err(problems),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn summaries(&self) -> impl Iterator<Item = CrlSummary<'_>> {
        self.0.iter().map(|list| CrlSummary {
            issuer: &list.issuer.text,
            number: list.number.to_string(),
            this_update: list.this_update,
            next_update: list.next_update,
            revoked: list.revoked.len(),
        })
    }

    /// Every reason why these lists must not take the place of those `before`.
    pub(super) fn steps_back_from(&self, before: &Self) -> Vec<String> {
        let judged = before.0.iter().filter_map(|old| {
            let new = self.0.iter().find(|new| new.is_of_signer_of(old))?;
            let (issuer, number) = (&old.issuer.text, &old.number);
            if new.number < *number {
                return Some(format!(
                    "the revocation list of {issuer} would go back from number {number} to {}",
                    new.number
                ));
            }
            (new.number == *number && new.digest != old.digest)
                .then(|| format!("there are two revocation lists of {issuer} with the number {number}"))
        });
        judged.collect()
    }

    /// Whether `issuer` has taken `certificate` back. Without a list of that issuer it is an error only if one is
    /// `needed`.
    pub(super) fn check(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        needed: bool,
        now: SystemTime,
        stale: StaleCrl,
    ) -> Result<(), VerifyError> {
        let of_issuer = self
            .0
            .iter()
            .filter(|list| list.is_of(issuer) && list.scope.covers(certificate));
        let Some(list) = of_issuer.max_by(|a, b| a.number.cmp(&b.number)) else {
            return match needed {
                true => Err(VerifyError::new(
                    VerifyErrorKind::RevocationUnknown,
                    format!(
                        "its issuer {} has no revocation list here, though others have one: every CA that signs needs \
                         one, if only an empty one",
                        shortened(issuer.subject())
                    ),
                )),
                false => Ok(()),
            };
        };
        let wrong = |message: &str| {
            let issuer = shortened(&list.issuer.text);
            let message = format!("the revocation list {} of {issuer} {message}", list.number);
            Err(VerifyError::new(VerifyErrorKind::StaleCrl, message))
        };
        if issuer.key_usage().is_some_and(|usage| !usage.crl_sign) {
            return wrong("is signed by a key that may not sign revocation lists (cRLSign)");
        }
        if list.revokes(certificate) {
            return Err(VerifyError::revoked(certificate, &list.issuer.text));
        }
        if now
            .checked_add(SKEW)
            .is_some_and(|latest| list.this_update > latest)
        {
            return wrong("begins in the future: are the clocks of this host and of the CA right?");
        }
        if now < list.next_update {
            return Ok(());
        }
        match stale {
            StaleCrl::Deny => wrong("is too old: is the CA still publishing? (crlStalePolicy)"),
            StaleCrl::Warn => {
                if !list.told_stale.swap(true, Relaxed) {
                    tracing::warn!(
                        issuer = %list.issuer.text, number = %list.number,
                        "a revocation list is too old, and is used all the same (crlStalePolicy: warn)"
                    );
                }
                Ok(())
            }
        }
    }
}

/// Of the lists that one key signed for the same certificates, the one with the highest number.
fn keep_newest(kept: &mut Vec<List>, list: List) -> Result<(), String> {
    let Some(known) = kept
        .iter_mut()
        .find(|known| list.digest == known.digest || list.is_of_signer_of(known))
    else {
        kept.push(list);
        return Ok(());
    };
    if known.number == list.number && known.digest != list.digest {
        return Err(format!(
            "there are two of {} with the number {}, and they differ: which of them is true cannot be told",
            list.issuer.text, list.number
        ));
    }
    if known.number < list.number {
        *known = list;
    }
    Ok(())
}
