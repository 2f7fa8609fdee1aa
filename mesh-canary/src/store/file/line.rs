//! A record as a line: a checksum, a space, JSON.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::log::Record;

const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    position: u64,
    record: &'a Record,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[expect(dead_code, reason = "it was looked at before")]
    version: u32,
    position: u64,
    record: Record,
}

/// What is the same in every version.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

pub(super) fn write(position: u64, record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    let version = VERSION;
    let json = serde_json::to_string(&Written {
        version,
        position,
        record,
    })?;
    Ok(format!("{:016x} {json}\n", xxh3_64(json.as_bytes())).into_bytes())
}

/// The records, and where the last one ends. What follows it, without being a whole line, is what a crash left.
pub(super) fn read(content: &[u8]) -> Result<(Vec<(u64, Record)>, usize), String> {
    let mut records: Vec<(u64, Record)> = Vec::new();
    let mut end = 0;
    for (n, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(json) = checked(line) else {
            if end + line.len() == content.len() {
                break;
            }
            return Err(format!("line {} was changed: its checksum is wrong", n + 1));
        };
        let problem = |error: serde_json::Error| format!("line {} is no record: {error}", n + 1);
        let Versioned { version } = serde_json::from_slice(json).map_err(problem)?;
        if version != VERSION {
            return Err(format!(
                "line {} is of version {version}: expected {VERSION}",
                n + 1
            ));
        }
        let Read { position, record, .. } = serde_json::from_slice(json).map_err(problem)?;
        if let Some((last, _)) = records.last()
            && position != last.saturating_add(1)
        {
            return Err(format!("line {} is record {position}, after {last}", n + 1));
        }
        records.push((position, record));
        end += line.len();
    }
    Ok((records, end))
}

/// What is between checksum and end of line, if it is whole.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(16)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u64::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (xxh3_64(json) == sum).then_some(json)
}
