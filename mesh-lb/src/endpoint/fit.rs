//! A request as the protocol of its connection wants it.

use http::Request;
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

/// The authority in the target and no Host field: what HTTP/2 wants.
pub(super) fn for_http2(request: &mut Request<Body>, secure: bool) {
    *request.version_mut() = http::Version::HTTP_2;
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
