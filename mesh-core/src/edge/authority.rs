//! The canonical authority: lower case, no trailing dot, a port that is a number.

use std::borrow::Cow;

use super::bad;
use crate::error::Error;

const EXPECTED: &str = "the authority is malformed: expected host or host:port, the host of letters, digits, '.', '-' \
                        and '_', or an IPv6 address in brackets";

/// The canonical form; borrowed if the text has it already.
pub(super) fn canonical(text: &str) -> Result<Cow<'_, str>, Error> {
    let (host, port) = split(text)?;
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let host_is_canonical = host.bytes().all(fine) && !host.ends_with('.') && !host.is_empty();
    let port_is_canonical = port.is_none_or(|port| !port.is_empty() && !port.starts_with('0'));
    if host_is_canonical && port_is_canonical && check_port(port)? {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: std::net::Ipv6Addr = inner.parse().map_err(|_| bad(EXPECTED))?;
        format!("[{address}]")
    } else {
        let host = host.strip_suffix('.').unwrap_or(host);
        let host = host.to_ascii_lowercase();
        if host.is_empty() || host.ends_with('.') || host.len() > 253 || !host.bytes().all(fine) {
            return Err(bad(EXPECTED));
        }
        host
    };
    check_port(port)?;
    if let Some(port) = port.filter(|port| !port.is_empty()) {
        out.push(':');
        out.push_str(port.trim_start_matches('0'));
    }
    if out == text { Ok(Cow::Borrowed(text)) } else { Ok(Cow::Owned(out)) }
}

fn split(text: &str) -> Result<(&str, Option<&str>), Error> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or_else(|| bad(EXPECTED))?;
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(bad(EXPECTED)),
        };
    }
    Ok(match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    })
}

fn check_port(port: Option<&str>) -> Result<bool, Error> {
    match port {
        None | Some("") => Ok(true),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p != 0) => Ok(true),
        Some(_) => Err(bad(EXPECTED)),
    }
}
