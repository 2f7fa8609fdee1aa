use http::Request;

use super::*;

mod authority;
mod path;
mod wire;

fn parts(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    request.body(()).expect("a request").into_parts().0
}

fn get(target: &str) -> Parts {
    parts("GET", target, &[("host", "orders")])
}

fn of_host(host: &str) -> Parts {
    parts("GET", "/", &[("host", host)])
}

/// An HTTP/2 request: scheme and authority stand in the target.
fn http2(target: &str, fields: &[(&str, &str)]) -> Parts {
    let mut parts = parts("GET", target, fields);
    parts.version = Version::HTTP_2;
    parts
}

fn admitted(mut parts: Parts) -> Parts {
    let shown = format!("{parts:?}");
    let facts = admit(&mut parts, &EdgePolicy::default()).expect(&shown);
    let (again, changed) = (Facts::of(&parts.headers), Facts::COOKIES);
    for bit in (0..30).map(|bit| 1 << bit).filter(|bit| bit & changed == 0) {
        assert_eq!(
            facts.has(bit),
            again.has(bit),
            "the facts are those of the admitted request: {shown}"
        );
    }
    assert_eq!(
        (parts.uri.scheme(), parts.uri.authority()),
        (None, None),
        "the target is in origin form"
    );
    assert_eq!(parts.headers.get_all(HOST).iter().count(), 1, "there is one Host");
    parts
}

fn refused_by(mut parts: Parts, policy: &EdgePolicy) -> (u16, String) {
    let shown = format!("{parts:?}");
    let error = admit(&mut parts, policy).expect_err(&shown);
    assert_eq!(error.kind(), ErrorKind::BadRequest, "{error}");
    (error.http_status().as_u16(), error.message().to_owned())
}

fn refused(parts: Parts) -> (u16, String) {
    refused_by(parts, &EdgePolicy::default())
}

#[test]
fn a_canonical_request_is_admitted_as_it_is() {
    let target = "/a%20b/%C3%A9?x=%7B%22%7D&y=/../z&e=";
    let before = parts("GET", target, &[("host", "orders:3001"), ("x", "1"), ("x", "2")]);
    let after = admitted(before.clone());
    assert_eq!(after.uri, target);
    assert_eq!(after.headers, before.headers);
}

#[test]
fn fields_of_the_connection_are_refused_in_http2() {
    for (name, value) in [
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ] {
        assert_eq!(
            refused(http2("http://orders/", &[(name, value)])).0,
            400,
            "{name}: {value}"
        );
    }
    assert_eq!(
        admitted(http2("http://orders/", &[("te", "trailers")])).headers["te"],
        "trailers"
    );
}

#[test]
fn a_request_with_two_framings_is_refused() {
    let fields = [
        ("host", "a"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
    ];
    assert!(refused(parts("POST", "/", &fields)).1.contains("contradict"));
}

#[test]
fn a_transfer_encoding_that_is_not_one_chunked_is_refused() {
    let post = |values: &[&'static str]| {
        let mut fields = vec![("host", "a")];
        fields.extend(values.iter().map(|value| ("transfer-encoding", *value)));
        parts("POST", "/", &fields)
    };
    for values in [
        &["xchunked"][..],
        &["chunked, identity"],
        &["gzip, chunked"],
        &["chunked, chunked"],
        &["chunked", "chunked"],
        &["chunked;x=y"],
        &[""],
        &["identity"],
        &["\"chunked\""],
    ] {
        assert_eq!(refused(post(values)).0, 400, "{values:?}");
    }
    admitted(post(&["chunked"]));
    admitted(post(&["Chunked"]));
    let mut old = post(&["chunked"]);
    old.version = Version::HTTP_10;
    assert!(refused(old).1.contains("HTTP/1.0"));
}

#[test]
fn a_content_length_that_is_not_one_number_is_refused() {
    for value in [
        "",
        "+5",
        "-1",
        "5, 5",
        "5,6",
        "0x5",
        "5 ",
        "18446744073709551621",
        "9999999999999999999",
        "five",
    ] {
        assert_eq!(
            refused(parts("POST", "/", &[("host", "a"), ("content-length", value)])).0,
            400,
            "{value:?}"
        );
        assert_eq!(
            refused(http2("http://a/", &[("content-length", value)])).0,
            400,
            "{value:?}"
        );
    }
    for second in ["5", "6"] {
        let fields = [("host", "a"), ("content-length", "5"), ("content-length", second)];
        assert_eq!(refused(parts("POST", "/", &fields)).0, 400);
    }
    admitted(parts("POST", "/", &[("host", "a"), ("content-length", "0005")]));
}

#[test]
fn an_unknown_version_is_refused() {
    for version in [Version::HTTP_09, Version::HTTP_3] {
        let mut parts = get("/");
        parts.version = version;
        assert!(refused(parts).1.contains("HTTP/1.1 or HTTP/2"));
    }
}

#[test]
fn connect_and_trace_are_not_served() {
    let mut connect = parts("CONNECT", "orders:22", &[("host", "orders:22")]);
    assert_eq!(refused(connect.clone()).0, 405);
    connect.version = Version::HTTP_2;
    assert_eq!(refused(connect).0, 405);
    assert_eq!(
        refused(parts("TRACE", "/", &[("host", "a"), ("max-forwards", "9")])).0,
        405
    );
}

#[test]
fn max_forwards_counts_down_for_options_and_means_nothing_to_others() {
    let options = |value: &str| parts("OPTIONS", "/", &[("host", "a"), ("max-forwards", value)]);
    assert_eq!(refused(options("0")).0, 405);
    assert_eq!(refused(options("00")).0, 405);
    assert_eq!(refused(options("x")).0, 400);
    assert_eq!(refused(options("")).0, 400);
    assert_eq!(admitted(options("7")).headers[MAX_FORWARDS], "6");
    assert_eq!(
        admitted(parts("GET", "/", &[("host", "a"), ("max-forwards", "0")])).headers[MAX_FORWARDS],
        "0"
    );
}

#[test]
fn only_options_asks_about_the_whole_server() {
    assert_eq!(admitted(parts("OPTIONS", "*", &[("host", "a")])).uri, "*");
    assert!(
        refused(parts("GET", "*", &[("host", "a")]))
            .1
            .contains("only OPTIONS")
    );
    let mut parts = http2("http://a/", &[]);
    parts.method = Method::OPTIONS;
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.path_and_query = Some(PathAndQuery::from_static("*"));
    parts.uri = Uri::from_parts(uri).expect("as h2 makes it");
    assert_eq!(admitted(parts).uri, "*");
}

#[test]
fn a_target_that_is_too_long_is_refused_with_414() {
    let policy = EdgePolicy {
        max_uri_bytes: 10,
        ..EdgePolicy::default()
    };
    assert_eq!(refused_by(get("/123456789a"), &policy).0, 414);
    assert_eq!(refused_by(get("/1234?6789a"), &policy).0, 414);
    assert_eq!(refused_by(get("http://orders/123x"), &policy).0, 414);
    assert!(admit(&mut get("http://orders/123"), &policy).is_ok());
    assert!(admit(&mut get("/123456789"), &policy).is_ok());
}

#[test]
fn too_many_fields_are_refused_with_431() {
    let policy = EdgePolicy {
        max_headers: 3,
        ..EdgePolicy::default()
    };
    let fields = |more: usize| {
        let mut fields = vec![("host", "a")];
        fields.extend(std::iter::repeat_n(("x", "1"), more));
        parts("GET", "/", &fields)
    };
    assert!(admit(&mut fields(2), &policy).is_ok());
    let (status, message) = refused_by(fields(3), &policy);
    assert_eq!(
        (status, message.as_str()),
        (431, "the request has 4 header fields; at most 3 are allowed")
    );
}

#[test]
fn a_usual_method_in_other_letters_is_refused() {
    for method in ["get", "Delete", "pATCH", "connect", "trace"] {
        assert_eq!(refused(parts(method, "/", &[("host", "a")])).0, 405, "{method}");
    }
    for method in ["PROPFIND", "purge", "get-all"] {
        let admitted = admitted(parts(method, "/", &[("host", "a")]));
        assert_eq!(admitted.method.as_str(), method);
    }
}

#[test]
fn a_query_stays_as_it_is_but_for_bytes_beyond_ascii() {
    for (target, expected) in [
        ("/a?x=%c3%a9&y={|}[]\\'", "/a?x=%c3%a9&y={|}[]\\'"),
        ("/a?é=ü", "/a?%C3%A9=%C3%BC"),
        ("/é?é", "/%C3%A9?%C3%A9"),
        ("/a?", "/a?"),
    ] {
        assert_eq!(admitted(get(target)).uri, expected);
    }
    let absolute = admitted(http2("http://a/b?é", &[]));
    assert_eq!(absolute.uri, "/b?%C3%A9");
}

#[test]
fn an_expectation_other_than_100_continue_is_refused_with_417() {
    let expecting = |value: &str| parts("POST", "/", &[("host", "a"), ("expect", value)]);
    for value in ["", "200-ok", "100-continue, x", "100-continue;q=1"] {
        assert_eq!(refused(expecting(value)).0, 417, "{value}");
    }
    admitted(expecting("100-Continue"));
}

#[test]
fn fields_with_an_underscore_are_dropped_unless_they_are_wanted() {
    let with = || {
        parts(
            "GET",
            "/",
            &[
                ("host", "a"),
                ("x_internal", "yes"),
                ("y_z", "1"),
                ("x_mesh_attempt", "9"),
                ("content_length", "5"),
                ("x-real_ip", "1"),
            ],
        )
    };
    assert_eq!(admitted(with()).headers.len(), 1);
    let policy = EdgePolicy {
        keep_underscores: true,
        ..EdgePolicy::default()
    };
    let mut kept = with();
    admit(&mut kept, &policy).expect("well-formed");
    // What spells a field of framing or the mesh's own goes all the same.
    assert_eq!(
        kept.headers.keys().collect::<Vec<_>>(),
        ["host", "x_internal", "y_z"]
    );
}

#[test]
fn an_underscore_is_found_in_a_name_that_begins_as_one_the_mesh_knows() {
    for name in ["x-forwarded-any_thing", "x-b3-trace_id", "x-mesh-any_thing"] {
        let parts = admitted(parts("GET", "/", &[("host", "a"), (name, "1")]));
        assert_eq!(parts.headers.keys().collect::<Vec<_>>(), ["host"], "{name}");
    }
}

#[test]
fn a_header_map_is_never_filled_to_its_limit() {
    let policy = EdgePolicy {
        max_headers: usize::MAX,
        ..EdgePolicy::default()
    };
    let mut parts = get("/");
    for i in 1..16 * 1024 {
        let name = HeaderName::try_from(format!("x-{i}")).expect("a name");
        parts.headers.insert(name, HeaderValue::from_static("1"));
    }
    let mut full = parts.clone();
    admit(&mut full, &policy).expect("not too many");
    // The mesh's own fields have room, or this panics.
    full.headers.reserve(100);
    parts.headers.insert("one-more", HeaderValue::from_static("1"));
    assert_eq!(refused_by(parts, &policy).0, 431);
}

#[test]
fn the_crumbs_of_a_cookie_are_joined() {
    let parts = admitted(http2(
        "http://a/",
        &[
            ("cookie", "a=1"),
            ("x", "y"),
            ("cookie", "b=2"),
            ("cookie", "c=3"),
        ],
    ));
    assert_eq!(
        parts.headers.get_all(COOKIE).iter().collect::<Vec<_>>(),
        ["a=1; b=2; c=3"]
    );
    assert_eq!(
        admitted(http2("http://a/", &[("cookie", "a=1")])).headers[COOKIE],
        "a=1"
    );
}

#[test]
fn the_host_is_told_without_its_port() {
    for (value, expected) in [
        ("orders", "orders"),
        ("orders:80", "orders"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
    ] {
        assert_eq!(host(&admitted(of_host(value)).headers), Some(expected));
    }
}
