//! The canonical path: no dot segments, no doubled slashes, nothing encoded that need not be.

use super::{EdgePolicy, bad};
use crate::error::Error;

/// The canonical form of a path; nothing if it has that form already.
///
/// Dot segments are resolved and doubled slashes merged, in whatever spelling; percent-encoded letters,
/// digits, `-`, `.`, `_` and `~` are decoded, other escapes kept as they are; bytes beyond ASCII are encoded.
/// The result read once more is itself.
///
/// # Errors
/// [`ErrorKind::BadRequest`](crate::ErrorKind::BadRequest) for what two readers would read differently: a
/// backslash, a broken escape, an encoded NUL, slash or backslash, a `;`.
///
/// ```
/// use mesh_core::edge::{EdgePolicy, canonical_path};
///
/// let policy = EdgePolicy::default();
/// assert_eq!(canonical_path("/a%20b/%C3%A9", &policy)?, None);
/// assert_eq!(canonical_path("/x/%2e%2E/%64eny//s", &policy)?.as_deref(), Some("/deny/s"));
/// assert!(canonical_path("/deny%2fs", &policy).is_err());
/// # Ok::<(), mesh_core::Error>(())
/// ```
pub fn canonical_path(path: &str, policy: &EdgePolicy) -> Result<Option<String>, Error> {
    if !path.starts_with('/') {
        return Err(bad("the path does not begin with a slash"));
    }
    if is_plainly_canonical(path.as_bytes()) {
        return Ok(None);
    }
    let decoded = decode(path.as_bytes(), policy)?;
    let resolved = resolve(&decoded);
    Ok((resolved != path).then_some(resolved))
}

/// Whether nothing in it could need work. Most paths take only this.
fn is_plainly_canonical(path: &[u8]) -> bool {
    let mut before = 0;
    for byte in path {
        match byte {
            b'/' | b'.' if before == b'/' => return false,
            b'%' | b';' | b'\\' | 0..=0x20 | 0x7f.. => return false,
            _ => before = *byte,
        }
    }
    true
}

fn decode(path: &[u8], policy: &EdgePolicy) -> Result<String, Error> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'%' => {
                let (Some(high), Some(low)) = (tail.first().and_then(hex), tail.get(1).and_then(hex)) else {
                    return Err(bad("the path has a '%' that two hexadecimal digits do not follow"));
                };
                rest = &tail[2..];
                escape(&mut out, high * 16 + low, &tail[..2], policy)?;
            }
            b'\\' => return Err(bad("the path has a backslash; encode it or use a slash")),
            b';' if !policy.keep_path_parameters => return Err(bad(PARAMETERS)),
            0..=0x20 | 0x7f => return Err(bad("the path has a control byte or a space")),
            0x80.. => push_escape(&mut out, *byte),
            _ => out.push(char::from(*byte)),
        }
    }
    Ok(out)
}

const PARAMETERS: &str = "the path has a ';', which applications read differently; it is refused here";

fn escape(out: &mut String, byte: u8, digits: &[u8], policy: &EdgePolicy) -> Result<(), Error> {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
        0 => return Err(bad("the path has an encoded NUL")),
        b'/' | b'\\' if !policy.keep_encoded_slashes => {
            return Err(bad("the path has an encoded slash or backslash, which applications read differently"));
        }
        b';' if !policy.keep_path_parameters => return Err(bad(PARAMETERS)),
        _ => {
            out.push('%');
            out.extend(digits.iter().map(|d| char::from(*d)));
        }
    }
    Ok(())
}

fn push_escape(out: &mut String, byte: u8) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    out.push('%');
    out.push(HEX[usize::from(byte >> 4)]);
    out.push(HEX[usize::from(byte & 15)]);
}

fn hex(digit: &u8) -> Option<u8> {
    char::from(*digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Merges slashes, then resolves dot segments. A parameter does not hide a dot segment.
fn resolve(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_open = false;
    for segment in path.split('/').skip(1) {
        ends_open = false;
        match segment.split(';').next().unwrap_or(segment) {
            "" if segment.is_empty() => ends_open = true,
            "." => ends_open = true,
            ".." => {
                segments.pop();
                ends_open = true;
            }
            _ => segments.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &segments {
        out.push('/');
        out.push_str(segment);
    }
    if ends_open || segments.is_empty() {
        out.push('/');
    }
    out
}
