//! The canonical path: no dot segments, no doubled slashes, nothing encoded that need not be.

use super::{EdgePolicy, bad};
use crate::error::Error;

/// The canonical form of a path; nothing if it has that form already.
///
/// Dot segments are resolved and doubled slashes merged, in whatever spelling; percent-encoded letters,
/// digits, `-`, `.`, `_` and `~` are decoded, the digits of other escapes brought into upper case; what RFC 3986
/// knows in no path is encoded. The result read once more is itself.
///
/// A reserved character, as `:`, `@` or `+`, and its escape are two paths (RFC 3986 §2.2), since there are
/// applications that tell them apart. A rule about one that must not be walked around names both.
///
/// # Errors
/// [`ErrorKind::BadRequest`](crate::ErrorKind::BadRequest) for what two readers would read differently: a
/// backslash, a broken escape, an encoded NUL, an encoded slash or backslash or a `;` unless the policy keeps
/// them, and a dot segment that hides behind one that is kept.
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
    if is_canonical(path.as_bytes()) {
        return Ok(None);
    }
    let rewritten = rewrite(path, policy)?;
    Ok((rewritten != path).then_some(rewritten))
}

/// Whether it needs no work under any policy. Most paths take only this.
fn is_canonical(path: &[u8]) -> bool {
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = match byte {
            b'/' if matches!(
                tail,
                [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..]
            ) =>
            {
                return false;
            }
            b'%' => match escaped(tail) {
                Some(b'\0' | b'/' | b'\\' | b';') | None => return false,
                Some(byte) if is_unreserved(byte) => return false,
                Some(_) if tail[..2].iter().any(u8::is_ascii_lowercase) => return false,
                Some(_) => &tail[2..],
            },
            b'/' => tail,
            byte if is_segment_byte(*byte) => tail,
            _ => return false,
        };
    }
    true
}

fn rewrite(path: &str, policy: &EdgePolicy) -> Result<String, Error> {
    let mut out = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let begin = out.len();
        out.push('/');
        push_decoded(&mut out, segment.as_bytes(), policy)?;
        match &out[begin + 1..] {
            "" | "." => out.truncate(if last { begin + 1 } else { begin }),
            ".." => {
                let parent = out[..begin].rfind('/').unwrap_or(0);
                out.truncate(parent);
                if last {
                    out.push('/');
                }
            }
            segment if hides_dots(segment) => {
                return Err(bad(
                    "the path has an empty or a dot segment beside a ';' or an encoded slash",
                ));
            }
            _ => {}
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    Ok(out)
}

/// Whether a reader that cuts at `;`, or decodes a slash before it splits, would find a dot segment, or an empty
/// one in front, which it would merge.
fn hides_dots(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let (mut begin, mut at, mut cut) = (0, 0, false);
    loop {
        let separator = match &bytes[at..] {
            [] => 0,
            [b';', ..] => 1,
            [b'%', tail @ ..] if matches!(escaped(tail), Some(b'/' | b'\\' | b';')) => 3,
            _ => {
                at += 1;
                continue;
            }
        };
        cut |= separator > 0;
        if cut && (at == 0 || matches!(&bytes[begin..at], b"." | b"..")) {
            return true;
        }
        if separator == 0 {
            return false;
        }
        at += separator;
        begin = at;
    }
}

const PARAMETERS: &str = "the path has a ';', which applications read differently; it is refused here";

fn push_decoded(out: &mut String, segment: &[u8], policy: &EdgePolicy) -> Result<(), Error> {
    let mut rest = segment;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'%' => {
                let Some(byte) = escaped(tail) else {
                    return Err(bad(
                        "the path has a '%' that two hexadecimal digits do not follow",
                    ));
                };
                rest = &tail[2..];
                push_escaped(out, byte, policy)?;
            }
            b'\\' => return Err(bad("the path has a backslash; encode it or use a slash")),
            b';' if !policy.keep_path_parameters => return Err(bad(PARAMETERS)),
            b';' => out.push(';'),
            b'?' | b'#' => return Err(bad("the path has a '?' or a '#', which end it")),
            0..=b' ' | 0x7f => return Err(bad("the path has a control byte or a space")),
            byte if is_segment_byte(*byte) => out.push(char::from(*byte)),
            byte => push_escape(out, *byte),
        }
    }
    Ok(())
}

fn push_escaped(out: &mut String, byte: u8, policy: &EdgePolicy) -> Result<(), Error> {
    match byte {
        byte if is_unreserved(byte) => out.push(char::from(byte)),
        0 => return Err(bad("the path has an encoded NUL")),
        b'/' | b'\\' if !policy.keep_encoded_slashes => {
            return Err(bad(
                "the path has an encoded slash or backslash, which applications read differently",
            ));
        }
        b';' if !policy.keep_path_parameters => return Err(bad(PARAMETERS)),
        _ => push_escape(out, byte),
    }
    Ok(())
}

/// Appends a text, bytes beyond ASCII as escapes.
pub(super) fn push_ascii(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii() {
            out.push(char::from(byte));
        } else {
            push_escape(out, byte);
        }
    }
}

fn push_escape(out: &mut String, byte: u8) {
    out.push('%');
    out.push(digit(byte >> 4));
    out.push(digit(byte & 15));
}

/// Whether it stands for itself in a segment: `pchar` of RFC 3986 §3.3, but for `;`, which policies decide on.
const fn is_segment_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
        )
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The byte that two hexadecimal digits at the beginning stand for.
fn escaped(text: &[u8]) -> Option<u8> {
    let [high, low, ..] = text else { return None };
    let value = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(value(*high)? * 16 + value(*low)?).ok()
}

fn digit(value: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(value & 15)])
}
