//! What the versions of a service made of its requests, as the admin API tells it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use e2e::{Connection, Proxy, listen, serve};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

/// Answers every other request with 503.
async fn every_other() -> SocketAddr {
    let asked = Arc::new(AtomicUsize::new(0));
    serve(Router::new().fallback(any(move || {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            match number % 2 {
                0 => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::OK,
            }
        }
    })))
    .await
}

async fn ask(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> (u16, Vec<u8>) {
    let mut connection = Connection::http1(address).await.expect("it listens");
    let mut request = Request::get(path);
    if !fields.iter().any(|(name, _)| *name == "host") {
        request = request.header(HOST, "localhost");
    }
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = connection
        .send(request.body(Body::empty()).expect("a request"))
        .await;
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("whole").to_bytes();
    (status, body.to_vec())
}

#[tokio::test]
async fn each_attempt_counts_for_the_version_that_met_it_and_who_asked_for_one_is_counted_apart() {
    let (v1, nobody, admin) = (every_other().await, listen().await.1, listen().await.1);
    let services = format!(
        "[ {{ name: app, port: 1, hosts: [\"*\"], stableVersion: v1, retry: {{ attempts: 1 }}, endpoints: \
         [ {{ address: \"{v1}\", version: v1 }}, {{ address: \"{nobody}\", version: v2 }} ] }} ]\n  admin: {{ bind: \"{admin}\" }}"
    );
    let proxy = Proxy::start(&services).await;
    for _ in 0..3 {
        let (status, _) = ask(proxy.address, "/", &[("host", "app")]).await;
        assert_eq!(status, 200, "healed by a retry");
    }
    let (status, _) = ask(proxy.address, "/", &[("host", "app"), ("x-canary-user", "true")]).await;
    assert!(status >= 500, "nobody is there");

    let (status, stats) = ask(admin, "/api/v1/stats?service=app", &[]).await;
    assert_eq!(status, 200);
    let stats: Value = serde_json::from_slice(&stats).expect("JSON");
    let app = &stats["services"][0];
    assert_eq!(app["requests"], 4, "{app}");
    let [v1, v2] = [&app["versions"][0], &app["versions"][1]];
    assert_eq!(
        (&v1["version"], &v1["attempts"], &v1["errors"], &v1["pinned"]),
        (&json!("v1"), &json!(6), &json!(3), &json!(0)),
        "three failures and three retries: {app}"
    );
    assert_eq!(
        (&v2["version"], &v2["attempts"], &v2["errors"]),
        (&json!("v2"), &json!(0), &json!(0))
    );
    assert!(v2["pinned"].as_u64().is_some_and(|pinned| pinned >= 1), "{app}");

    let (_, edges) = ask(admin, "/api/v1/edges", &[]).await;
    let edges: Value = serde_json::from_slice(&edges).expect("JSON");
    assert_eq!(edges["edges"][0]["source"], "unknown");
    assert_eq!(edges["edges"][0]["requests"], 4);
}
