//! Which host a request is for, and that it is told once.

use super::*;

#[test]
fn a_request_without_a_host_is_refused() {
    assert_eq!(refused(parts("GET", "/", &[])).0, 400);
    assert_eq!(refused(parts("GET", "http://orders/", &[])).0, 400);
    let mut old = parts("GET", "/", &[]);
    old.version = Version::HTTP_10;
    assert_eq!(refused(old).0, 400);
    assert_eq!(refused(parts("OPTIONS", "*", &[])).0, 400);
    let mut nowhere = parts("GET", "/", &[]);
    nowhere.version = Version::HTTP_2;
    assert_eq!(refused(nowhere).0, 400);
}

#[test]
fn a_request_with_several_hosts_is_refused() {
    for second in ["orders", "evil.test"] {
        let fields = [("host", "orders"), ("host", second)];
        assert!(refused(parts("GET", "/", &fields)).1.contains("several Host"));
        assert!(
            refused(http2("http://orders/", &fields))
                .1
                .contains("several Host")
        );
    }
}

#[test]
fn a_host_that_is_no_authority_is_refused() {
    for host in [
        "",
        ":80",
        "user@orders",
        "user:pw@orders",
        "a b",
        "a,b",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "orders:x",
        "orders:-1",
        "orders:+1",
        "orders:0",
        "orders:65536",
        "orders:99999999999999999999",
        "a:1:2",
        ".",
        "..",
        "a..b",
        ".a",
        "a..",
        "ordérs",
        "%6frders",
        "a%00b",
        "::1",
        "[::1",
        "::1]",
        "[]",
        "[::1]x",
        "[::1]:x",
        "[::1%25eth0]",
        "[v1.a]",
        "[1.2.3.4]",
        "a[::1]",
        "a;b",
        "*",
        "a\tb",
        "(a)",
        "a'b",
        "http://a",
    ] {
        let (status, message) = refused(of_host(host));
        assert_eq!(status, 400, "{host}");
        assert!(!message.contains("pw"), "{message}");
    }
    assert_eq!(refused(of_host(&"a".repeat(254))).0, 400);
    admitted(of_host(&"a".repeat(253)));
}

#[test]
fn a_host_is_brought_into_lower_case_without_its_trailing_dot() {
    for (host, canonical) in [
        ("orders", "orders"),
        ("DENY.Test", "deny.test"),
        ("deny.test.", "deny.test"),
        ("Deny.Test.:80", "deny.test:80"),
        ("orders:0080", "orders:80"),
        // Nothing behind the colon is the scheme's port.
        ("orders:", "orders"),
        ("my_service.ns", "my_service.ns"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("[::1]", "[::1]"),
        ("[::1]:8080", "[::1]:8080"),
        ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
    ] {
        assert_eq!(admitted(of_host(host)).headers[HOST], canonical, "{host}");
    }
}

#[test]
fn an_absolute_target_counts_before_the_host_field() {
    let parts_of = |target| admitted(parts("GET", target, &[("host", "fake.test")]));
    for (target, host, origin) in [
        ("http://Real.Test/a?b", "real.test", "/a?b"),
        ("https://real.test:8443/x/../a", "real.test:8443", "/a"),
        ("http://real.test", "real.test", "/"),
        ("http://real.test?q=1", "real.test", "/?q=1"),
        ("HTTP://real.test/", "real.test", "/"),
    ] {
        let parts = parts_of(target);
        assert_eq!(
            (
                parts.headers[HOST].to_str().expect("ascii"),
                parts.uri.to_string().as_str()
            ),
            (host, origin),
            "{target}"
        );
    }
}

#[test]
fn an_absolute_target_does_not_make_a_broken_host_good() {
    assert_eq!(
        refused(parts("GET", "http://real.test/", &[("host", "a b")])).0,
        400
    );
    assert_eq!(refused(http2("http://real.test/", &[("host", "a,b")])).0, 400);
}

#[test]
fn a_target_of_another_scheme_or_with_credentials_is_refused() {
    assert!(refused(get("ftp://orders/")).1.contains("scheme"));
    assert!(refused(get("ws://orders/")).1.contains("scheme"));
    let (_, message) = refused(get("http://user:secret@orders/"));
    assert!(
        message.contains("user information") && !message.contains("secret"),
        "{message}"
    );
}

#[test]
fn a_target_that_is_an_authority_is_refused() {
    for target in ["orders", "orders:80", "x"] {
        let mut parts = get("/");
        parts.uri = target.parse().expect("an authority");
        assert!(refused(parts).1.contains("neither a path nor"), "{target}");
    }
}

#[test]
fn an_http2_request_gets_its_host_from_the_authority() {
    let parts = admitted(http2("http://Orders.Test:80/a?b", &[]));
    assert_eq!(parts.headers[HOST], "orders.test:80");
    assert_eq!(parts.uri, "/a?b");
    let parts = admitted(http2("https://orders.test/", &[("host", "evil.test")]));
    assert_eq!(parts.headers[HOST], "orders.test");
}

#[test]
fn an_http2_request_may_name_its_host_in_the_field_alone() {
    assert_eq!(
        admitted(http2("/a", &[("host", "Orders")])).headers[HOST],
        "orders"
    );
}

#[test]
fn an_http2_request_without_a_path_is_refused() {
    let mut parts = http2("/", &[("host", "orders")]);
    // As h2 makes it of a request with neither `:path` nor `:authority`.
    parts.uri = Uri::from_parts(http::uri::Parts::default()).expect("nothing");
    assert_eq!(refused(parts).0, 400);
    for target in ["http://orders?x", "http://orders#x"] {
        assert!(refused(http2(target, &[])).1.contains("no path"), "{target}");
    }
}
