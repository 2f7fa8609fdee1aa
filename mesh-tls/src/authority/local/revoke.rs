//! Takes certificates back.

use std::time::SystemTime;

use super::Inner;
use super::book::{Book, Told};
use super::index::Revoked;
use super::lifecycle::told;
use super::lists::KEPT;
use super::stored::whole_seconds;
use crate::authority::{CaError, CaErrorKind, Revocation, RevokeRequest, SerialNumber};

impl Inner {
    pub(super) fn revoke(&self, request: &RevokeRequest) -> Result<Revocation, CaError> {
        // Who follows elsewhere may be ahead of a CA that was restored. Not to know it keeps nothing from being revoked.
        if let Err(error) = self.live_followers() {
            tracing::warn!(%error, "it is not known who follows the bundle");
        }
        let (mut book, _lock) = self.write()?;
        let now = self.clock.now();
        let serial = request.serial;
        if book.index.revocation(&serial).is_none() {
            let subject = subject(&book, &serial)?;
            if subject.not_after.checked_add(KEPT).is_some_and(|end| now > end) {
                let message = format!(
                    "{serial} was good until {}, and nobody believes it since: there is nothing to take back",
                    told(subject.not_after)
                );
                return Err(CaError::new(CaErrorKind::WrongState, message));
            }
            super::book::check_clock(&book.record, now)?;
            let revoked = Revoked {
                serial,
                reason: request.reason,
                at: whole_seconds(now),
                sequence: self.next_sequence(&book)?,
                generation: subject.generation,
                is_ca: subject.is_ca,
                not_after: subject.not_after,
            };
            // First, and for good: a crash, or a full disk, behind it delays the list and loses nothing.
            book.index.revoke(self.dir.as_ref(), revoked)?;
            tracing::info!(%serial, reason = %request.reason, "a certificate was revoked");
        }
        if book.record.lists_lack(&book.index) {
            self.commit(&mut book, Told::Yes, now, |_, _, _| Ok(())).map_err(|error| {
                let message = format!(
                    "{serial} is revoked for good, and the list that tells it could not be made yet, which is tried again \
                     all the time: {error}"
                );
                CaError::new(error.kind(), message).with_source(error)
            })?;
        }
        let revoked = book.index.revocation(&serial);
        let revoked = revoked.ok_or_else(|| super::material::internal(&"a revocation was lost"))?;
        let mut told = Revocation::new(request, revoked.at, revoked.sequence, revoked.sequence);
        told.reason = revoked.reason;
        Ok(told)
    }
}

/// What a serial number stands for.
struct Subject {
    generation: u64,
    is_ca: bool,
    not_after: SystemTime,
}

fn subject(book: &Book, serial: &SerialNumber) -> Result<Subject, CaError> {
    if let Some(record) = book.index.record(serial) {
        let lives = book.record.lifecycle().lives();
        if !lives.iter().any(|life| life.number == record.generation) {
            let message = format!(
                "{serial} was signed by generation {}, which was removed: nobody believes it since, and there is nothing \
                 to take back",
                record.generation
            );
            return Err(CaError::new(CaErrorKind::WrongState, message));
        }
        return Ok(Subject {
            generation: record.generation,
            is_ca: false,
            not_after: record.not_after,
        });
    }
    for life in book.record.lifecycle().lives() {
        let signers = book.record.material(life.number)?.signers()?;
        let Some(place) = signers
            .iter()
            .position(|signer| signer.certificate.serial() == *serial)
        else {
            continue;
        };
        let wrong = |why: &str| {
            let message = format!("{serial} is a CA of generation {}, {why}", life.number);
            Err(CaError::new(CaErrorKind::WrongState, message))
        };
        return match signers.get(place) {
            _ if place == 0 => wrong(
                "and its root: nobody stands above a root to take it back. Taint the generation, and remove it",
            ),
            _ if book.signing.generation == life.number => wrong(
                "and it signs: everybody would be refused at once. Taint it, and revoke it when its successor signs",
            ),
            Some(signer) => Ok(Subject {
                generation: life.number,
                is_ca: true,
                not_after: signer.certificate.not_after(),
            }),
            None => wrong("and cannot be found"),
        };
    }
    Err(CaError::new(
        CaErrorKind::UnknownCertificate,
        format!("{serial} was not issued by this CA: `mesh-proxy cert list` shows what was"),
    ))
}
