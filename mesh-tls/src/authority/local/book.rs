//! What a CA knows, and how it is changed: by one hand at a time, and never half.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::MutexGuard;
use rustls_pki_types::CertificateDer;

use super::index::{self, Index};
use super::lifecycle::Situation;
use super::material::{Signer, internal};
use super::record::{Before, Marks, Record};
use super::times::SKEW;
use super::{Inner, storage};
use crate::authority::{CaError, CaErrorKind, Follower};
use crate::secure_dir::{Lock, Stamp};

/// What a CA knows.
pub(super) struct Book {
    pub(super) record: Record,
    pub(super) index: Index,
    pub(super) signing: Arc<Signing>,
    /// Which file the record was read from.
    stamp: Option<Stamp>,
    marks: Marks,
}

/// What signs certificates.
pub(super) struct Signing {
    pub(super) generation: u64,
    pub(super) signer: Signer,
    /// The CAs between what it signs and the root.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// When all of them begin to be good, and until when they are.
    pub(super) validity: (SystemTime, SystemTime),
}

impl Signing {
    fn of(record: &Record) -> Result<Self, CaError> {
        let none = || internal(&"no generation of the CA signs");
        let generation = record.lifecycle().signer().ok_or_else(none)?.number;
        let mut signers = record.material(generation)?.signers()?;
        let begin = signers.iter().map(|signer| signer.certificate.not_before()).max();
        let end = signers.iter().map(|signer| signer.certificate.not_after()).min();
        let validity = begin.zip(end).ok_or_else(none)?;
        let signer = signers.pop().ok_or_else(none)?;
        let chain = match signers.is_empty() {
            true => Vec::new(),
            false => vec![signer.der.clone()],
        };
        Ok(Self {
            generation,
            signer,
            chain,
            validity,
        })
    }
}

impl Book {
    pub(super) fn new(
        record: Record,
        index: Index,
        (stamp, marks): (Option<Stamp>, Marks),
    ) -> Result<Self, CaError> {
        let mut book = Self {
            signing: Arc::new(Signing::of(&record)?),
            record,
            index,
            stamp,
            marks,
        };
        book.reserve();
        Ok(book)
    }

    /// Generations that signed something are not called into being again, whatever record was brought back.
    fn reserve(&mut self) {
        let signed = self.index.last_leaves().keys().max().copied();
        let highest = self.marks.generation.max(signed.unwrap_or_default());
        self.record.lifecycle_mut().reserve(highest);
    }

    pub(super) fn situation<'s>(
        &'s self,
        now: SystemTime,
        followers: &'s [(Follower, u64)],
    ) -> Situation<'s> {
        Situation {
            now,
            times: self.record.times(),
            followers,
            last_leaves: self.index.last_leaves(),
        }
    }
}

/// Whether what changed is in the bundle, so that there has to be a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Yes,
    No,
    /// It is, and keys are gone, of which nothing may be left.
    Forgotten,
}

impl Inner {
    /// What is known, with what other processes did.
    pub(super) fn read(&self) -> Result<MutexGuard<'_, Book>, CaError> {
        let mut book = self.book.lock();
        self.refresh(&mut book)?;
        Ok(book)
    }

    /// The same, for who changes it.
    pub(super) fn write(&self) -> Result<(MutexGuard<'_, Book>, Option<Lock>), CaError> {
        let mut book = self.book.lock();
        let lock = self.dir.as_ref().map(|dir| dir.lock().map_err(storage));
        let lock = lock.transpose()?;
        self.refresh(&mut book)?;
        Ok((book, lock))
    }

    fn refresh(&self, book: &mut Book) -> Result<(), CaError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        book.index.refresh(dir)?;
        let stamp = Record::stamp(dir);
        if stamp != book.stamp {
            let record = Record::load(dir)?.ok_or_else(|| super::lost(dir))?;
            book.signing = Arc::new(Signing::of(&record)?);
            book.record = record;
            book.stamp = stamp;
            book.marks = book.marks.max(Marks::load(dir));
            book.reserve();
            self.publish(book)?;
        }
        match book.record.lost_revocations(&book.index) {
            0 => Ok(()),
            lost => Err(index::failed(
                dir,
                &format!(
                    "{lost} revocations that were told are not in it: bring the list back from a backup that has them"
                ),
            )),
        }
    }

    /// Tells the bundle, unless it is older than the one that was told: a record that was brought back gets a new
    /// sequence first.
    fn publish(&self, book: &Book) -> Result<(), CaError> {
        if book.record.sequence() > self.bundle.current().sequence {
            self.bundle.publish(book.record.bundle()?);
        }
        Ok(())
    }

    /// The highest sequence that may have been seen by anybody.
    pub(super) fn highest(&self, book: &Book) -> u64 {
        let told = self.bundle.current().sequence;
        let seen = self.followers.lock().seen();
        let known = book.record.sequence().max(book.marks.sequence);
        known.max(told).max(seen)
    }

    pub(super) fn next_sequence(&self, book: &Book) -> Result<u64, CaError> {
        let next = self.highest(book).checked_add(1);
        next.ok_or_else(|| internal(&"there is no sequence left"))
    }

    /// Changes the record, stores it, and tells it: in this order, so that whatever was told is stored. The change is told
    /// which sequence the next bundle has.
    pub(super) fn commit<T>(
        &self,
        book: &mut Book,
        told: Told,
        now: SystemTime,
        change: impl FnOnce(&mut Record, &Index, u64) -> Result<T, CaError>,
    ) -> Result<T, CaError> {
        let mut next = book.record.clone();
        let sequence = self.next_sequence(book)?;
        let changed = change(&mut next, &book.index, sequence)?;
        if told != Told::No {
            check_clock(&book.record, now)?;
            next.publish(sequence, &book.index, now)?;
        }
        let signing = Signing::of(&next)?;
        if let Some(dir) = &self.dir {
            let before = match told {
                Told::Forgotten => Before::Forgotten,
                Told::Yes | Told::No => Before::Kept(&book.record),
            };
            next.save(dir, before)?;
            book.stamp = Record::stamp(dir);
        }
        book.marks = book.marks.max(next.marks());
        book.record = next;
        book.signing = Arc::new(signing);
        self.publish(book)?;
        Ok(changed)
    }
}

/// Nothing is signed by a clock that is behind what was signed before.
pub(super) fn check_clock(record: &Record, now: SystemTime) -> Result<(), CaError> {
    match record.listed_at().duration_since(now) {
        Ok(behind) if behind > SKEW => Err(CaError::new(
            CaErrorKind::Clock,
            format!(
                "this host's clock is {} s behind the last revocation lists that were signed: is it right?",
                behind.as_secs()
            ),
        )),
        _ => Ok(()),
    }
}
