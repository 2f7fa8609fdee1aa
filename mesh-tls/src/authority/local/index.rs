//! What a CA issued: a file that only grows.

use std::collections::HashSet;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::time::{Duration, SystemTime};

use mesh_core::SpiffeId;
use serde::{Deserialize, Serialize};

use super::storage;
use crate::authority::{CaError, CaErrorKind, SerialNumber};
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
struct Line {
    serial: String,
    id: String,
    not_before: u64,
    not_after: u64,
    issued_at: u64,
    key: String,
}

/// What was issued, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Index {
    records: Vec<IssuedRecord>,
    serials: HashSet<SerialNumber>,
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
        self.records.iter().map(|record| record.issued_at).max()
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
        let mut added = String::new();
        file.seek(SeekFrom::Start(self.read))
            .and_then(|_| file.read_to_string(&mut added))
            .map_err(|error| failed(dir, &error.to_string()))?;
        let whole = added.rfind('\n').map_or(0, |end| end + 1);
        let before = self.records.len();
        let records = added[..whole].lines().enumerate().map(|(number, line)| {
            parse(line).map_err(|why| failed(dir, &format!("line {}: {why}", before + number + 1)))
        });
        let records = records.collect::<Result<Vec<_>, _>>()?;
        self.serials.extend(records.iter().map(|record| record.serial));
        self.records.extend(records);
        self.read += whole as u64;
        Ok(())
    }

    /// Adds one, and returns when no crash can lose it. The directory has to be locked.
    pub(super) fn append(&mut self, dir: Option<&SecureDir>, record: IssuedRecord) -> Result<(), CaError> {
        if let Some(dir) = dir {
            let line =
                serde_json::to_string(&Line::of(&record)).map_err(|error| failed(dir, &error.to_string()))?;
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
        self.serials.insert(record.serial);
        self.records.push(record);
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
}

fn parse(line: &str) -> Result<IssuedRecord, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
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
