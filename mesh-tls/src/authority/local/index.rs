//! What a CA issued and took back: a file that only grows.

mod line;

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::SystemTime;

use mesh_core::SpiffeId;

use super::storage;
use crate::authority::{CaError, CaErrorKind, RevocationReason, SerialNumber};
use crate::fault_point;
use crate::secure_dir::SecureDir;
use line::Entry;

pub(super) const FILE: &str = "issued.jsonl";

/// A certificate that a [`LocalCa`](super::LocalCa) issued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssuedRecord {
    /// Its serial number.
    pub serial: SerialNumber,
    /// Whose it is.
    pub spiffe_id: SpiffeId,
    /// When it begins to be good.
    pub not_before: SystemTime,
    /// Until when it is good.
    pub not_after: SystemTime,
    /// When it was issued.
    pub issued_at: SystemTime,
    /// SHA-256 of its public key, in lower-case hexadecimal.
    pub key_hash: String,
    /// Which generation of the CA signed it.
    pub generation: u64,
    /// Since when it is taken back, and why; `None` if it is not.
    pub revoked: Option<(SystemTime, RevocationReason)>,
}

/// A certificate that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Revoked {
    pub(super) serial: SerialNumber,
    pub(super) reason: RevocationReason,
    pub(super) at: SystemTime,
    /// No bundle from this sequence on is without it.
    pub(super) sequence: u64,
    /// Whose list it stands in.
    pub(super) generation: u64,
    /// Whether it is an issuing CA.
    pub(super) is_ca: bool,
    pub(super) not_after: SystemTime,
}

/// What was issued and taken back, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Index {
    records: Vec<IssuedRecord>,
    /// Where in the records a serial number is.
    places: HashMap<SerialNumber, usize>,
    revocations: Vec<Revoked>,
    /// Where in the revocations a serial number is.
    revoked: HashMap<SerialNumber, usize>,
    /// Until when what a generation signed is good.
    last_leaves: BTreeMap<u64, SystemTime>,
    last_issued: Option<SystemTime>,
    lines: usize,
    /// Up to here the file was read.
    read: u64,
}

impl Index {
    pub(super) fn load(dir: &SecureDir) -> Result<Self, CaError> {
        let mut index = Self::default();
        index.refresh(dir)?;
        Ok(index)
    }

    pub(super) fn records(&self) -> &[IssuedRecord] {
        &self.records
    }

    pub(super) fn holds(&self, serial: &SerialNumber) -> bool {
        self.places.contains_key(serial)
    }

    pub(super) fn record(&self, serial: &SerialNumber) -> Option<&IssuedRecord> {
        self.places.get(serial).and_then(|place| self.records.get(*place))
    }

    /// What was taken back, in that order.
    pub(super) fn revocations(&self) -> &[Revoked] {
        &self.revocations
    }

    pub(super) fn revocation(&self, serial: &SerialNumber) -> Option<&Revoked> {
        self.revoked
            .get(serial)
            .and_then(|place| self.revocations.get(*place))
    }

    /// Until when what each generation signed is good.
    pub(super) fn last_leaves(&self) -> &BTreeMap<u64, SystemTime> {
        &self.last_leaves
    }

    /// When the newest was issued.
    pub(super) fn last_issued(&self) -> Option<SystemTime> {
        self.last_issued
    }

    /// Reads what another process added. A last line without an end is one that a crash cut: its certificate was
    /// handed to nobody.
    pub(super) fn refresh(&mut self, dir: &SecureDir) -> Result<(), CaError> {
        if !SecureDir::exists(&dir.file(FILE)) {
            return Ok(());
        }
        let mut file = dir.append(FILE).map_err(storage)?;
        let length = file
            .metadata()
            .map_err(|error| failed(dir, &error.to_string()))?
            .len();
        if length < self.read {
            return Err(failed(
                dir,
                "it became shorter: bring it back from a backup, and restart",
            ));
        }
        let mut added = Vec::new();
        file.seek(SeekFrom::Start(self.read))
            .and_then(|_| file.read_to_end(&mut added))
            .map_err(|error| failed(dir, &error.to_string()))?;
        let mut lines = added.split_inclusive(|byte| *byte == b'\n').peekable();
        let (mut entries, mut read) = (Vec::new(), self.read);
        while let Some(line) = lines.next() {
            let Some(content) = line.strip_suffix(b"\n") else {
                break;
            };
            match Entry::read(content) {
                Ok(entry) => entries.push(entry),
                // A block that did not reach the disk before the crash is read as zeros.
                Err(_) if lines.peek().is_none() && content.contains(&0) => break,
                Err(why) => {
                    let number = self.lines + entries.len() + 1;
                    return Err(failed(dir, &format!("line {number}: {why}")));
                }
            }
            read += line.len() as u64;
        }
        entries.into_iter().for_each(|entry| self.add(entry));
        self.read = read;
        Ok(())
    }

    fn add(&mut self, entry: Entry) {
        self.lines += 1;
        match entry {
            Entry::Issued(record) => {
                self.places.insert(record.serial, self.records.len());
                self.last_issued = self.last_issued.max(Some(record.issued_at));
                let last = self.last_leaves.entry(record.generation);
                let last = last.or_insert(record.not_after);
                *last = record.not_after.max(*last);
                self.records.push(record);
            }
            Entry::Revoked(revoked) => {
                // Which was first counts.
                if self.revoked.contains_key(&revoked.serial) {
                    return;
                }
                self.revoked.insert(revoked.serial, self.revocations.len());
                let place = self.places.get(&revoked.serial);
                if let Some(record) = place.and_then(|place| self.records.get_mut(*place)) {
                    record.revoked = Some((revoked.at, revoked.reason));
                }
                self.revocations.push(revoked);
            }
        }
    }

    /// Adds what was issued, and returns when no crash can lose it. The directory has to be locked.
    pub(super) fn append(&mut self, dir: Option<&SecureDir>, record: IssuedRecord) -> Result<(), CaError> {
        self.append_entry(dir, Entry::Issued(record))
    }

    /// The same of what was taken back.
    pub(super) fn revoke(&mut self, dir: Option<&SecureDir>, revoked: Revoked) -> Result<(), CaError> {
        self.append_entry(dir, Entry::Revoked(revoked))
    }

    fn append_entry(&mut self, dir: Option<&SecureDir>, entry: Entry) -> Result<(), CaError> {
        if let Some(dir) = dir {
            let mut line = entry.line().map_err(|error| failed(dir, &error.to_string()))?;
            line.push('\n');
            let mut file = dir.append(FILE).map_err(storage)?;
            let mut write = || {
                fault_point::reach()?;
                // Behind the last whole line: what a crash cut is written over.
                file.set_len(self.read)?;
                file.seek(SeekFrom::Start(self.read))?;
                fault_point::write(&mut file, line.as_bytes())?;
                fault_point::reach()?;
                file.sync_all()?;
                fault_point::reach()?;
                // The first line makes the file, and its name has to last too.
                match self.read {
                    0 => std::fs::File::open(dir.path())?.sync_all(),
                    _ => Ok(()),
                }
            };
            write().map_err(|error| failed(dir, &error.to_string()))?;
            self.read += line.len() as u64;
        }
        self.add(entry);
        Ok(())
    }
}

pub(super) fn failed(dir: &SecureDir, why: &str) -> CaError {
    let message = format!(
        "{}: {why}: without this list the CA issues nothing",
        dir.file(FILE).display()
    );
    CaError::new(CaErrorKind::Storage, message)
}
