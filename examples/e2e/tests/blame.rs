//! What clients do is not held against endpoints and services, and no field of theirs walks around a policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use e2e::{Connection, Proxy, serve};
use futures_util::{StreamExt, stream};
use http::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use tokio::time::sleep;

const SLOW: Duration = Duration::from_millis(300);

struct Mesh {
    proxy: Proxy,
    asked: Arc<AtomicUsize>,
}

impl Mesh {
    /// Two endpoints, and a rule that changes what goes back.
    async fn start(keys: &str) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let mut endpoints = Vec::new();
        for _ in 0..2 {
            let asking = Arc::clone(&asked);
            let count = move || async move { asking.fetch_add(1, Ordering::SeqCst).to_string() };
            let told = async || {
                let fields = [("x-internal", "secret"), ("access-control-allow-origin", "*")];
                (fields, "plain").into_response()
            };
            let app = Router::new()
                .route("/told", get(told))
                .route("/count", post(count))
                .route("/slow", post(async || sleep(SLOW).await))
                .route("/upload", post(async |_: Bytes| sleep(SLOW / 3).await))
                .route("/failing", get(async || StatusCode::SERVICE_UNAVAILABLE));
            endpoints.push(format!("\"{}\"", serve(app).await));
        }
        let services = format!(
            r#"
    - {{ name: app, port: 1, hosts: [app], endpoints: [{}], {keys} }}
  trafficManagement:
    rules:
      - id: told
        conditions: [ {{ type: path, operator: prefix, value: /told }} ]
        destinations: [ {{ service: app }} ]
        responseHeaders: {{ remove: [x-internal], set: {{ x-frame-options: DENY }} }}
        cors: {{ allowOrigins: ["https://shop.example.org"] }}"#,
            endpoints.join(", ")
        );
        Self {
            proxy: Proxy::start(&services).await,
            asked,
        }
    }

    async fn send(&self, request: http::request::Builder, body: Body) -> (u16, HeaderMap, Bytes) {
        let mut connection = Connection::http1(self.proxy.address).await.expect("listening");
        let request = request.header(HOST, "app").body(body).expect("a request");
        let answer = connection.send(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        (head.status.as_u16(), head.headers, body)
    }

    /// Nobody is ejected, and the service does not rest.
    async fn assert_well(&self) {
        let (status, ..) = self.send(Request::get("/told"), Body::empty()).await;
        assert_eq!(status, 200);
        let ejected = self
            .proxy
            .sum("service_mesh_endpoints", &[("state", "ejected")])
            .await;
        let open = self.proxy.sum("service_mesh_circuit_breaker_open", &[]).await;
        assert_eq!(
            (ejected.to_string(), open.to_string()),
            ("0".to_owned(), "0".to_owned())
        );
    }
}

#[tokio::test]
async fn who_asks_for_an_upgrade_in_vain_gets_an_answer_like_any_other() {
    let mesh = Mesh::start("timeout: 5s").await;
    for upgrade in [false, true] {
        let mut request = Request::get("/told");
        if upgrade {
            request = request.header(CONNECTION, "upgrade").header(UPGRADE, "websocket");
        }
        let (status, headers, body) = mesh.send(request, Body::empty()).await;
        assert_eq!((status, &*body), (200, &b"plain"[..]));
        assert_eq!(headers["x-frame-options"], "DENY", "upgrade: {upgrade}");
        for name in ["x-internal", "access-control-allow-origin"] {
            assert!(!headers.contains_key(name), "{name}, upgrade: {upgrade}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_waits_less_than_a_service_takes_is_not_held_against_its_endpoints() {
    let mesh = Mesh::start("circuitBreaker: { consecutiveFailures: 3 }").await;
    for _ in 0..12 {
        let request = Request::post("/slow")
            .header(CONTENT_TYPE, "application/grpc")
            .header("grpc-timeout", "20m");
        let (status, headers, _) = mesh.send(request, Body::empty()).await;
        assert_eq!(
            (status, &headers["grpc-status"]),
            (200, &"4".parse().expect("a value"))
        );
        // In what is no call of gRPC the field means nothing.
        let request = Request::post("/count").header("grpc-timeout", "0n");
        assert_eq!(mesh.send(request, Body::empty()).await.0, 200);
    }
    mesh.assert_well().await;
}

#[tokio::test]
async fn a_call_that_is_too_late_already_is_not_sent() {
    let mesh = Mesh::start("timeout: 5s").await;
    let request = Request::post("/count")
        .header(CONTENT_TYPE, "application/grpc")
        .header("grpc-timeout", "0n");
    let (_, headers, _) = mesh.send(request, Body::empty()).await;
    assert_eq!(headers["grpc-status"], "4");
    assert_eq!(mesh.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_time_a_client_takes_for_its_upload_is_not_the_services() {
    let mesh = Mesh::start("timeout: 400ms, circuitBreaker: { consecutiveFailures: 3 }").await;
    let late = SLOW + Duration::from_millis(80);
    let piece = || Ok::<_, std::io::Error>(Bytes::from_static(b"half"));
    for stalls in [Some(late), None] {
        // At once, since each takes its time.
        let uploads = (0..8).map(|_| {
            let rest = stream::once(async move {
                match stalls {
                    Some(stalls) => sleep(stalls).await,
                    None => std::future::pending().await,
                }
                piece()
            });
            let body = Body::from_stream(stream::iter([piece()]).chain(rest));
            mesh.send(Request::post("/upload"), body)
        });
        for (status, ..) in futures_util::future::join_all(uploads).await {
            assert_eq!(status, 504);
        }
    }
    mesh.assert_well().await;
}

#[tokio::test]
async fn a_request_counts_once_for_the_breaker_however_often_it_was_tried() {
    let mesh = Mesh::start(
        "retry: { attempts: 4 }, outlierDetection: { enabled: false }, circuitBreaker: { consecutiveFailures: 2 }",
    )
    .await;
    let (status, ..) = mesh.send(Request::get("/failing"), Body::empty()).await;
    assert_eq!(status, 503);
    mesh.assert_well().await;
    for expected in ["service_unavailable", "service_unavailable", "circuit_open"] {
        let (status, headers, _) = mesh.send(Request::get("/failing"), Body::empty()).await;
        let code = headers
            .get("x-mesh-error")
            .map_or("service_unavailable", |code| code.to_str().expect("text"));
        assert_eq!((status, code), (503, expected));
    }
}
