//! What was renewed to what: a file that grows, and is made shorter when it is opened.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_core::SpiffeId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::authority::{CaError, CaErrorKind, DnsName, SerialNumber};
use crate::secure_dir::SecureDir;
use crate::store::StoreError;

const FILE: &str = "renewals.jsonl";
/// Some million certificates.
const MAX_LEN: u64 = 512 * 1024 * 1024;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A certificate was issued.
    Issued {
        serial: SerialNumber,
        id: SpiffeId,
        dns_names: Vec<DnsName>,
        not_after: SystemTime,
        replaces: Option<SerialNumber>,
    },
    /// It was shown for the first time.
    Shown(SerialNumber),
}

impl Line {
    pub(super) fn shown(serial: SerialNumber) -> Self {
        Self::Shown(serial)
    }

    pub(super) fn issued(
        serial: SerialNumber,
        id: &SpiffeId,
        dns_names: &[DnsName],
        not_after: SystemTime,
        replaces: Option<SerialNumber>,
    ) -> Self {
        Self::Issued {
            serial,
            id: id.clone(),
            dns_names: dns_names.to_vec(),
            not_after,
            replaces,
        }
    }
}

/// As it is written: one a line, times in seconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Written {
    Issued {
        serial: String,
        id: String,
        dns: Vec<String>,
        until: u64,
        replaces: Option<String>,
    },
    Shown(String),
}

/// The file.
#[derive(Clone)]
pub(super) struct Ledger {
    dir: SecureDir,
    /// Where its last whole line ends.
    end: Arc<Mutex<u64>>,
}

impl Ledger {
    /// What is in it, without what is over by now.
    pub(super) fn open(directory: PathBuf, now: SystemTime) -> Result<(Self, Vec<Line>), CaError> {
        let dir = SecureDir::open(directory).map_err(storage)?;
        let _lock = dir.lock().map_err(storage)?;
        let content = dir.read(FILE, MAX_LEN).map_err(storage)?.unwrap_or_default();
        let mut lines = Vec::new();
        // What is behind the last end of a line was cut by a crash, and its certificate handed to nobody.
        let whole = content
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let texts = content[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        for (place, text) in texts.enumerate() {
            lines.push(read(text).map_err(|why| {
                let (path, line) = (dir.file(FILE), place + 1);
                let message = format!(
                    "{}: line {line}: {why}; if it is moved away, certificates that were renewed before can be renewed again",
                    path.display()
                );
                CaError::new(CaErrorKind::Storage, message)
            })?);
        }
        let over: std::collections::HashSet<_> = lines
            .iter()
            .filter_map(|line| match line {
                Line::Issued {
                    serial, not_after, ..
                } if *not_after <= now => Some(*serial),
                _ => None,
            })
            .collect();
        lines.retain(|line| match line {
            Line::Issued { serial, .. } | Line::Shown(serial) => !over.contains(serial),
        });
        let mut short = Vec::new();
        for line in &lines {
            short.extend_from_slice(&written(line)?);
        }
        if short.len() != content.len() {
            dir.write(FILE, &short).map_err(storage)?;
        }
        let end = Arc::new(Mutex::new(short.len() as u64));
        drop(_lock);
        Ok((Self { dir, end }, lines))
    }

    /// Adds one, and returns when no crash can lose it.
    pub(super) async fn write(&self, line: Line) -> Result<(), CaError> {
        let ledger = self.clone();
        let done = tokio::task::spawn_blocking(move || ledger.write_blocking(&line)).await;
        done.unwrap_or_else(|error| {
            Err(CaError::new(
                CaErrorKind::Internal,
                format!("no thread to write on: {error}"),
            ))
        })
    }

    fn write_blocking(&self, line: &Line) -> Result<(), CaError> {
        let line = written(line)?;
        let mut end = self.end.lock();
        let mut file = self.dir.append(FILE).map_err(storage)?;
        let write = || {
            // Behind the last whole line: what could not be written whole is written over.
            file.set_len(*end)?;
            file.seek(SeekFrom::Start(*end))?;
            file.write_all(&line)?;
            file.sync_all()?;
            match *end {
                0 => std::fs::File::open(self.dir.path())?.sync_all(),
                _ => Ok(()),
            }
        };
        let mut write = write;
        write().map_err(|error: std::io::Error| {
            let message = format!("{}: it cannot be written: {error}", self.dir.file(FILE).display());
            CaError::new(CaErrorKind::Storage, message).with_source(error)
        })?;
        *end += line.len() as u64;
        Ok(())
    }
}

fn written(line: &Line) -> Result<Vec<u8>, CaError> {
    let written = match line {
        Line::Shown(serial) => Written::Shown(serial.to_string()),
        Line::Issued {
            serial,
            id,
            dns_names,
            not_after,
            replaces,
        } => Written::Issued {
            serial: serial.to_string(),
            id: id.to_string(),
            dns: dns_names.iter().map(|name| name.as_ref().to_owned()).collect(),
            until: not_after
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
            replaces: replaces.map(|serial| serial.to_string()),
        },
    };
    let mut text = serde_json::to_vec(&written)
        .map_err(|error| CaError::new(CaErrorKind::Internal, error.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

fn read(text: &[u8]) -> Result<Line, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let written: Written = serde_json::from_slice(text).map_err(|error| told(&error))?;
    let serial = |text: &str| text.parse::<SerialNumber>().map_err(|error| told(&error));
    Ok(match written {
        Written::Shown(shown) => Line::Shown(serial(&shown)?),
        Written::Issued {
            serial: issued,
            id,
            dns,
            until,
            replaces,
        } => Line::Issued {
            serial: serial(&issued)?,
            id: id.parse().map_err(|error| told(&error))?,
            dns_names: dns
                .into_iter()
                .map(|name| DnsName::try_from(name).map_err(|_| "a name is no DNS name".to_owned()))
                .collect::<Result<_, _>>()?,
            not_after: SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_secs(until))
                .ok_or("a time is out of range")?,
            replaces: replaces.as_deref().map(serial).transpose()?,
        },
    })
}

fn storage(error: StoreError) -> CaError {
    CaError::new(CaErrorKind::Storage, error.to_string()).with_source(error)
}
