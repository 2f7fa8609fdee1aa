//! How far the CA has counted.

use serde::{Deserialize, Serialize};

use super::super::storage;
use crate::authority::{CaError, CaErrorKind};
use crate::sealed;
use crate::secure_dir::SecureDir;

const FILE: &str = "ca.marks";
const MAX_LEN: u64 = 4 * 1024;

/// The highest numbers that were ever given. They are written before the record that has them, and stay when an older
/// record is brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Marks {
    pub(in super::super) sequence: u64,
    pub(in super::super) generation: u64,
}

impl Marks {
    /// Those of a directory; none if it has none that can be read: then the record and the followers know.
    pub(in super::super) fn load(dir: &SecureDir) -> Self {
        let read = dir.read(FILE, MAX_LEN).map_err(|error| error.to_string());
        let read = read.and_then(|content| content.map(|content| sealed::open(&content)).transpose());
        read.unwrap_or_else(|why| {
            tracing::warn!(file = %dir.file(FILE).display(), why, "it cannot be used, and is written anew");
            None
        })
        .unwrap_or_default()
    }

    /// Writes them if they are higher than those that are there.
    pub(super) fn save(self, dir: &SecureDir) -> Result<(), CaError> {
        let known = Self::load(dir);
        let highest = known.max(self);
        if highest == known {
            return Ok(());
        }
        let content = sealed::seal(&highest).map_err(|why| CaError::new(CaErrorKind::Internal, why))?;
        dir.write(FILE, &content).map_err(storage)
    }

    /// The higher one of each.
    pub(in super::super) fn max(self, other: Self) -> Self {
        Self {
            sequence: self.sequence.max(other.sequence),
            generation: self.generation.max(other.generation),
        }
    }
}
