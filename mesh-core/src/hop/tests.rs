use http::Request;

use super::*;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect(name),
            value.parse().expect(value),
        );
    }
    headers
}

/// In alphabetical order: removing fields mixes theirs.
fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

fn stripped_request(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = headers(fields);
    let facts = Facts::of(&headers);
    strip_request(&mut headers, facts).expect("nothing it needs is named");
    headers
}

#[test]
fn the_fields_of_one_hop_end_here() {
    let left = stripped_request(&[
        ("host", "a"),
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("proxy-authenticate", "Basic"),
        ("te", "gzip"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("expect", "100-continue"),
        ("trailer", "x-checksum"),
        ("accept", "*/*"),
    ]);
    assert_eq!(names(&left), ["accept", "host", "trailer"]);
}

#[test]
fn what_connection_names_ends_here_in_any_spelling_and_over_all_lines() {
    let left = stripped_request(&[
        ("connection", "X-Hop,, close ,\tx-other"),
        ("connection", "x-third, not a name, x-absent"),
        ("x-hop", "1"),
        ("x-hop", "2"),
        ("x-other", "1"),
        ("x-third", "1"),
        ("x-end", "1"),
    ]);
    assert_eq!(names(&left), ["x-end"]);
}

#[test]
fn connection_cannot_take_what_a_request_needs() {
    for name in [
        "host",
        "Host",
        "content-length",
        "Transfer-Encoding",
        "x-mesh-attempt",
        "X-Mesh-Anything",
        "x-source-service",
        "x-forwarded-client-cert",
    ] {
        let mut headers = headers(&[
            ("host", "a"),
            ("content-length", "1"),
            ("connection", &format!("close, {name}")),
        ]);
        let facts = Facts::of(&headers);
        let error = strip_request(&mut headers, facts).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(headers.contains_key("host") && headers.contains_key("content-length"));
    }
}

#[test]
fn connection_cannot_hide_where_a_request_comes_from() {
    let left = stripped_request(&[
        (
            "connection",
            "X-Forwarded-For, x-forwarded-proto, forwarded, x-real-ip, cookie",
        ),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.7"),
        ("x-real-ip", "203.0.113.7"),
        ("cookie", "a=1"),
    ]);
    assert_eq!(
        names(&left),
        ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"]
    );
}

#[test]
fn te_goes_on_as_trailers_or_not_at_all() {
    for (value, left) in [
        ("trailers", true),
        ("gzip, Trailers;q=1, trailers", true),
        ("gzip", false),
        ("trailersx", false),
    ] {
        let headers = stripped_request(&[("te", value), ("connection", "te")]);
        let expected: &[&str] = if left { &["trailers"] } else { &[] };
        assert_eq!(
            headers.get_all(TE).iter().collect::<Vec<_>>(),
            expected,
            "{value}"
        );
    }
}

#[test]
fn a_response_loses_the_fields_of_one_hop() {
    let mut headers = headers(&[
        ("connection", "x-hop, content-length"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=77"),
        ("proxy-connection", "x"),
        ("proxy-authenticate", "Basic"),
        ("upgrade", "h2c"),
        ("te", "trailers"),
        ("content-length", "5"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2, x"),
        ("x-end", "1"),
    ]);
    strip_response(StatusCode::OK, &mut headers);
    assert_eq!(names(&headers), ["content-length", "set-cookie", "x-end"]);
    assert_eq!(
        headers.get_all("set-cookie").iter().collect::<Vec<_>>(),
        ["a=1", "b=2, x"]
    );
}

#[test]
fn a_response_without_a_body_announces_none() {
    for (status, length_is_kept) in [(101, false), (204, false), (304, false), (200, true), (404, true)] {
        let mut headers = headers(&[("content-length", "5"), ("x-end", "1")]);
        strip_response(StatusCode::from_u16(status).expect("valid"), &mut headers);
        assert_eq!(headers.contains_key(CONTENT_LENGTH), length_is_kept, "{status}");
        let mut headers = headers_of_chunks();
        strip_response(StatusCode::from_u16(status).expect("valid"), &mut headers);
        assert!(!headers.contains_key(TRANSFER_ENCODING), "{status}");
    }
}

fn headers_of_chunks() -> HeaderMap {
    headers(&[("transfer-encoding", "chunked")])
}

#[test]
fn a_length_told_twice_goes_back_once() {
    let mut headers = headers(&[("content-length", "5"), ("content-length", "5")]);
    assert!(check_response(StatusCode::OK, Version::HTTP_11, &headers, false).is_ok());
    strip_response(StatusCode::OK, &mut headers);
    assert_eq!(headers.get_all(CONTENT_LENGTH).iter().collect::<Vec<_>>(), ["5"]);
}

#[test]
fn an_endpoint_switches_protocols_only_when_asked_to() {
    let check = |status: u16, sent_upgrade| {
        let status = StatusCode::from_u16(status).expect("valid");
        check_response(status, Version::HTTP_11, &HeaderMap::new(), sent_upgrade)
            .map_err(|error| error.kind())
    };
    assert_eq!(check(101, false), Err(ErrorKind::UpstreamReset));
    assert_eq!(check(101, true), Ok(()));
    assert_eq!(check(103, true), Err(ErrorKind::UpstreamReset));
    assert_eq!(check(200, true), Ok(()));
    assert_eq!(check(200, false), Ok(()));
}

#[test]
fn an_answer_whose_end_is_unclear_is_refused() {
    let check = |version, fields: &[(&str, &str)]| {
        check_response(StatusCode::OK, version, &headers(fields), false).is_ok()
    };
    for fields in [
        &[("content-length", "3"), ("transfer-encoding", "chunked")][..],
        &[("content-length", "3"), ("content-length", "5")],
        &[("content-length", "3, 3")],
        &[("content-length", "+3")],
        &[("content-length", "")],
        &[("content-length", "18446744073709551616")],
        &[("transfer-encoding", "gzip, chunked")],
        &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        &[("transfer-encoding", "identity")],
    ] {
        assert!(!check(Version::HTTP_11, fields), "{fields:?}");
    }
    assert!(!check(Version::HTTP_10, &[("transfer-encoding", "chunked")]));
    assert!(check(Version::HTTP_11, &[("transfer-encoding", "chunked")]));
    assert!(check(Version::HTTP_10, &[("content-length", "3")]));
    assert!(check(Version::HTTP_2, &[("content-length", "3")]));
    assert!(check(Version::HTTP_10, &[]));
}

fn websocket(method: &str, version: Version, fields: &[(&str, &str)]) -> bool {
    let (mut parts, ()) = Request::builder()
        .method(method)
        .version(version)
        .body(())
        .expect("valid")
        .into_parts();
    parts.headers = headers(fields);
    asks_for_websocket(&parts, Facts::of(&parts.headers))
}

#[test]
fn a_websocket_is_asked_for_strictly() {
    let asking = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
    assert!(websocket("GET", Version::HTTP_11, &asking));
    assert!(!websocket("POST", Version::HTTP_11, &asking));
    assert!(!websocket("GET", Version::HTTP_10, &asking));
    assert!(!websocket("GET", Version::HTTP_2, &asking));
    for fields in [
        &[("connection", "upgrade")][..],
        &[("upgrade", "websocket")],
        &[("connection", "close"), ("upgrade", "websocket")],
        &[("connection", "upgrade"), ("upgrade", "h2c")],
        &[("connection", "upgrade"), ("upgrade", "websocket, h2c")],
        &[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("upgrade", "h2c"),
        ],
        &[("connection", "upgrade"), ("upgrade", "websocket/13")],
        &[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("content-length", "3"),
        ],
        &[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
        ],
    ] {
        assert!(!websocket("GET", Version::HTTP_11, fields), "{fields:?}");
    }
}

#[test]
fn trailers_hold_nothing_that_belongs_into_the_head() {
    let mut trailers = headers(&[
        ("content-length", "99"),
        ("host", "evil"),
        ("transfer-encoding", "chunked"),
        ("x-forwarded-for", "9.9.9.9"),
        ("x-forwarded-anything", "1"),
        ("forwarded", "for=9.9.9.9"),
        ("x-mesh-attempt", "1"),
        ("x-source-service", "admin"),
        ("x-request-id", "1"),
        ("traceparent", "x"),
        ("b3", "0"),
        ("x-b3-sampled", "1"),
        ("authorization", "x"),
        ("cookie", "a"),
        ("connection", "close"),
        ("x_y", "1"),
        ("x-checksum", "1"),
        ("grpc-status", "0"),
        ("grpc-message", "ok"),
    ]);
    strip_trailers(&mut trailers);
    assert_eq!(names(&trailers), ["grpc-message", "grpc-status", "x-checksum"]);
}
