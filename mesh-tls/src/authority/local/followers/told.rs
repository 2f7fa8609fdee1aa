//! What a process was told, as it writes it for the others.

use std::collections::HashMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Heard, Other};
use crate::authority::Follower;
use crate::authority::local::stored::Seconds;
use crate::sealed;
use crate::secure_dir::SecureDir;
use crate::store::{StoreError, StoreErrorKind};

const MAX_LEN: u64 = 64 * 1024 * 1024;

/// One who follows.
#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    instance: u64,
    in_force: u64,
    heard: Seconds,
}

/// What a file holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    /// In nanoseconds, so that each writing is another.
    written: u64,
    followers: Vec<Line>,
}

pub(super) struct Read {
    pub(super) written: SystemTime,
    followers: Vec<(Follower, u64, SystemTime)>,
}

/// Whether a file of this name is one of these.
pub(super) fn is_name(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn write(
    dir: &SecureDir,
    name: &str,
    heard: &HashMap<Follower, Heard>,
    wall: SystemTime,
    now: Instant,
) -> Result<(), StoreError> {
    let line = |(follower, heard): (&Follower, &Heard)| Line {
        id: follower.id.to_string(),
        instance: follower.instance,
        in_force: heard.in_force,
        heard: wall
            .checked_sub(heard.silent_for(now))
            .unwrap_or(SystemTime::UNIX_EPOCH)
            .into(),
    };
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let told = Told {
        written: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        followers: heard.iter().map(line).collect(),
    };
    let content = sealed::seal(&told).map_err(|why| StoreError::new(StoreErrorKind::Unavailable, why))?;
    dir.write(name, &content)
}

pub(super) fn read(dir: &SecureDir, name: &str) -> Result<Option<Read>, StoreError> {
    let Some(content) = dir.read(name, MAX_LEN)? else {
        return Ok(None);
    };
    match parse(&content) {
        Ok(read) => Ok(Some(read)),
        Err(why) => {
            let path = dir.file(name);
            dir.remove(name)?;
            let message = format!(
                "{}: {why}: it is removed, and whoever wrote it writes it again",
                path.display()
            );
            Err(StoreError::new(StoreErrorKind::Corrupt, message))
        }
    }
}

fn parse(content: &[u8]) -> Result<Read, String> {
    let told: Told = sealed::open(content)?;
    let read = |line: Line| {
        let id = line.id.parse().map_err(|error| format!("{error}"))?;
        Ok((Follower::new(id, line.instance), line.in_force, line.heard.time()))
    };
    let written = std::time::Duration::from_nanos(told.written);
    Ok(Read {
        written: SystemTime::UNIX_EPOCH
            .checked_add(written)
            .unwrap_or(SystemTime::UNIX_EPOCH),
        followers: told
            .followers
            .into_iter()
            .map(read)
            .collect::<Result<_, String>>()?,
    })
}

impl Read {
    /// What it tells, for a process that reads it now for the first time.
    pub(super) fn at(self, wall: SystemTime, now: Instant) -> Other {
        let heard = |(follower, in_force, heard): (Follower, u64, SystemTime)| {
            let before = wall.duration_since(heard).unwrap_or_default();
            let heard = Heard {
                in_force,
                at: now,
                before,
            };
            (follower, heard)
        };
        Other {
            written: self.written,
            heard: self.followers.into_iter().map(heard).collect(),
        }
    }
}
