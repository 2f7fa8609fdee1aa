use http::Request;
use mesh_core::body::Body;

use super::*;

fn request(method: Method, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri("/orders");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("valid")
}

fn preflight(cors: &Cors, fields: &[(&str, &str)]) -> HeaderMap {
    let request = request(Method::OPTIONS, fields);
    let answer = cors.preflight::<Body>(&RequestHead::of(&request));
    assert_eq!(answer.status(), 204);
    answer.headers().clone()
}

/// What a response says after the rule did, of what the service said.
fn actual(cors: &Cors, origin: Option<&str>, service: &[(&'static str, &str)]) -> HeaderMap {
    let fields: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
    let request = request(Method::GET, &fields);
    let mut response = HeaderMap::new();
    for (name, value) in service {
        response.append(*name, value.parse().expect("valid"));
    }
    CrossOrigin::of(&Arc::new(cors.clone()), request.headers()).apply(&mut response);
    response
}

#[test]
fn a_preflight_request_is_told_what_it_may_and_a_foreign_one_nothing() {
    let cors = Cors::new(["https://shop.example.com"])
        .and_then(|cors| cors.with_methods(["PUT", "DELETE"]))
        .and_then(|cors| cors.with_headers(["X-Tenant"]))
        .expect("valid")
        .with_max_age(Duration::from_secs(600));
    assert_eq!(cors.to_string(), "pages of https://shop.example.com");
    let asked = [("access-control-request-method", "PUT")];
    let own = preflight(&cors, &[("origin", "https://shop.example.com"), asked[0]]);
    assert_eq!(own["access-control-allow-origin"], "https://shop.example.com");
    assert_eq!(own["access-control-allow-methods"], "PUT, DELETE");
    assert_eq!(own["access-control-allow-headers"], "x-tenant");
    assert_eq!(own["access-control-max-age"], "600");
    assert!(own["vary"].to_str().expect("text").starts_with("Origin"));
    for origin in ["https://evil.example.com", "http://shop.example.com", "null"] {
        let foreign = preflight(&cors, &[("origin", origin), asked[0]]);
        assert_eq!(foreign.keys().collect::<Vec<_>>(), ["vary"], "{origin}");
    }
}

#[test]
fn everything_with_credentials_is_what_was_asked_for() {
    let cors = Cors::new(["*"])
        .and_then(|cors| cors.with_methods(["*"]))
        .and_then(|cors| cors.with_headers(["*"]))
        .expect("valid");
    let asked = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "x-a,x-b"),
    ];
    let without = preflight(&cors, &asked);
    for name in [
        "access-control-allow-origin",
        "access-control-allow-methods",
        "access-control-allow-headers",
    ] {
        assert_eq!(without[name], "*");
    }
    let with = preflight(&cors.with_credentials(true).expect("valid"), &asked);
    assert_eq!(with["access-control-allow-origin"], "https://a.example");
    assert_eq!(with["access-control-allow-methods"], "PATCH");
    assert_eq!(with["access-control-allow-headers"], "x-a,x-b");
    assert_eq!(with["access-control-allow-credentials"], "true");
}

#[test]
fn what_the_service_says_about_it_is_replaced() {
    let cors = Cors::new(["https://*.example.com:8443"])
        .and_then(|cors| cors.with_exposed_headers(["x-total"]))
        .expect("valid");
    let service = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("vary", "accept"),
    ];
    let own = actual(&cors, Some("https://a.b.example.com:8443"), &service);
    assert_eq!(own["access-control-allow-origin"], "https://a.b.example.com:8443");
    assert_eq!(own["access-control-expose-headers"], "x-total");
    assert!(!own.contains_key("access-control-allow-credentials"));
    assert_eq!(
        own.get_all("vary").iter().collect::<Vec<_>>(),
        ["accept", "Origin"]
    );
    for origin in [
        None,
        Some("https://example.com:8443"),
        Some("https://a.example.com"),
    ] {
        let foreign = actual(&cors, origin, &service);
        assert!(!foreign.contains_key("access-control-allow-origin"), "{origin:?}");
        assert_eq!(
            foreign.get_all("vary").iter().count(),
            2,
            "caches must know all the same"
        );
    }
}

#[test]
fn an_origin_is_taken_whole() {
    let below = Cors::new(["https://*.example.com"]).expect("valid");
    for (origin, allowed) in [
        ("https://a.example.com", true),
        ("HTTPS://A.EXAMPLE.COM", true),
        ("https://example.com", false),
        ("https://.example.com", false),
        ("https://evil.com/.example.com", false),
        ("https://evil.com#.example.com", false),
        ("https://u@evil.com:1.example.com", false),
        ("https://aexample.com", false),
        ("https://a.example.com:444", false),
        ("https://a.example.com.evil.com", false),
        ("xhttps://a.example.com", false),
    ] {
        let request = request(Method::GET, &[("origin", origin)]);
        assert_eq!(below.allowed(request.headers()).is_some(), allowed, "{origin}");
    }
}

#[test]
fn what_no_browser_sends_is_no_origin() {
    for text in [
        "",
        "example.com",
        "https://",
        "https://*",
        "https://a.*.com",
        "https://example.com/",
        "https://example.com/path",
        "https://u@example.com",
        "https://example.com:443",
        "https://example.com:",
        "https://example.com:x",
        "null",
    ] {
        assert!(matches!(Cors::new([text]), Err(CorsError::Origin(_))), "{text}");
    }
    assert_eq!(Cors::new::<&str>([]), Err(CorsError::NoOrigin));
    assert!(Cors::new(["http://localhost:3000", "https://[::1]:8443", "app://x.y"]).is_ok());
    let all = Cors::new(["*"])
        .and_then(|cors| cors.with_exposed_headers(["*"]))
        .expect("valid");
    assert_eq!(
        all.with_credentials(true),
        Err(CorsError::ExposesAllWithCredentials)
    );
    assert!(
        Cors::new(["*"])
            .and_then(|cors| cors.with_methods(["A B"]))
            .is_err()
    );
}

#[test]
fn only_a_browsers_question_is_a_preflight_request() {
    let asked = ("access-control-request-method", "PUT");
    let origin = ("origin", "https://a.example");
    let method = |method, fields: &[_]| Cors::asked_method(&RequestHead::of(&request(method, fields)));
    assert_eq!(method(Method::OPTIONS, &[origin, asked]), Some(Method::PUT));
    assert_eq!(method(Method::OPTIONS, &[asked]), None);
    assert_eq!(method(Method::OPTIONS, &[origin]), None);
    assert_eq!(method(Method::GET, &[origin, asked]), None);
}
