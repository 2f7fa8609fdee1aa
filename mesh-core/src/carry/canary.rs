//! Where a request says whether it wants the canary: a header and a cookie.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, PROXY_AUTHORIZATION};

use crate::cookie::{cookies, is_cookie_name};
use crate::forwarded::is_set_by_mesh;

/// The longest choice taken over, in bytes. The mesh's own have 32 at most.
const LONGEST: usize = 64;

/// The names of the header and the cookie.
#[derive(Clone, Debug)]
pub(super) struct CanaryNames {
    header: HeaderName,
    cookie: Arc<str>,
}

/// This header or cookie cannot hold the choice of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryNameError(Box<str>);

impl fmt::Display for CanaryNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CanaryNameError {}

impl Default for CanaryNames {
    fn default() -> Self {
        Self {
            header: HeaderName::from_static("x-canary-user"),
            cookie: "canary".into(),
        }
    }
}

impl CanaryNames {
    pub(super) fn new(header: HeaderName, cookie: &str) -> Result<Self, CanaryNameError> {
        if header == AUTHORIZATION
            || header == PROXY_AUTHORIZATION
            || header == COOKIE
            || is_set_by_mesh(header.as_str())
        {
            let message = format!(
                "the header {header} says who asks or is set by the mesh, and cannot choose a canary; expected a \
                 header of its own, as x-canary-user"
            );
            return Err(CanaryNameError(message.into()));
        }
        if !is_cookie_name(cookie) {
            let shown: String = cookie.chars().take(100).collect();
            let message = format!(
                "{shown:?} is not a cookie name; expected letters, digits and a few marks, as canary"
            );
            return Err(CanaryNameError(message.into()));
        }
        Ok(Self {
            header,
            cookie: cookie.into(),
        })
    }
}

/// What a request chose.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    names: CanaryNames,
    header: Option<HeaderValue>,
    cookie: Option<CookieValue>,
}

/// In place, since the field it stood in holds other cookies, which are not to be kept.
#[derive(Clone, Copy, Debug)]
struct CookieValue {
    bytes: [u8; LONGEST],
    length: usize,
}

impl CookieValue {
    fn of(value: &[u8]) -> Option<Self> {
        if !is_choice(value) {
            return None;
        }
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self {
            bytes,
            length: value.len(),
        })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// A short word: nothing that could end a cookie or a field.
fn is_choice(value: &[u8]) -> bool {
    let word = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'\\');
    (1..=LONGEST).contains(&value.len()) && value.iter().all(word)
}

impl Choice {
    pub(super) fn of(headers: &HeaderMap, names: &CanaryNames) -> Option<Self> {
        let header = headers.get(&names.header);
        let header = header.filter(|value| is_choice(value.as_bytes())).cloned();
        let mut own = cookies(headers).filter(|(name, _)| *name == names.cookie.as_bytes());
        let cookie = own.find_map(|(_, value)| CookieValue::of(value));
        (header.is_some() || cookie.is_some()).then(|| Self {
            names: names.clone(),
            header,
            cookie,
        })
    }

    /// Puts it into a request that chooses nothing itself.
    pub(super) fn fill(&self, headers: &mut HeaderMap) {
        let Self {
            names,
            header,
            cookie,
        } = self;
        let own = |(name, _): (&[u8], &[u8])| name == names.cookie.as_bytes();
        if headers.contains_key(&names.header) || cookies(headers).any(own) {
            return;
        }
        if let Some(header) = header {
            headers.insert(&names.header, header.clone());
        }
        if let Some(cookie) = cookie {
            add_cookie(headers, names.cookie.as_bytes(), cookie.as_bytes());
        }
    }
}

/// Behind the others: HTTP/1.1 knows one `Cookie` field only (RFC 6265 §5.4).
fn add_cookie(headers: &mut HeaderMap, name: &[u8], value: &[u8]) {
    let mut field = Vec::new();
    for others in headers.get_all(COOKIE) {
        field.extend_from_slice(others.as_bytes());
        field.extend_from_slice(b"; ");
    }
    field.extend_from_slice(name);
    field.push(b'=');
    field.extend_from_slice(value);
    // Parts of fields are one.
    if let Ok(field) = HeaderValue::from_maybe_shared(bytes::Bytes::from(field)) {
        headers.insert(COOKIE, field);
    }
}
