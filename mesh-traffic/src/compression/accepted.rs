//! What a request accepts.

use http::header::{ACCEPT_ENCODING, HeaderMap};
use http::{Method, Request};

/// What encodings a client takes, kept until there is a response.
///
/// ```
/// use http::{HeaderMap, Method};
/// use mesh_traffic::compression::Accepted;
///
/// let fields = HeaderMap::from_iter([(http::header::ACCEPT_ENCODING, "gzip".parse().expect("a value"))]);
/// assert!(Accepted::of(&Method::GET, &fields).is_some());
/// assert!(Accepted::of(&Method::HEAD, &fields).is_none(), "there is nothing to compress");
/// ```
#[derive(Clone, Debug)]
pub struct Accepted(HeaderMap);

impl Accepted {
    /// What these fields of a request say. Nothing if its response is to be left alone whatever they say: that of `HEAD`
    /// has no body, and its length is that of the one which is not compressed.
    pub fn of(method: &Method, fields: &HeaderMap) -> Option<Self> {
        if *method == Method::HEAD || *method == Method::CONNECT {
            return None;
        }
        let values = fields.get_all(ACCEPT_ENCODING).iter();
        Some(Self(
            values.map(|value| (ACCEPT_ENCODING, value.clone())).collect(),
        ))
    }

    /// A request that says the same.
    pub(super) fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        request.headers_mut().clone_from(&self.0);
        request
    }
}
