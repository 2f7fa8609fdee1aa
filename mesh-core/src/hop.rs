//! Fields that are meant for the next hop only: they end here, in both directions.
//!
//! They are removed before the mesh adds fields of its own, so that a client cannot have those removed by
//! naming them in `Connection`.

#[cfg(test)]
mod tests;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};

use crate::edge::{self, Facts};
use crate::error::{Error, ErrorKind};
use crate::forwarded;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The fields of one hop, and how a message is known to have them.
static ONE_HOP: [(u32, HeaderName); 9] = [
    (Facts::CONNECTION, CONNECTION),
    (Facts::KEEP_ALIVE, KEEP_ALIVE),
    (Facts::PROXY_CONNECTION, PROXY_CONNECTION),
    (Facts::TE, TE),
    (Facts::TRANSFER_ENCODING, TRANSFER_ENCODING),
    (Facts::UPGRADE, UPGRADE),
    (Facts::HTTP2_SETTINGS, HTTP2_SETTINGS),
    (Facts::PROXY_AUTH, PROXY_AUTHORIZATION),
    (Facts::PROXY_AUTH, PROXY_AUTHENTICATE),
];

const ANY: u32 = Facts::CONNECTION
    | Facts::KEEP_ALIVE
    | Facts::PROXY_CONNECTION
    | Facts::TE
    | Facts::TRANSFER_ENCODING
    | Facts::UPGRADE
    | Facts::HTTP2_SETTINGS
    | Facts::PROXY_AUTH;

/// Removes the hop-by-hop fields of a request, those that `Connection` names among them. `TE: trailers` stays,
/// since gRPC needs it; `Expect` goes, since the mesh answers it itself. `X-Forwarded-*`, `Forwarded` and
/// `X-Real-IP` stay even if `Connection` names them.
///
/// # Errors
/// [`ErrorKind::BadRequest`] if `Connection` names a field the request cannot do without: `Host`, its framing,
/// or a field of the mesh's own.
///
/// ```
/// use mesh_core::edge::Facts;
/// use mesh_core::hop::strip_request;
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("connection", "keep-alive, x-hop".parse()?);
/// headers.insert("x-hop", "1".parse()?);
/// headers.insert("x-end", "1".parse()?);
/// let facts = Facts::of(&headers);
/// strip_request(&mut headers, facts).expect("nothing it needs is named");
/// assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-end"]);
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub fn strip_request(headers: &mut HeaderMap, facts: Facts) -> Result<(), Error> {
    if facts.has(Facts::EXPECT) {
        headers.remove(EXPECT);
    }
    if !facts.has(ANY) {
        return Ok(());
    }
    let trailers = facts.has(Facts::TE) && members(headers, &TE).any(|m| m.eq_ignore_ascii_case(b"trailers"));
    if facts.has(Facts::CONNECTION) {
        for name in nominated(headers) {
            if is_needed(&name) || forwarded::is_own(name.as_str()) {
                let message = format!("Connection names {name}, which is not for one hop only");
                return Err(Error::new(ErrorKind::BadRequest, message));
            }
            // Behind a proxy that passes `Connection` on, a client could hide where it comes from.
            if !forwarded::tells_origin(name.as_str()) {
                headers.remove(name);
            }
        }
    }
    remove_one_hop(headers, facts);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Ok(())
}

/// Removes the hop-by-hop fields of a response, and where the status allows no body, what would announce one.
///
/// ```
/// use http::StatusCode;
/// use mesh_core::hop::strip_response;
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("keep-alive", "timeout=5".parse()?);
/// headers.insert("content-length", "0".parse()?);
/// strip_response(StatusCode::NO_CONTENT, &mut headers);
/// assert!(headers.is_empty());
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub fn strip_response(status: StatusCode, headers: &mut HeaderMap) {
    let facts = Facts::of(headers);
    if facts.has(ANY) {
        if facts.has(Facts::CONNECTION) {
            for name in nominated(headers) {
                if !is_needed(&name) {
                    headers.remove(name);
                }
            }
        }
        remove_one_hop(headers, facts);
    }
    if facts.has(Facts::CONTENT_LENGTH) {
        let bodiless =
            status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodiless || facts.has(Facts::TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH);
        } else if headers.len() > headers.keys_len()
            && headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some()
            && let Some(one) = headers.remove(CONTENT_LENGTH)
        {
            // They are equal, or the response would not have come so far.
            headers.insert(CONTENT_LENGTH, one);
        }
    }
}

/// Whether the head of an endpoint's response may be passed on. `sent_upgrade` says whether the request asked
/// for an upgrade.
///
/// # Errors
/// [`ErrorKind::UpstreamReset`] if the endpoint switches protocols without having been asked to, or says in two
/// ways where the body ends. Its connection must not be used again.
///
/// ```
/// use http::{HeaderMap, StatusCode, Version};
/// use mesh_core::hop::check_response;
///
/// let check = |status| check_response(status, Version::HTTP_11, &HeaderMap::new(), false);
/// assert!(check(StatusCode::OK).is_ok());
/// assert!(check(StatusCode::SWITCHING_PROTOCOLS).is_err());
/// ```
pub fn check_response(
    status: StatusCode,
    version: Version,
    headers: &HeaderMap,
    sent_upgrade: bool,
) -> Result<(), Error> {
    let refuse = |why: &'static str| Err(Error::new(ErrorKind::UpstreamReset, why));
    if status.is_informational() && !(status == StatusCode::SWITCHING_PROTOCOLS && sent_upgrade) {
        return refuse("the endpoint switched protocols without being asked to, or sent no final answer");
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if headers.contains_key(TRANSFER_ENCODING) {
        if length.is_some() {
            return refuse("the endpoint's answer has both Content-Length and Transfer-Encoding");
        }
        if version != Version::HTTP_11 || !edge::is_chunked(headers) {
            return refuse(
                "the endpoint's answer has a Transfer-Encoding that is not one \"chunked\" of HTTP/1.1",
            );
        }
    }
    match length {
        Some(length) if !edge::is_length(length) => {
            refuse("the endpoint's Content-Length is not one decimal number")
        }
        Some(length) if lengths.any(|other| other != length) => {
            refuse("the endpoint's answer has two lengths")
        }
        _ => Ok(()),
    }
}

/// Whether a request asks, by every rule, for a WebSocket (RFC 6455 §4.1): GET, HTTP/1.1, no body, `Connection`
/// names `upgrade`, and `Upgrade` is `websocket` and nothing else.
pub fn asks_for_websocket(parts: &Parts, facts: Facts) -> bool {
    let mut upgrades = members(&parts.headers, &UPGRADE);
    facts.has(Facts::UPGRADE)
        && parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && !facts.has(Facts::CONTENT_LENGTH | Facts::TRANSFER_ENCODING)
        && upgrades
            .next()
            .is_some_and(|u| u.eq_ignore_ascii_case(b"websocket"))
        && upgrades.next().is_none()
        && members(&parts.headers, &CONNECTION).any(|m| m.eq_ignore_ascii_case(b"upgrade"))
}

/// Removes from trailers what must not come after the head: framing, routing, credentials, and the mesh's own
/// fields.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    let names: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| is_for_the_head(name.as_str()))
        .cloned()
        .collect();
    for name in names {
        trailers.remove(name);
    }
}

fn is_for_the_head(name: &str) -> bool {
    forwarded::is_own(name)
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-b3-")
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
                | "proxy-authorization"
                | "proxy-authenticate"
                | "www-authenticate"
                | "upgrade"
                | "http2-settings"
                | "authorization"
                | "cookie"
                | "set-cookie"
                | "cache-control"
                | "expect"
                | "max-forwards"
                | "range"
                | "location"
                | "forwarded"
                | "x-real-ip"
                | "x-request-id"
                | "traceparent"
                | "tracestate"
                | "b3"
        )
}

fn is_needed(name: &HeaderName) -> bool {
    *name == HOST || *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING
}

fn remove_one_hop(headers: &mut HeaderMap, facts: Facts) {
    for (bit, name) in &ONE_HOP {
        if facts.has(*bit) {
            headers.remove(name);
        }
    }
}

/// The members of a list field, over all its lines.
fn members<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(name).iter();
    let members = lines.flat_map(|line| line.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii));
    members.filter(|member| !member.is_empty())
}

/// The fields `Connection` names, apart from the usual ones, which are looked after by themselves.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    const USUAL: [&[u8]; 5] = [b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"];
    let unusual = |name: &&[u8]| !USUAL.iter().any(|usual| usual.eq_ignore_ascii_case(name));
    members(headers, &CONNECTION)
        .filter(unusual)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}
