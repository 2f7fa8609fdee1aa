//! What a CA issued: a file that only grows.

use std::collections::HashSet;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::time::{Duration, SystemTime};

use mesh_core::SpiffeId;
use serde::{Deserialize, Serialize};

use super::storage;
use crate::authority::{CaError, CaErrorKind, SerialNumber};
use crate::hash::sha256_half;
use crate::secure_dir::SecureDir;

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
}

/// As it is written: one a line, times in seconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    serial: String,
    id: String,
    not_before: u64,
    not_after: u64,
    issued_at: u64,
    key: String,
}

/// A line, with half of the SHA-256 of it, so that a changed digit is seen.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Summed {
    line: Line,
    sum: String,
}

/// What was issued, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Index {
    records: Vec<IssuedRecord>,
    serials: HashSet<SerialNumber>,
    last_issued: Option<SystemTime>,
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
        self.serials.contains(serial)
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
        let (mut records, mut read) = (Vec::new(), self.read);
        while let Some(line) = lines.next() {
            let Some(content) = line.strip_suffix(b"\n") else {
                break;
            };
            match parse(content) {
                Ok(record) => records.push(record),
                // A block that did not reach the disk before the crash is read as zeros.
                Err(_) if lines.peek().is_none() && content.contains(&0) => break,
                Err(why) => {
                    let number = self.records.len() + records.len() + 1;
                    return Err(failed(dir, &format!("line {number}: {why}")));
                }
            }
            read += line.len() as u64;
        }
        records.into_iter().for_each(|record| self.add(record));
        self.read = read;
        Ok(())
    }

    fn add(&mut self, record: IssuedRecord) {
        self.serials.insert(record.serial);
        self.last_issued = self.last_issued.max(Some(record.issued_at));
        self.records.push(record);
    }

    /// Adds one, and returns when no crash can lose it. The directory has to be locked.
    pub(super) fn append(&mut self, dir: Option<&SecureDir>, record: IssuedRecord) -> Result<(), CaError> {
        if let Some(dir) = dir {
            let line = Line::of(&record)
                .summed()
                .map_err(|error| failed(dir, &error.to_string()))?;
            let mut file = dir.append(FILE).map_err(storage)?;
            let write = || {
                // Behind the last whole line: what a crash cut is written over.
                file.set_len(self.read)?;
                file.seek(SeekFrom::Start(self.read))?;
                file.write_all(line.as_bytes())?;
                file.write_all(b"\n")?;
                file.sync_all()?;
                // The first line makes the file, and its name has to last too.
                match self.read {
                    0 => std::fs::File::open(dir.path())?.sync_all(),
                    _ => Ok(()),
                }
            };
            let mut write = write;
            write().map_err(|error| failed(dir, &error.to_string()))?;
            self.read += line.len() as u64 + 1;
        }
        self.add(record);
        Ok(())
    }
}

impl Line {
    fn of(record: &IssuedRecord) -> Self {
        Self {
            serial: record.serial.to_string(),
            id: record.spiffe_id.to_string(),
            not_before: seconds(record.not_before),
            not_after: seconds(record.not_after),
            issued_at: seconds(record.issued_at),
            key: record.key_hash.clone(),
        }
    }

    fn sum(&self) -> serde_json::Result<String> {
        serde_json::to_vec(self).map(|line| sha256_half(&line))
    }

    fn summed(self) -> serde_json::Result<String> {
        let sum = self.sum()?;
        serde_json::to_string(&Summed { line: self, sum })
    }
}

fn parse(line: &[u8]) -> Result<IssuedRecord, String> {
    let Summed { line, sum } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if line.sum().ok() != Some(sum) {
        return Err("it was changed after it was written: bring the list back from a backup".into());
    }
    let time = |seconds| {
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        time.ok_or_else(|| format!("the time {seconds} is out of range"))
    };
    Ok(IssuedRecord {
        serial: line.serial.parse().map_err(|error| format!("{error}"))?,
        spiffe_id: line.id.parse().map_err(|error| format!("{error}"))?,
        not_before: time(line.not_before)?,
        not_after: time(line.not_after)?,
        issued_at: time(line.issued_at)?,
        key_hash: line.key,
    })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn failed(dir: &SecureDir, why: &str) -> CaError {
    let message = format!(
        "{}: {why}: without this list the CA issues nothing",
        dir.file(FILE).display()
    );
    CaError::new(CaErrorKind::Storage, message)
}
