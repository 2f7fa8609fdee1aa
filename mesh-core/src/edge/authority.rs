//! The canonical authority: lower case, no trailing dot, a port that is a number.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::bad;
use crate::error::Error;

const EXPECTED: &str = "the authority is malformed: expected host or host:port, the host of letters, digits, '.', '-' \
                        and '_', or an IPv6 address in brackets";
const USERINFO: &str =
    "the authority has user information in front of '@'; send credentials in Authorization";

/// The longest name DNS knows.
const MAX_NAME: usize = 253;

/// The canonical form; borrowed if the text has it already.
pub(super) fn canonical(text: &str) -> Result<Cow<'_, str>, Error> {
    let malformed = || bad(if text.contains('@') { USERINFO } else { EXPECTED });
    let (host, port) = split(text)
        .filter(|(_, port)| port.is_none_or(is_port))
        .ok_or_else(malformed)?;
    let port_is_canonical = port.is_none_or(|port| !port.is_empty() && !port.starts_with('0'));
    if port_is_canonical && is_canonical_name(host) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| malformed())?;
        format!("[{address}]")
    } else {
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if !is_canonical_name(&name) {
            return Err(malformed());
        }
        name
    };
    if let Some(port) = port.filter(|port| !port.is_empty()) {
        out.push(':');
        out.push_str(port.trim_start_matches('0'));
    }
    Ok(if out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(out)
    })
}

/// Labels of letters in lower case, digits, `-` and `_`, with one dot between two.
fn is_canonical_name(host: &str) -> bool {
    let mut before = b'.';
    for byte in host.bytes() {
        let fine = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => true,
            b'.' => before != b'.',
            _ => false,
        };
        if !fine {
            return false;
        }
        before = byte;
    }
    before != b'.' && host.len() <= MAX_NAME
}

/// Host, with its brackets, and port.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    let literal = if text.starts_with('[') {
        text.find(']')? + 1
    } else {
        0
    };
    match text[literal..].bytes().position(|byte| byte == b':') {
        Some(colon) if literal == 0 || colon == 0 => {
            let (host, port) = text.split_at(literal + colon);
            Some((host, port.get(1..)))
        }
        None if literal == 0 || literal == text.len() => Some((text, None)),
        _ => None,
    }
}

/// A port, or nothing behind the colon, which means the scheme's.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}
