//! A request as the protocol of its connection wants it.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TE};
use http::{HeaderMap, Method, Request};
use http_body::Body as _;
use mesh_core::body::Body;

/// The origin form and one Host field: what HTTP/1.1 wants.
pub(super) fn for_http1(request: &mut Request<Body>) {
    *request.version_mut() = http::Version::HTTP_11;
    let Some(authority) = request.uri().authority() else {
        return;
    };
    if let Ok(host) = http::HeaderValue::from_str(authority.as_str()) {
        request.headers_mut().insert(http::header::HOST, host);
    }
    let origin = request.uri().path_and_query().cloned();
    *request.uri_mut() = origin.map_or_else(|| http::Uri::from_static("/"), http::Uri::from);
}

/// The authority in the target and no Host field, no field about the connection, and the body's length if it is known:
/// what HTTP/2 wants.
pub(super) fn for_http2(request: &mut Request<Body>, secure: bool) {
    *request.version_mut() = http::Version::HTTP_2;
    if request.headers().keys().any(is_about_the_connection) {
        strip_connection(request.headers_mut());
    }
    tell_length(request);
    let host = request.headers_mut().remove(http::header::HOST);
    let Some(authority) = host.and_then(|h| http::uri::Authority::try_from(h.as_bytes()).ok()) else {
        return;
    };
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if secure {
        http::uri::Scheme::HTTPS
    } else {
        http::uri::Scheme::HTTP
    });
    parts.authority = Some(authority);
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    }
    if let Ok(uri) = http::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// HTTP/2 says it otherwise, or knows nothing like it (RFC 9113 §8.2.2).
fn is_about_the_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" | "te"
    )
}

fn strip_connection(headers: &mut HeaderMap) {
    let named = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let named = named.flat_map(|line| line.split(',')).map(str::trim);
    let mut gone: Vec<HeaderName> = named.filter_map(|name| name.parse().ok()).collect();
    gone.extend(
        headers
            .keys()
            .filter(|name| is_about_the_connection(name))
            .cloned(),
    );
    let trailers = headers.get(TE).is_some_and(|te| te == "trailers");
    for name in gone {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn tell_length(request: &mut Request<Body>) {
    let Some(length) = request.body().size_hint().exact() else {
        return;
    };
    // Without a body, only some methods say so (RFC 9110 §8.6).
    let is_expected = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::DELETE | Method::CONNECT
    );
    if length > 0 || is_expected {
        request
            .headers_mut()
            .entry(CONTENT_LENGTH)
            .or_insert_with(|| length.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_a_connection_does_not_go_over_http2() {
        let mut request = Request::get("/")
            .header("host", "orders")
            .header("connection", "keep-alive, x-hop")
            .header("keep-alive", "timeout=5")
            .header("x-hop", "1")
            .header("te", "trailers")
            .header("x-end", "1")
            .body(Body::empty())
            .expect("a request");
        for_http2(&mut request, true);
        assert_eq!(request.uri(), "https://orders/");
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["te", "x-end"]);
    }

    #[test]
    fn the_length_of_a_body_is_told_if_it_is_known_and_not_told_already() {
        let sent = |method: &str, body: Body, told: Option<&str>| {
            let request = Request::builder()
                .method(method)
                .uri("/")
                .header("host", "orders");
            let request = told
                .into_iter()
                .fold(request, |r, told| r.header(CONTENT_LENGTH, told));
            let mut request = request.body(body).expect("a request");
            for_http2(&mut request, false);
            let told = request.headers().get(CONTENT_LENGTH);
            told.map(|told| told.to_str().expect("a number").to_owned())
        };
        assert_eq!(sent("GET", Body::empty(), None), None);
        assert_eq!(sent("POST", Body::empty(), None).as_deref(), Some("0"));
        assert_eq!(sent("POST", Body::full("four"), None).as_deref(), Some("4"));
        assert_eq!(sent("PUT", Body::full("four"), Some("4")).as_deref(), Some("4"));
    }
}
