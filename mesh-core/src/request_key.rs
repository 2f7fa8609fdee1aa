//! What requests are told apart by: whoever shares a key shares an allowance, or an endpoint.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::context::MeshContext;
use crate::cookie::{cookies, is_cookie_name};
use crate::head::RequestHead;
use http::HeaderName;

/// Finds a request's key: what a rate limit counts by, what a hash policy keeps to one endpoint.
///
/// `None` says that the request has no key. Who takes a key says what that means: a limit gives all requests
/// without one a single allowance, so that leaving out a header is no way around it.
///
/// Called once a request, on the hot path: borrow from the request instead of building a `String`.
///
/// ```
/// use mesh_core::{KeyExtractor, RequestHead, RequestKey};
///
/// /// The first segment of the path: the tenant.
/// struct ByTenant;
///
/// impl KeyExtractor for ByTenant {
///     fn key<'r>(&self, head: &RequestHead<'r>) -> Option<RequestKey<'r>> {
///         head.path().split('/').nth(1).filter(|tenant| !tenant.is_empty()).map(RequestKey::text)
///     }
/// }
///
/// let request = http::Request::get("/acme/orders").body(()).expect("valid");
/// assert_eq!(ByTenant.key(&RequestHead::of(&request)), Some(RequestKey::text("acme")));
/// ```
pub trait KeyExtractor: Send + Sync + 'static {
    /// The key of this request.
    fn key<'r>(&self, head: &RequestHead<'r>) -> Option<RequestKey<'r>>;
}

/// Stays usable as `Arc<dyn KeyExtractor>`.
const _: fn(&dyn KeyExtractor) = |_| {};

/// A key, borrowed from the request it was found in. Keys of different kinds are never equal.
///
/// ```
/// use mesh_core::RequestKey;
///
/// assert_eq!(RequestKey::text("a"), RequestKey::bytes(b"a"));
/// assert_ne!(RequestKey::text("127.0.0.1"), RequestKey::address("127.0.0.1".parse()?));
/// // One client, however its address is written.
/// assert_eq!(RequestKey::address("::ffff:127.0.0.1".parse()?), RequestKey::address("127.0.0.1".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestKey<'r>(Kind<'r>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind<'r> {
    Bytes(&'r [u8]),
    Address(IpAddr),
    Number(u128),
}

impl<'r> RequestKey<'r> {
    /// A text: a name, a token.
    pub fn text(text: &'r str) -> Self {
        Self(Kind::Bytes(text.as_bytes()))
    }

    /// Bytes that need not be a text: a header's value.
    pub fn bytes(bytes: &'r [u8]) -> Self {
        Self(Kind::Bytes(bytes))
    }

    /// An address. An IPv4 address mapped into IPv6 is that IPv4 address.
    pub fn address(address: IpAddr) -> Self {
        Self(Kind::Address(address.to_canonical()))
    }

    /// A number: the way to make one key of several things is to hash them into one.
    pub fn number(number: u128) -> RequestKey<'static> {
        RequestKey(Kind::Number(number))
    }

    /// Reads the key as bytes: the same ones on every machine and in every version of the mesh, so that
    /// processes that hash them agree. Bytes of keys of different kinds may be equal.
    ///
    /// ```
    /// use mesh_core::RequestKey;
    ///
    /// assert_eq!(RequestKey::text("acme").with_bytes(<[u8]>::len), 4);
    /// assert_eq!(RequestKey::address("127.0.0.1".parse()?).with_bytes(<[u8]>::to_vec), [127, 0, 0, 1]);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn with_bytes<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self.0 {
            Kind::Bytes(bytes) => read(bytes),
            Kind::Address(IpAddr::V4(address)) => read(&address.octets()),
            Kind::Address(IpAddr::V6(address)) => read(&address.octets()),
            Kind::Number(number) => read(&number.to_be_bytes()),
        }
    }
}

/// Never shows a text: a key may be a session's secret.
impl fmt::Debug for RequestKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Bytes(bytes) => write!(f, "RequestKey({} bytes)", bytes.len()),
            Kind::Address(address) => write!(f, "RequestKey({address})"),
            Kind::Number(number) => write!(f, "RequestKey({number:#x})"),
        }
    }
}

/// The extractors that configuration knows, as `keyExtractor` writes them.
///
/// | text | the key |
/// |---|---|
/// | `source_service` | the service the caller proved to be ([`MeshContext::source_service`]); callers without an identity have none |
/// | `client_ip` | the address at the other end of the connection, not one from a header |
/// | `header:NAME` | the first field of that name |
/// | `cookie:NAME` | the first cookie of that name |
/// | `none` | none |
///
/// ```
/// use mesh_core::{KeyBy, KeyExtractor, RequestHead, RequestKey};
///
/// let by: KeyBy = "header:x-tenant".parse()?;
/// let request = http::Request::get("/").header("X-Tenant", "acme").body(()).expect("valid");
/// assert_eq!(by.key(&RequestHead::of(&request)), Some(RequestKey::text("acme")));
/// # Ok::<(), mesh_core::request_key::KeyByError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyBy {
    /// `source_service`
    #[default]
    SourceService,
    /// `client_ip`
    ClientIp,
    /// `header:NAME`
    Header(HeaderName),
    /// `cookie:NAME`
    Cookie(Box<str>),
    /// `none`
    None,
}

impl KeyBy {
    /// The key of a request whose context is not among its extensions.
    ///
    /// ```
    /// use mesh_core::{KeyBy, MeshContext, RequestHead, RequestKey};
    ///
    /// let mut context = MeshContext::new(tokio::time::Instant::now());
    /// context.client = Some([203, 0, 113, 7].into());
    /// let request = http::Request::new(());
    /// let key = KeyBy::ClientIp.key_in(&RequestHead::of(&request), Some(&context));
    /// assert_eq!(key, Some(RequestKey::address([203, 0, 113, 7].into())));
    /// ```
    pub fn key_in<'r>(
        &self,
        head: &RequestHead<'r>,
        context: Option<&'r MeshContext>,
    ) -> Option<RequestKey<'r>> {
        match self {
            Self::SourceService => {
                let service = context?.source_service();
                (service != "unknown").then(|| RequestKey::text(service))
            }
            Self::ClientIp => Some(RequestKey::address(context?.client_address()?)),
            Self::Header(name) => Some(RequestKey::bytes(head.headers.get(name)?.as_bytes().trim_ascii())),
            Self::Cookie(name) => cookies(head.headers)
                .find(|(found, _)| *found == name.as_bytes())
                .map(|(_, value)| RequestKey::bytes(value)),
            Self::None => None,
        }
    }
}

impl KeyExtractor for KeyBy {
    fn key<'r>(&self, head: &RequestHead<'r>) -> Option<RequestKey<'r>> {
        self.key_in(head, head.extensions.get::<MeshContext>())
    }
}

/// Why a text names no extractor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyByError {
    found: Box<str>,
    why: &'static str,
}

impl fmt::Display for KeyByError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.found.chars().take(100).collect();
        write!(
            f,
            "{shown:?} is not a key extractor: {}; \
             expected source_service, client_ip, header:NAME, cookie:NAME or none",
            self.why
        )
    }
}

impl std::error::Error for KeyByError {}

impl FromStr for KeyBy {
    type Err = KeyByError;

    fn from_str(text: &str) -> Result<Self, KeyByError> {
        let refuse = |why| KeyByError {
            found: text.into(),
            why,
        };
        match text {
            "source_service" => Ok(Self::SourceService),
            "client_ip" => Ok(Self::ClientIp),
            "none" => Ok(Self::None),
            "header" => Err(refuse("the header's name is missing")),
            "cookie" => Err(refuse("the cookie's name is missing")),
            _ => match text.split_once(':') {
                Some(("header", name)) => HeaderName::try_from(name)
                    .map(Self::Header)
                    .map_err(|_| refuse("what follows the colon is not a header name")),
                Some(("cookie", name)) if is_cookie_name(name) => Ok(Self::Cookie(name.into())),
                Some(("cookie", _)) => Err(refuse("what follows the colon is not a cookie name")),
                _ => Err(refuse("no extractor has this name")),
            },
        }
    }
}

impl fmt::Display for KeyBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceService => f.write_str("source_service"),
            Self::ClientIp => f.write_str("client_ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests;
