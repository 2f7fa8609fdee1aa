//! The mesh's own headers: what the application sees, and what a client cannot make it see.

use axum::body::Body;
use e2e::{Connection, Proxy, serve};
use http::header::HOST;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use sample_service::{Instance, router};
use serde_json::Value;

/// Sends a request with these headers, and returns those that arrived with it and those of the answer.
async fn headers(sent: &[(&str, &str)]) -> (Value, HeaderMap) {
    let app = serve(router(Instance {
        name: "a".into(),
        version: "v1".into(),
    }))
    .await;
    let proxy = Proxy::start(&format!(
        "[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{app}\"], timeout: 15s }} ]"
    ))
    .await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    let mut request = Request::get("/headers").header(HOST, "app");
    for (name, value) in sent {
        request = request.header(*name, *value);
    }
    let answer = connection
        .send(request.body(Body::empty()).expect("a request"))
        .await
        .expect("served");
    assert_eq!(answer.status(), StatusCode::OK);
    let (head, body) = answer.into_parts();
    let arrived = body.collect().await.expect("a whole body").to_bytes();
    (serde_json::from_slice(&arrived).expect("JSON"), head.headers)
}

/// The one value of a header.
fn one<'a>(arrived: &'a Value, name: &str) -> &'a str {
    match arrived[name].as_array().map(Vec::as_slice) {
        Some([value]) => value.as_str().expect("text"),
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn the_application_sees_who_asked_and_what_for() {
    let (arrived, answer) = headers(&[("x-own", "kept")]).await;
    assert_eq!(one(&arrived, "x-own"), "kept");
    assert_eq!(one(&arrived, "x-source-service"), "unknown");
    assert_eq!(one(&arrived, "x-target-service"), "app");
    assert_eq!(one(&arrived, "x-forwarded-for"), "127.0.0.1");
    assert_eq!(one(&arrived, "x-forwarded-proto"), "http");
    assert_eq!(one(&arrived, "x-mesh-mtls"), "false");
    // Without it, it is the first attempt.
    assert_eq!(arrived["x-mesh-attempt"], Value::Null);
    let left: u64 = one(&arrived, "x-mesh-deadline-ms").parse().expect("milliseconds");
    assert!((1..=15_000).contains(&left), "{left} of 15 s are left");
    assert!(!one(&arrived, "x-service-mesh-version").is_empty());
    assert_eq!(arrived["x-mesh-cert-fingerprint"], Value::Null);
    assert_eq!(arrived["x-forwarded-client-cert"], Value::Null);

    let trace: Vec<_> = one(&arrived, "traceparent").split('-').collect();
    assert_eq!(trace[1], one(&arrived, "x-trace-id"));
    assert_eq!(trace[2], one(&arrived, "x-span-id"));

    assert_eq!(answer["x-request-id"], one(&arrived, "x-request-id"));
    assert_eq!(
        answer["x-service-mesh-version"],
        one(&arrived, "x-service-mesh-version")
    );
    assert_eq!(answer["x-mesh-mtls"], "false");
}

#[tokio::test]
async fn what_a_client_claims_about_the_mesh_does_not_arrive() {
    let spoofed = [
        ("x-request-id", "spoofed"),
        ("x-trace-id", "spoofed"),
        ("x-span-id", "spoofed"),
        ("x-source-service", "spoofed"),
        ("x-target-service", "spoofed"),
        ("x-forwarded-for", "192.0.2.66"),
        ("x-forwarded-proto", "spoofed"),
        ("x-forwarded-client-cert", "By=spoofed"),
        ("x-service-mesh-version", "spoofed"),
        ("x-mesh-mtls", "true"),
        ("x-mesh-cert-fingerprint", "spoofed"),
        ("x-mesh-attempt", "66"),
        ("x-mesh-deadline-ms", "99999999"),
        ("x-mesh-error", "spoofed"),
    ];
    let (arrived, answer) = headers(&spoofed).await;
    for (name, value) in spoofed {
        let values = arrived[name].as_array().map_or(&[][..], Vec::as_slice);
        let spoofed = values
            .iter()
            .any(|seen| seen.as_str().expect("text").contains(value));
        assert!(!spoofed, "{name} arrived as {values:?}");
    }
    assert_eq!(one(&arrived, "x-source-service"), "unknown");
    assert_eq!(one(&arrived, "x-mesh-mtls"), "false");
    assert_ne!(answer["x-request-id"], "spoofed");
}

#[tokio::test]
async fn a_trace_begun_by_the_client_goes_on() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let sent = format!("00-{trace}-b7ad6b7169203331-01");
    let (arrived, _) = headers(&[("traceparent", &sent), ("tracestate", "vendor=1")]).await;
    assert_eq!(one(&arrived, "x-trace-id"), trace);
    assert!(
        one(&arrived, "traceparent").starts_with(&format!("00-{trace}-")),
        "{arrived}"
    );
    assert_eq!(one(&arrived, "tracestate"), "vendor=1");
}
