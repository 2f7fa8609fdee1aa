//! The first look at a request: refuse what is malformed, bring the rest into one canonical form.
//!
//! After [`admit`], a request's target is in origin form with a canonical path, and exactly one `Host` field
//! holds its canonical authority. That same value is what rules match and what is forwarded, so no rule can be
//! walked around by another spelling.
//!
//! hyper has parsed the wire before. It refuses broken framing, names that are no tokens and control bytes in
//! values, lets a `Content-Length` beside `Transfer-Encoding` fall and closes the connection after it; the `http`
//! crate cuts a target at `#`. The tests here say so, since the rest builds on it.

mod authority;
mod facts;
mod layer;
mod path;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::header::{
    CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, MAX_FORWARDS, TE, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::error::{Error, ErrorKind};

pub use facts::Facts;
pub use layer::{EdgeFuture, EdgeLayer, EdgeService};
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
    /// The most header fields. Default 100, and never more than 16 384. Beyond it: 431.
    pub max_headers: usize,
    /// Whether fields whose name has an underscore are kept. Default: they are dropped, since many
    /// applications read `x_internal` and `x-internal` as one. Those that spell a field of framing, routing
    /// or the mesh's own so are always dropped.
    pub keep_underscores: bool,
    /// Whether `%2F` and `%5C` in a path are kept. Default: refused, since some applications decode them
    /// before they split the path and others after.
    pub keep_encoded_slashes: bool,
    /// Whether `;` in a path is kept. Default: refused, since some applications cut a segment there and so
    /// see another path than the rules did.
    pub keep_path_parameters: bool,
}

/// A header map panics when it is full, and the mesh adds fields of its own.
const MOST_FIELDS: usize = 16 * 1024;

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
/// It looks the header fields through once; what it returns saves later steps from looking for what is not
/// there. Nothing is allocated for an HTTP/1.1 request that is canonical as it came.
///
/// # Errors
/// [`ErrorKind::BadRequest`], with the status that says more where there is one (405, 414, 417, 431). The
/// connection should be closed after the refusal of an HTTP/1.1 request.
///
/// ```
/// use mesh_core::edge::{EdgePolicy, admit};
///
/// let request = http::Request::get("/a/../b//c").header("host", "user@orders.example").body(());
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
    let most = policy.max_headers.min(MOST_FIELDS);
    if facts.fields() > most {
        let message = format!(
            "the request has {} header fields; at most {most} are allowed",
            facts.fields()
        );
        return Err(bad(message).with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    let http2 = match parts.version {
        Version::HTTP_2 => true,
        Version::HTTP_10 | Version::HTTP_11 => false,
        other => {
            return Err(bad(format!(
                "{other:?} is not served here; use HTTP/1.1 or HTTP/2"
            )));
        }
    };
    method(parts, facts)?;
    if http2 {
        fields_of_http2(&parts.headers, facts)?;
    }
    framing(parts, facts)?;
    if facts.has(Facts::EXPECT) {
        expectation(&parts.headers)?;
    }
    authority(parts, facts)?;
    target(parts, policy)?;
    if facts.has(Facts::UNDERSCORE) {
        drop_underscores(&mut parts.headers, policy);
        facts = Facts::of(&parts.headers);
    }
    if facts.has(Facts::COOKIES) {
        join_cookies(&mut parts.headers)?;
    }
    Ok(facts)
}

/// The host in a message's `Host` field, without its port. An IPv6 address keeps its brackets.
///
/// ```
/// use mesh_core::edge::host;
///
/// let mut headers = http::HeaderMap::new();
/// assert_eq!(host(&headers), None);
/// headers.insert("host", "[::1]:8080".parse()?);
/// assert_eq!(host(&headers), Some("[::1]"));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
pub fn host(headers: &HeaderMap) -> Option<&str> {
    Some(crate::head::without_port(headers.get(HOST)?.to_str().ok()?))
}

fn bad(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::BadRequest, message)
}

fn method(parts: &mut Parts, facts: Facts) -> Result<(), Error> {
    let refuse = |why: &'static str| Err(bad(why).with_status(StatusCode::METHOD_NOT_ALLOWED));
    match parts.method {
        Method::CONNECT => refuse("CONNECT is not served here"),
        Method::TRACE => refuse("TRACE is not served here: it would show what the mesh adds to a request"),
        Method::OPTIONS if facts.has(Facts::MAX_FORWARDS) => match max_forwards(&parts.headers) {
            Some(0) => refuse("Max-Forwards is 0, and this proxy has no options of its own to tell"),
            Some(more) => {
                parts.headers.insert(MAX_FORWARDS, HeaderValue::from(more - 1));
                Ok(())
            }
            None => Err(bad("Max-Forwards must be one decimal number")),
        },
        _ if is_misspelt(&parts.method) => refuse("the names of methods are in upper case"),
        _ => Ok(()),
    }
}

/// Whether it is a usual method but for the case of its letters. There are applications that take it for that,
/// and would do what a rule about the method forbids.
fn is_misspelt(method: &Method) -> bool {
    const USUAL: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
    ];
    let name = method.as_str();
    name.bytes().any(|b| b.is_ascii_lowercase()) && USUAL.iter().any(|usual| usual.eq_ignore_ascii_case(name))
}

fn max_forwards(headers: &HeaderMap) -> Option<u32> {
    let mut values = headers.get_all(MAX_FORWARDS).iter();
    let value = values
        .next()?
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    if values.next().is_some() {
        None
    } else {
        value.parse().ok()
    }
}

/// hyper decided how the body ends; what is left is what two readers could see differently.
fn framing(parts: &Parts, facts: Facts) -> Result<(), Error> {
    if facts.has(Facts::TRANSFER_ENCODING) {
        if facts.has(Facts::CONTENT_LENGTH) {
            return Err(bad(
                "Content-Length and Transfer-Encoding contradict each other; send one",
            ));
        }
        if !is_chunked(&parts.headers) {
            return Err(bad("the only Transfer-Encoding served here is one \"chunked\""));
        }
        if parts.version == Version::HTTP_10 {
            return Err(bad("HTTP/1.0 has no Transfer-Encoding"));
        }
    }
    if facts.has(Facts::CONTENT_LENGTH) {
        let mut values = parts.headers.get_all(CONTENT_LENGTH).iter();
        if !values.next().is_some_and(is_length) || values.next().is_some() {
            return Err(bad("Content-Length must be one decimal number"));
        }
    }
    Ok(())
}

/// Whether the one transfer coding of a message is `chunked`.
pub(crate) fn is_chunked(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = values
        .next()
        .is_some_and(|v| v.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
    chunked && values.next().is_none()
}

/// Whether it is a length: digits and nothing else, no more than 64 bits hold for certain.
pub(crate) fn is_length(value: &HeaderValue) -> bool {
    (1..=18).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_digit)
}

fn fields_of_http2(headers: &HeaderMap, facts: Facts) -> Result<(), Error> {
    const FORBIDDEN: u32 = Facts::CONNECTION
        | Facts::KEEP_ALIVE
        | Facts::PROXY_CONNECTION
        | Facts::TRANSFER_ENCODING
        | Facts::UPGRADE;
    if facts.has(FORBIDDEN) {
        return Err(bad(
            "HTTP/2 has no Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding or Upgrade field",
        ));
    }
    if facts.has(Facts::TE) && headers.get_all(TE).iter().any(|v| v != "trailers") {
        return Err(bad("the only TE of HTTP/2 is \"trailers\""));
    }
    Ok(())
}

fn expectation(headers: &HeaderMap) -> Result<(), Error> {
    if headers
        .get_all(EXPECT)
        .iter()
        .all(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Ok(());
    }
    Err(bad("the only expectation met here is 100-continue").with_status(StatusCode::EXPECTATION_FAILED))
}

/// Makes `Host` the canonical authority: of the target, if it names one (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
fn authority(parts: &mut Parts, facts: Facts) -> Result<(), Error> {
    match facts.hosts() {
        0 if parts.version == Version::HTTP_11 => return Err(bad("the request has no Host field")),
        0 if parts.uri.authority().is_none() => {
            return Err(bad("the request has no Host field and no authority"));
        }
        0 | 1 => {}
        _ => return Err(bad("the request has several Host fields")),
    }
    // One that does not count is checked all the same: whoever reads it instead is not to find anything odd.
    let told = match parts.headers.get(HOST) {
        Some(host) => {
            let text = host.to_str().map_err(|_| bad("the Host field is not ASCII"))?;
            Some(authority::canonical(text)?)
        }
        None => None,
    };
    let canonical = match parts.uri.authority() {
        Some(authority) => Cow::Owned(authority::canonical(authority.as_str())?.into_owned()),
        None => told.unwrap_or_default(),
    };
    if let Cow::Owned(canonical) = canonical {
        let host = HeaderValue::try_from(canonical).map_err(|_| bad("the authority is malformed"))?;
        parts.headers.insert(HOST, host);
    }
    Ok(())
}

const NO_PATH: &str = "the request has no path";

/// Brings the target into origin form, its path into canonical form.
fn target(parts: &mut Parts, policy: &EdgePolicy) -> Result<(), Error> {
    let uri = &parts.uri;
    let scheme = uri.scheme_str();
    if !matches!(scheme, None | Some("http" | "https")) {
        return Err(bad("the target's scheme is neither http nor https"));
    }
    let whole = match uri.path_and_query() {
        Some(whole) if !uri.path().is_empty() => whole.as_str(),
        _ => return Err(bad("the target is neither a path nor an http URI")),
    };
    if whole.len() + uri.authority().map_or(0, |authority| authority.as_str().len()) > policy.max_uri_bytes {
        let message = format!("the target is longer than {} bytes", policy.max_uri_bytes);
        return Err(bad(message).with_status(StatusCode::URI_TOO_LONG));
    }
    let canonical = match whole {
        "*" if parts.method == Method::OPTIONS => None,
        "*" => return Err(bad("only OPTIONS has the target *")),
        _ if whole.starts_with('/') => canonical_path(uri.path(), policy)?,
        // An absolute form without a path names the root.
        _ if parts.version != Version::HTTP_2 => Some("/".to_owned()),
        _ => return Err(bad(NO_PATH)),
    };
    // Rules and endpoints find no more than ASCII, though the `http` crate lets it through.
    let canonical = canonical.or_else(|| (!whole.is_ascii()).then(|| uri.path().to_owned()));
    if let Some(mut path) = canonical {
        if let Some(query) = uri.query() {
            path.push('?');
            path::push_ascii(&mut path, query);
        }
        parts.uri = PathAndQuery::try_from(path)
            .map_err(|_| bad("the path has no canonical form"))?
            .into();
    } else if scheme.is_some() {
        parts.uri = std::mem::take(&mut parts.uri)
            .into_parts()
            .path_and_query
            .map(Uri::from)
            .unwrap_or_default();
        // Nothing was in front of a fragment.
        if parts.uri.path().is_empty() {
            if parts.version == Version::HTTP_2 {
                return Err(bad(NO_PATH));
            }
            parts.uri = Uri::default();
        }
    }
    Ok(())
}

fn drop_underscores(headers: &mut HeaderMap, policy: &EdgePolicy) {
    let dropped = |name: &&HeaderName| {
        name.as_str().contains('_')
            && !(policy.keep_underscores && Facts::of_name(&name.as_str().replace('_', "-")) == 0)
    };
    let names: Vec<HeaderName> = headers.keys().filter(dropped).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// HTTP/2 may split the cookie into crumbs; everyone else expects one field (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Error> {
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let joined =
        HeaderValue::try_from(crumbs.join(&b"; "[..])).map_err(|_| bad("the cookie is malformed"))?;
    headers.insert(COOKIE, joined);
    Ok(())
}
