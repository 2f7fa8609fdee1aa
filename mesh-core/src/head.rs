//! A request without its body: what policies decide on.

use http::{Extensions, HeaderMap, Method, Uri};

/// A view of a request's head. It frees policy traits from the body's type, so that they can be `dyn`.
///
/// ```
/// use mesh_core::RequestHead;
///
/// let request = http::Request::get("/orders/7").header("api-version", "v2").body(()).expect("valid");
/// let head = RequestHead::of(&request);
/// assert_eq!(head.path(), "/orders/7");
/// assert_eq!(head.headers["api-version"], "v2");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r Method,
    /// The target. Behind the edge its path is canonical and its authority is the request's host.
    pub uri: &'r Uri,
    /// The header fields.
    pub headers: &'r HeaderMap,
    /// What layers before this one left: [`MeshContext`](crate::MeshContext) among it.
    pub extensions: &'r Extensions,
}

impl<'r> RequestHead<'r> {
    /// The head of a request.
    pub fn of<B>(request: &'r http::Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The head in a request's parts.
    pub fn of_parts(parts: &'r http::request::Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }

    /// The path, without the query.
    pub fn path(&self) -> &'r str {
        self.uri.path()
    }

    /// The host, without the port: of the target, or of the `Host` field. An IPv6 address keeps its brackets.
    pub fn host(&self) -> Option<&'r str> {
        let authority = match self.uri.authority() {
            Some(authority) => authority.as_str(),
            None => self.headers.get(http::header::HOST)?.to_str().ok()?,
        };
        Some(without_port(authority))
    }

    /// The query, without the `?`.
    pub fn query(&self) -> Option<&'r str> {
        self.uri.query()
    }
}

/// The host of an authority: `orders` of `orders:80`. An IPv6 address keeps its brackets.
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_its_parts_have_the_same_head() {
        let mut request = http::Request::put("http://orders/a/b?c=d")
            .header("x", "y")
            .body("ignored")
            .expect("valid");
        request.extensions_mut().insert(7_u32);
        let shown = format!("{:?}", RequestHead::of(&request));
        let (parts, _) = request.into_parts();
        let head = RequestHead::of_parts(&parts);
        assert_eq!(format!("{head:?}"), shown);
        assert_eq!(
            (head.method, head.path(), head.query()),
            (&Method::PUT, "/a/b", Some("c=d"))
        );
        assert_eq!(head.extensions.get::<u32>(), Some(&7));
    }

    #[test]
    fn the_host_is_known_without_its_port() {
        for (authority, host) in [
            ("orders", "orders"),
            ("orders:80", "orders"),
            ("orders:", "orders"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(without_port(authority), host);
            let request = http::Request::get("/")
                .header("host", authority)
                .body(())
                .expect("valid");
            assert_eq!(RequestHead::of(&request).host(), Some(host));
        }
        let request = http::Request::get("http://orders:80/")
            .header("host", "other")
            .body(())
            .expect("valid");
        assert_eq!(RequestHead::of(&request).host(), Some("orders"));
        assert_eq!(RequestHead::of(&http::Request::new(())).host(), None);
    }

    #[test]
    fn what_is_taken_from_a_head_outlives_the_view() {
        let request = http::Request::get("/a?").body(()).expect("valid");
        let (path, query) = {
            let head = RequestHead::of(&request);
            (head.path(), head.query())
        };
        assert_eq!((path, query), ("/a", Some("")));
    }
}
