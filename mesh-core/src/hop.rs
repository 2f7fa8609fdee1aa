//! Fields that are meant for the next hop only: they end here, in both directions.
//!
//! They are removed before the mesh adds fields of its own, so that a client cannot have those removed by
//! naming them in `Connection`.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};

use crate::edge::Facts;
use crate::error::{Error, ErrorKind};
use crate::forwarded;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Removes the hop-by-hop fields of a request, those that `Connection` names among them. `TE: trailers` stays,
/// since gRPC needs it; `Expect` goes, since the mesh has answered it.
///
/// # Errors
/// [`ErrorKind::BadRequest`] if `Connection` names a field the request cannot do without.
pub fn strip_request(headers: &mut HeaderMap, facts: Facts) -> Result<(), Error> {
    const ANY: u32 = Facts::CONNECTION
        | Facts::KEEP_ALIVE
        | Facts::PROXY_CONNECTION
        | Facts::TE
        | Facts::TRANSFER_ENCODING
        | Facts::UPGRADE
        | Facts::HTTP2_SETTINGS
        | Facts::EXPECT;
    if !facts.has(ANY) {
        return Ok(());
    }
    let trailers = facts.has(Facts::TE) && members(headers, &TE).any(|m| m.eq_ignore_ascii_case(b"trailers"));
    if facts.has(Facts::CONNECTION) {
        for name in nominated(headers) {
            let needed = name == HOST || name == CONTENT_LENGTH || forwarded::is_own(name.as_str());
            if needed {
                let message = format!("Connection names {name}, which is not for one hop only");
                return Err(Error::new(ErrorKind::BadRequest, message));
            }
            headers.remove(name);
        }
    }
    for (bit, name) in [
        (Facts::CONNECTION, CONNECTION),
        (Facts::KEEP_ALIVE, KEEP_ALIVE),
        (Facts::PROXY_CONNECTION, PROXY_CONNECTION),
        (Facts::TE, TE),
        (Facts::TRANSFER_ENCODING, TRANSFER_ENCODING),
        (Facts::UPGRADE, UPGRADE),
        (Facts::HTTP2_SETTINGS, HTTP2_SETTINGS),
        (Facts::EXPECT, EXPECT),
    ] {
        if facts.has(bit) {
            headers.remove(name);
        }
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Ok(())
}

/// Removes the hop-by-hop fields of a response.
pub fn strip_response(headers: &mut HeaderMap) {
    let facts = Facts::of(headers);
    const ANY: u32 = Facts::CONNECTION
        | Facts::KEEP_ALIVE
        | Facts::PROXY_CONNECTION
        | Facts::TE
        | Facts::TRANSFER_ENCODING
        | Facts::UPGRADE;
    if !facts.has(ANY) {
        return;
    }
    if facts.has(Facts::CONNECTION) {
        for name in nominated(headers) {
            if name != CONTENT_LENGTH {
                headers.remove(name);
            }
        }
    }
    if facts.has(Facts::TRANSFER_ENCODING) {
        // The body ends as its chunks say; a length beside them is a lie or a trap.
        headers.remove(CONTENT_LENGTH);
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// Whether a response's head may be passed on.
///
/// # Errors
/// [`ErrorKind::UpstreamReset`] if the endpoint switches protocols without having been asked to.
pub fn check_response(status: StatusCode) -> Result<(), Error> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::new(ErrorKind::UpstreamReset, "the endpoint switched protocols without being asked to"));
    }
    Ok(())
}

/// Whether a request asks, by every rule, for a WebSocket (RFC 6455 §4.1): GET, HTTP/1.1, no body, `Connection`
/// names `upgrade`, and `Upgrade` is `websocket` and nothing else.
pub fn asks_for_websocket(parts: &Parts, facts: Facts) -> bool {
    let mut upgrades = members(&parts.headers, &UPGRADE);
    facts.has(Facts::UPGRADE)
        && parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && !facts.has(Facts::CONTENT_LENGTH | Facts::TRANSFER_ENCODING)
        && upgrades.next().is_some_and(|u| u.eq_ignore_ascii_case(b"websocket"))
        && upgrades.next().is_none()
        && members(&parts.headers, &CONNECTION).any(|m| m.eq_ignore_ascii_case(b"upgrade"))
}

/// Removes from trailers what must not come after the head: framing, routing, and the mesh's own fields.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    let forbidden = |name: &str| {
        forwarded::is_own(name)
            || name.starts_with("x-forwarded-")
            || name.contains('_')
            || matches!(
                name,
                "host"
                    | "content-length"
                    | "content-encoding"
                    | "content-type"
                    | "content-range"
                    | "transfer-encoding"
                    | "trailer"
                    | "te"
                    | "connection"
                    | "keep-alive"
                    | "proxy-connection"
                    | "upgrade"
                    | "http2-settings"
                    | "authorization"
                    | "cookie"
                    | "set-cookie"
                    | "cache-control"
                    | "expect"
                    | "max-forwards"
                    | "range"
                    | "forwarded"
                    | "x-request-id"
                    | "traceparent"
                    | "tracestate"
            )
    };
    let names: Vec<HeaderName> = trailers.keys().filter(|name| forbidden(name.as_str())).cloned().collect();
    for name in names {
        trailers.remove(name);
    }
}

/// The members of a list field, over all its lines.
fn members<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(name).iter();
    let members = lines.flat_map(|line| line.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii));
    members.filter(|member| !member.is_empty())
}

/// The fields `Connection` names; options that are no fields, as `close`, name nothing that is there.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    members(headers, &CONNECTION).filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
}
