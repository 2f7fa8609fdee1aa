//! The first look at a request: refuse what is malformed, bring the rest into one canonical form.
//!
//! After [`admit`], a request's target is in origin form with a canonical path, and exactly one `Host` field
//! holds its canonical authority. That same value is what rules match and what is forwarded, so no rule can be
//! walked around by another spelling.
//!
//! hyper has parsed the wire before: framing, token names and control bytes in values are its work, and the
//! types of the `http` crate keep what it refused from coming back.

mod authority;
mod facts;
mod path;

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, MAX_FORWARDS, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::error::{Error, ErrorKind};

pub use facts::Facts;
pub use path::canonical_path;

/// What the edge lets in.
///
/// ```
/// let policy = mesh_core::edge::EdgePolicy::default();
/// assert_eq!(policy.max_uri_bytes, 16 * 1024);
/// assert_eq!(policy.max_headers, 100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EdgePolicy {
    /// The longest target, in bytes. Default 16 KiB. Beyond it: 414.
    pub max_uri_bytes: usize,
    /// The most header fields. Default 100. Beyond it: 431.
    pub max_headers: usize,
    /// Whether fields whose name has an underscore are kept. Default: they are dropped, since many
    /// applications read `x_internal` and `x-internal` as one.
    pub keep_underscores: bool,
    /// Whether `%2F` and `%5C` in a path are kept. Default: refused, since some applications decode them
    /// before they split the path and others after.
    pub keep_encoded_slashes: bool,
    /// Whether `;` in a path is kept. Default: refused, since some applications cut a segment there and so
    /// see another path than the rules did.
    pub keep_path_parameters: bool,
}

impl Default for EdgePolicy {
    fn default() -> Self {
        Self {
            max_uri_bytes: 16 * 1024,
            max_headers: 100,
            keep_underscores: false,
            keep_encoded_slashes: false,
            keep_path_parameters: false,
        }
    }
}

/// Refuses a malformed request, and brings another into canonical form.
///
/// # Errors
/// [`ErrorKind::BadRequest`], with the status that says more where there is one (405, 414, 417, 431). The
/// connection should be closed after the refusal of an HTTP/1.1 request.
///
/// ```
/// use mesh_core::edge::{EdgePolicy, admit};
///
/// let request = http::Request::get("/a/../b//c?x=/../y").header("host", "Orders.Example:80.").body(());
/// assert!(admit(&mut request.expect("valid").into_parts().0, &EdgePolicy::default()).is_err());
///
/// let request = http::Request::get("/a/../b//%63?x=/../y").header("host", "Orders.Example.:80").body(());
/// let mut parts = request.expect("valid").into_parts().0;
/// admit(&mut parts, &EdgePolicy::default()).expect("it is well-formed");
/// assert_eq!(parts.uri, "/b/c?x=/../y");
/// assert_eq!(parts.headers["host"], "orders.example:80");
/// ```
pub fn admit(parts: &mut Parts, policy: &EdgePolicy) -> Result<Facts, Error> {
    let mut facts = Facts::of(&parts.headers);
    if facts.fields() > policy.max_headers {
        let message = format!("the request has {} header fields; at most {} are allowed", facts.fields(), policy.max_headers);
        return Err(bad(message).with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    let http2 = match parts.version {
        Version::HTTP_2 => true,
        Version::HTTP_10 | Version::HTTP_11 => false,
        other => return Err(bad(format!("{other:?} is not served here; use HTTP/1.1 or HTTP/2"))),
    };
    method(parts, facts)?;
    if http2 { fields_of_http2(&parts.headers, facts)? } else { framing(parts, facts)? }
    if facts.has(Facts::EXPECT) {
        expectation(&parts.headers)?;
    }
    target(parts, policy)?;
    authority(parts, facts, http2)?;
    if facts.has(Facts::UNDERSCORE) && !policy.keep_underscores {
        drop_underscores(&mut parts.headers);
        facts = Facts::of(&parts.headers);
    }
    if facts.has(Facts::COOKIES) {
        join_cookies(&mut parts.headers)?;
    }
    Ok(facts)
}

fn bad(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::BadRequest, message)
}

fn method(parts: &Parts, facts: Facts) -> Result<(), Error> {
    let refuse = |why: &'static str| Err(bad(why).with_status(StatusCode::METHOD_NOT_ALLOWED));
    match parts.method {
        Method::CONNECT => refuse("CONNECT is not served here"),
        Method::TRACE => refuse("TRACE is not served here: it would show what the mesh adds to a request"),
        Method::OPTIONS if facts.has(Facts::MAX_FORWARDS) && parts.headers.get(MAX_FORWARDS).is_some_and(|v| v == "0") => {
            refuse("Max-Forwards is 0, and this proxy has no options of its own to tell")
        }
        _ => Ok(()),
    }
}

/// HTTP/1: hyper decided how the body ends; what is left is what two readers could see differently.
fn framing(parts: &Parts, facts: Facts) -> Result<(), Error> {
    if facts.has(Facts::TRANSFER_ENCODING) {
        if facts.has(Facts::CONTENT_LENGTH) {
            return Err(bad("Content-Length and Transfer-Encoding contradict each other; send one"));
        }
        let mut values = parts.headers.get_all(TRANSFER_ENCODING).iter();
        let chunked = values.next().is_some_and(|v| v.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
        if !chunked || values.next().is_some() {
            return Err(bad("the only Transfer-Encoding served here is one \"chunked\""));
        }
        if parts.version == Version::HTTP_10 {
            return Err(bad("HTTP/1.0 has no Transfer-Encoding"));
        }
    }
    if facts.has(Facts::CONTENT_LENGTH) {
        let mut values = parts.headers.get_all(CONTENT_LENGTH).iter();
        let digits = |v: &HeaderValue| (1..=19).contains(&v.len()) && v.as_bytes().iter().all(u8::is_ascii_digit);
        if !values.next().is_some_and(digits) || values.next().is_some() {
            return Err(bad("Content-Length must be one decimal number"));
        }
    }
    Ok(())
}

fn fields_of_http2(headers: &HeaderMap, facts: Facts) -> Result<(), Error> {
    const FORBIDDEN: u32 =
        Facts::CONNECTION | Facts::KEEP_ALIVE | Facts::PROXY_CONNECTION | Facts::TRANSFER_ENCODING | Facts::UPGRADE;
    if facts.has(FORBIDDEN) {
        return Err(bad("HTTP/2 has no Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding or Upgrade field"));
    }
    if facts.has(Facts::TE) && headers.get_all(TE).iter().any(|v| v != "trailers") {
        return Err(bad("the only TE of HTTP/2 is \"trailers\""));
    }
    Ok(())
}

fn expectation(headers: &HeaderMap) -> Result<(), Error> {
    if headers.get_all(EXPECT).iter().all(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Ok(());
    }
    Err(bad("the only expectation met here is 100-continue").with_status(StatusCode::EXPECTATION_FAILED))
}

fn target(parts: &mut Parts, policy: &EdgePolicy) -> Result<(), Error> {
    let uri = &parts.uri;
    if let Some(scheme) = uri.scheme_str()
        && !matches!(scheme, "http" | "https")
    {
        return Err(bad("the target's scheme is neither http nor https"));
    }
    let path = uri.path();
    if path.len() + uri.query().map_or(0, str::len) > policy.max_uri_bytes {
        let message = format!("the target is longer than {} bytes", policy.max_uri_bytes);
        return Err(bad(message).with_status(StatusCode::URI_TOO_LONG));
    }
    if path == "*" {
        return if parts.method == Method::OPTIONS { Ok(()) } else { Err(bad("only OPTIONS has the target *")) };
    }
    // An absolute form without a path names the root.
    let path = if path.is_empty() { "/" } else { path };
    if let Some(canonical) = canonical_path(path, policy)? {
        let whole = match uri.query() {
            Some(query) => format!("{canonical}?{query}"),
            None => canonical,
        };
        // Only the origin form is made; the authority is taken from the old target next.
        let Ok(path_and_query) = http::uri::PathAndQuery::try_from(whole) else {
            return Err(bad("the path has no canonical form"));
        };
        let mut changed = std::mem::take(&mut parts.uri).into_parts();
        changed.path_and_query = Some(path_and_query);
        parts.uri = Uri::from_parts(changed).map_err(|_| bad("the target is malformed"))?;
    }
    Ok(())
}

fn authority(parts: &mut Parts, facts: Facts, http2: bool) -> Result<(), Error> {
    let hosts = facts.hosts();
    if hosts > 1 {
        return Err(bad("the request has several Host fields"));
    }
    match parts.uri.authority() {
        Some(authority) => {
            if !http2 && hosts == 0 {
                return Err(bad("the request has no Host field"));
            }
            let canonical = authority::canonical(authority.as_str())?;
            let host = HeaderValue::from_str(&canonical).map_err(|_| bad("the authority is malformed"))?;
            // Of an authority and a Host that differ the authority counts (RFC 9112 §3.2.2, 9113 §8.3.1).
            parts.headers.insert(HOST, host);
            let origin = std::mem::take(&mut parts.uri).into_parts().path_and_query;
            parts.uri = origin.map_or_else(|| Uri::from_static("/"), Uri::from);
            if parts.uri.path().is_empty() {
                parts.uri = Uri::from_static("/");
            }
        }
        None => {
            let Some(host) = parts.headers.get(HOST) else {
                return Err(bad("the request has no Host field and no authority"));
            };
            let text = host.to_str().map_err(|_| bad("the Host field is not ASCII"))?;
            if let std::borrow::Cow::Owned(canonical) = authority::canonical(text)? {
                let host = HeaderValue::from_str(&canonical).map_err(|_| bad("the Host field is malformed"))?;
                parts.headers.insert(HOST, host);
            }
        }
    }
    Ok(())
}

fn drop_underscores(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// HTTP/2 may split the cookie into crumbs; everyone else expects one field (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Error> {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).map_err(|_| bad("the cookie is malformed"))?;
    headers.insert(COOKIE, joined);
    Ok(())
}
