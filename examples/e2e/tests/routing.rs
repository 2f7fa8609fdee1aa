//! Rules over a socket: what a client and a service see of a redirect, a rewrite, a split and a refusal.

use std::collections::HashSet;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as Asked;
use e2e::{Connection, Proxy, serve};
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;

/// Tells which version it is, and what it was asked for.
async fn version(version: &'static str) -> String {
    let tell = move |request: Asked| async move {
        let field = |name: &str| {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or("-").to_owned()
        };
        format!(
            "{version} {} {} {} {}",
            request.uri(),
            field("host"),
            field("x-forwarded-host"),
            field("x-debug")
        )
    };
    serve(Router::new().fallback(tell)).await.to_string()
}

async fn proxy() -> Proxy {
    let (v1, v2) = (version("v1").await, version("v2").await);
    let services = format!(
        "[ {{ name: orders, port: 1, hosts: [orders], stableVersion: v1, endpoints: [ {{ address: \"{v1}\", version: \
         v1 }}, {{ address: \"{v2}\", version: v2 }} ] }} ]"
    );
    let rules = r#"
  trafficManagement:
    rules:
      - id: moved
        conditions: [ { type: path, operator: prefix, value: /old } ]
        redirect: { host: new.example.org, port: 80, prefix: /new, status: 308 }
        responseHeaders: { set: { cache-control: no-store } }
      - id: api
        conditions: [ { type: path, operator: prefix, value: /api } ]
        destinations: [ { service: orders } ]
        rewrite: { prefix: /, host: inner.example.org }
        requestHeaders: { remove: [x-debug] }
        responseHeaders: { add: { x-rule: api } }
      - id: pages
        conditions: [ { type: path, operator: prefix, value: /pages }, { type: method, operator: equals, value: PUT } ]
        destinations: [ { service: orders } ]
        rateLimiting: { enabled: true, requestsPerSecond: 1, burstSize: 1 }
        cors: { allowOrigins: ["https://*.example.org"], allowMethods: [PUT], exposeHeaders: [x-request-id] }
      - id: half
        conditions: [ { type: path, operator: prefix, value: /half } ]
        destinations: [ { service: orders, version: v1, weight: 50 }, { service: orders, version: v2, weight: 50 } ]
canaryDeployment: { enabled: true }
"#;
    Proxy::start(&format!("{services}{rules}")).await
}

async fn get(proxy: &Proxy, path: &str, fields: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    send(proxy, "GET", path, fields).await
}

async fn send(
    proxy: &Proxy,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> (StatusCode, HeaderMap, String) {
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    let request = builder.body(Body::empty()).expect("a request");
    let response: Response<_> = connection.send(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    (
        parts.status,
        parts.headers,
        String::from_utf8_lossy(&body).into_owned(),
    )
}

const ORDERS: (&str, &str) = ("host", "orders");

#[tokio::test]
async fn what_a_rule_says_is_seen_on_both_sides() {
    let proxy = proxy().await;
    let (status, headers, _) = get(&proxy, "/%6Fld//a?b=c", &[ORDERS]).await;
    assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(headers[LOCATION], "http://new.example.org/new/a?b=c");
    assert_eq!(headers["cache-control"], "no-store");

    let (status, headers, text) = get(&proxy, "/x/../api/./7?q=1", &[ORDERS, ("x-debug", "1")]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(text, "v1 /7?q=1 inner.example.org orders -");
    assert_eq!(headers["x-rule"], "api");

    let (status, _, text) = get(&proxy, "/nowhere", &[("host", "nobody")]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        text.contains("nearest is rule") && text.contains("whose condition 1 (on the path)"),
        "{text}"
    );
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_what_it_may_and_may_read_refusals_too() {
    let proxy = proxy().await;
    let origin = ("origin", "https://shop.example.org");
    let mut asked = Vec::new();
    for (method, fields) in [
        (
            "OPTIONS",
            &[ORDERS, origin, ("access-control-request-method", "PUT")][..],
        ),
        ("PUT", &[ORDERS, origin]),
        ("PUT", &[ORDERS, origin]),
        ("PUT", &[ORDERS, ("origin", "https://evil.example")]),
    ] {
        let (status, headers, _) = send(&proxy, method, "/pages/1", fields).await;
        let allowed = headers.get("access-control-allow-origin").cloned();
        let exposed = headers.get("access-control-expose-headers").cloned();
        asked.push((status.as_u16(), allowed, exposed.is_some()));
    }
    let own = || Some("https://shop.example.org".parse().expect("valid"));
    assert_eq!(
        asked,
        [
            (204, own(), false),
            (200, own(), true),
            (429, own(), true),
            (429, None, false)
        ]
    );
    let request = [ORDERS, origin, ("access-control-request-method", "GET")];
    let (status, _, text) = send(&proxy, "OPTIONS", "/pages/1", &request).await;
    assert_eq!(status, 200, "it is the service's to answer: {text}");
}

#[tokio::test]
async fn clients_are_pinned_or_stay_where_they_were_drawn() {
    let proxy = proxy().await;
    for (field, expected) in [
        (("x-canary-user", "true"), "v2"),
        (("x-canary-user", "false"), "v1"),
        ((COOKIE.as_str(), "canary=always"), "v2"),
        ((COOKIE.as_str(), "canary=never"), "v1"),
    ] {
        for path in ["/", "/half"] {
            let (_, headers, text) = get(&proxy, path, &[ORDERS, field]).await;
            assert!(text.starts_with(expected), "{path} {field:?}: {text}");
            assert!(!headers.contains_key(SET_COOKIE), "{path} {field:?}");
        }
    }
    let mut seen = HashSet::new();
    for _ in 0..40 {
        let (_, headers, text) = get(&proxy, "/half", &[ORDERS, ("cookie", "session=1")]).await;
        let drawn = text[..2].to_owned();
        let cookie = headers[SET_COOKIE].to_str().expect("text").to_owned();
        let value = cookie.split(';').next().expect("a value");
        let (_, headers, text) = get(&proxy, "/half", &[ORDERS, ("cookie", value)]).await;
        assert_eq!(&text[..2], drawn, "it stays");
        assert!(!headers.contains_key(SET_COOKIE), "once is enough");
        seen.insert(drawn);
    }
    assert_eq!(
        seen.len(),
        2,
        "both have half: one in a trillion runs sees one only"
    );
}
