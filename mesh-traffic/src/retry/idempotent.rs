//! Whether a request may be sent twice.

use http::{HeaderName, Method};
use mesh_core::RequestHead;
use mesh_core::upgrade::asks_for_tunnel;

/// The field by which a client says that its request may be sent twice.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request extension: whether sending the request twice does no more than sending it once.
///
/// Without it, requests with the methods that RFC 9110 calls idempotent (GET, HEAD, OPTIONS, TRACE, PUT, DELETE) are, and
/// those with an `Idempotency-Key`, by which their service knows that they are one. A request that asks for a
/// [tunnel](asks_for_tunnel) never is: what a second one would do is not known.
///
/// ```
/// use mesh_core::RequestHead;
/// use mesh_traffic::retry::Idempotent;
///
/// let mut request = http::Request::post("/orders").body(()).expect("valid");
/// assert!(!Idempotent::is(&RequestHead::of(&request)));
/// request.extensions_mut().insert(Idempotent(true));
/// assert!(Idempotent::is(&RequestHead::of(&request)));
///
/// let keyed = http::Request::post("/orders").header("idempotency-key", "8e03978e").body(()).expect("valid");
/// assert!(Idempotent::is(&RequestHead::of(&keyed)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Idempotent(pub bool);

impl Idempotent {
    /// Whether this request may be sent twice.
    pub fn is(head: &RequestHead<'_>) -> bool {
        Self::is_or_taken_for(false, head)
    }

    /// The same; or whether it is `taken` for one, as a policy may take all.
    pub(crate) fn is_or_taken_for(taken: bool, head: &RequestHead<'_>) -> bool {
        if asks_for_tunnel(head.method, head.headers) {
            return false;
        }
        if taken {
            return true;
        }
        if let Some(Self(marked)) = head.extensions.get() {
            return *marked;
        }
        let by_method = matches!(
            *head.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
        );
        by_method
            || head
                .headers
                .get(IDEMPOTENCY_KEY)
                .is_some_and(|key| !key.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_idempotent_as_http_says() {
        for (method, idempotent) in [
            ("GET", true),
            ("HEAD", true),
            ("OPTIONS", true),
            ("TRACE", true),
            ("PUT", true),
            ("DELETE", true),
            ("POST", false),
            ("PATCH", false),
            ("CONNECT", false),
            ("PURGE", false),
        ] {
            let request = http::Request::builder().method(method).body(()).expect("valid");
            assert_eq!(Idempotent::is(&RequestHead::of(&request)), idempotent, "{method}");
        }
    }

    #[test]
    fn a_mark_says_more_than_the_method() {
        let mut request = http::Request::get("/consume").body(()).expect("valid");
        request.extensions_mut().insert(Idempotent(false));
        assert!(!Idempotent::is(&RequestHead::of(&request)));
    }

    #[test]
    fn a_tunnel_is_not_idempotent_whoever_says_so() {
        let request = http::Request::get("/").header("upgrade", "websocket");
        let request = request.extension(Idempotent(true)).body(()).expect("valid");
        assert!(!Idempotent::is_or_taken_for(true, &RequestHead::of(&request)));
    }

    #[test]
    fn an_empty_key_is_none() {
        let request = http::Request::post("/")
            .header("idempotency-key", "")
            .body(())
            .expect("valid");
        assert!(!Idempotent::is(&RequestHead::of(&request)));
    }
}
