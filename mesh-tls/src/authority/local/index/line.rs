//! A line of the index.

use serde::{Deserialize, Serialize};

use super::{IssuedRecord, Revoked};
use crate::authority::RevocationReason;
use crate::authority::local::stored::Seconds;
use crate::hash::sha256_half;

/// What a line tells.
#[derive(Debug)]
pub(super) enum Entry {
    Issued(IssuedRecord),
    Revoked(Revoked),
}

/// As it is written, times in seconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Issued(IssuedLine),
    Revoked(RevokedLine),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuedLine {
    serial: String,
    id: String,
    not_before: Seconds,
    not_after: Seconds,
    issued_at: Seconds,
    key: String,
    /// Not in lines of before a CA could be rotated: they are of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokedLine {
    revoked: String,
    reason: u8,
    at: Seconds,
    sequence: u64,
    generation: u64,
    ca: bool,
    not_after: Seconds,
}

/// A line, with half of the SHA-256 of it, so that a changed digit is seen.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Summed {
    line: Line,
    sum: String,
}

impl Entry {
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let Summed { line, sum } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if line.sum().ok() != Some(sum) {
            return Err("it was changed after it was written: bring the list back from a backup".into());
        }
        match line {
            Line::Issued(line) => line.record().map(Self::Issued),
            Line::Revoked(line) => line.revoked().map(Self::Revoked),
        }
    }

    pub(super) fn line(&self) -> serde_json::Result<String> {
        let line = match self {
            Self::Issued(record) => Line::Issued(IssuedLine {
                serial: record.serial.to_string(),
                id: record.spiffe_id.to_string(),
                not_before: record.not_before.into(),
                not_after: record.not_after.into(),
                issued_at: record.issued_at.into(),
                key: record.key_hash.clone(),
                generation: Some(record.generation),
            }),
            Self::Revoked(revoked) => Line::Revoked(RevokedLine {
                revoked: revoked.serial.to_string(),
                reason: revoked.reason.code(),
                at: revoked.at.into(),
                sequence: revoked.sequence,
                generation: revoked.generation,
                ca: revoked.is_ca,
                not_after: revoked.not_after.into(),
            }),
        };
        let sum = line.sum()?;
        serde_json::to_string(&Summed { line, sum })
    }
}

impl Line {
    fn sum(&self) -> serde_json::Result<String> {
        serde_json::to_vec(self).map(|line| sha256_half(&line))
    }
}

impl IssuedLine {
    fn record(self) -> Result<IssuedRecord, String> {
        Ok(IssuedRecord {
            serial: self.serial.parse().map_err(|error| format!("{error}"))?,
            spiffe_id: self.id.parse().map_err(|error| format!("{error}"))?,
            not_before: self.not_before.time(),
            not_after: self.not_after.time(),
            issued_at: self.issued_at.time(),
            key_hash: self.key,
            generation: self.generation.unwrap_or(1),
            revoked: None,
        })
    }
}

impl RevokedLine {
    fn revoked(self) -> Result<Revoked, String> {
        let reason = RevocationReason::ALL
            .into_iter()
            .find(|reason| reason.code() == self.reason);
        Ok(Revoked {
            serial: self.revoked.parse().map_err(|error| format!("{error}"))?,
            reason: reason.ok_or_else(|| format!("{} is no reason", self.reason))?,
            at: self.at.time(),
            sequence: self.sequence,
            generation: self.generation,
            is_ca: self.ca,
            not_after: self.not_after.time(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_line_of_before_there_were_generations_is_of_the_first() {
        let line = r#"{"serial":"07","id":"spiffe://cluster.local/ns/a/sa/b","not_before":1,"not_after":3,"issued_at":2,"key":"ab"}"#;
        let sum = sha256_half(line.as_bytes());
        let read = Entry::read(format!(r#"{{"line":{line},"sum":"{sum}"}}"#).as_bytes()).expect("whole");
        let Entry::Issued(record) = read else {
            panic!("it was issued")
        };
        assert_eq!((record.generation, record.serial.to_string().as_str()), (1, "07"));
        assert_eq!(record.not_after, SystemTime::UNIX_EPOCH + Duration::from_secs(3));
    }
}
