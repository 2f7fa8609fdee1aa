//! The calls, as a client makes them.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use mesh_tls::{CertAuthority, CertRequest, PrivateKey};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::*;
use crate::identity::identity;

struct Api {
    routes: Router,
    shared: Shared,
    orders: mpsc::Receiver<Order>,
    _state: tempfile::TempDir,
}

impl Api {
    async fn new(mutual_tls: &str) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let directory = state.path().join("ca");
        let text = format!(
            "serviceMesh: {{ namespace: dept-barc, identity: {{ service: gate }}, {} services: [] }}",
            mutual_tls.replace("STATE", &directory.display().to_string())
        );
        let config = config::parse("mesh.yaml", &text).expect("a configuration").config;
        let in_use = identity(&config.mesh, None, &mesh_core::EventBus::new(16))
            .await
            .expect("an identity");
        let (give, orders) = orders();
        let admin = Admin::new(Arc::new(ArcSwap::from_pointee(in_use)), Desk::default(), give);
        Self {
            routes: routes(admin.shared.clone()),
            shared: admin.shared,
            orders,
            _state: state,
        }
    }

    async fn with_ca() -> Self {
        Self::new("mutualTLS: { authority: { local: {} }, stateDir: 'STATE' },").await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost:9091");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).expect("a request")).await
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.routes.clone().oneshot(request).await.expect("infallible");
        let status = response.status();
        let kind = response.headers()[CONTENT_TYPE]
            .to_str()
            .expect("text")
            .to_owned();
        let expected = if status.is_success() {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(kind, expected, "{status}");
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    fn ca(&self) -> mesh_tls::LocalCa {
        let in_use = self.shared.identity.load();
        Option::as_ref(&in_use).and_then(InUse::ca).expect("a CA").clone()
    }

    async fn issue(&self, service: &str) -> String {
        let key = PrivateKey::generate(Default::default()).await.expect("a key");
        let id = format!("spiffe://cluster.local/ns/dept-barc/sa/{service}");
        let csr = key.certificate_request().expect("a CSR");
        let day = Duration::from_secs(86_400);
        let request = CertRequest::new(csr, id.parse().expect("an ID"), day).expect("a request");
        self.ca()
            .issue(request)
            .await
            .expect("issued")
            .serial()
            .to_string()
    }
}

#[tokio::test]
async fn without_mutual_tls_there_is_no_identity_and_nothing_to_take_back() {
    let api = Api::new("").await;
    let shown = api.get("/api/v1/certificates").await;
    assert_eq!(shown, json!({ "identity": null, "authority": null }));
    for (path, body) in [("01/revoke", json!({})), ("rotate", json!({ "step": "prepare" }))] {
        let path = format!("/api/v1/certificates/{path}");
        let (status, problem) = api.call(Method::POST, &path, Some(body)).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert!(
            problem["detail"]
                .as_str()
                .expect("text")
                .contains("authority is local"),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn what_was_issued_is_listed_the_newest_first_and_can_be_taken_back() {
    let api = Api::with_ca().await;
    let (orders, billing) = (api.issue("orders").await, api.issue("billing").await);
    let shown = api.get("/api/v1/certificates").await;
    assert_eq!(
        shown["identity"]["spiffe_id"],
        "spiffe://cluster.local/ns/dept-barc/sa/gate"
    );
    let days = shown["identity"]["days_left"].as_f64().expect("a number");
    assert!((89.9..=90.0).contains(&days), "{days}");
    let authority = &shown["authority"];
    assert_eq!(authority["issued_total"], 3);
    assert_eq!(authority["issued"][0]["serial"], billing);
    assert_eq!(authority["issued"][1]["serial"], orders);
    assert_eq!(authority["generations"][0]["state"], "active");

    let path = format!("/api/v1/certificates/{orders}/revoke");
    let body = json!({ "reason": "key_compromise" });
    let (status, revoked) = api.call(Method::POST, &path, Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{revoked}");
    assert_eq!(
        (&revoked["serial"], &revoked["reason"]),
        (&json!(orders), &json!("key compromise"))
    );
    // The first reason stays.
    let (_, again) = api.call(Method::POST, &path, None).await;
    assert_eq!(again, revoked);

    let only = format!(
        "/api/v1/certificates?limit=1&spiffe_id={}",
        "spiffe://cluster.local/ns/dept-barc/sa/orders"
    );
    let listed = &api.get(&only).await["authority"]["issued"];
    assert_eq!(listed.as_array().expect("a list").len(), 1);
    assert_eq!(
        (&listed[0]["state"], &listed[0]["revoked"]["reason"]),
        (&json!("revoked"), &json!("key compromise"))
    );
}

#[tokio::test]
async fn the_ca_is_rotated_step_by_step() {
    let api = Api::with_ca().await;
    let step = async |step: &str| {
        api.call(
            Method::POST,
            "/api/v1/certificates/rotate",
            Some(json!({ "step": step })),
        )
        .await
    };
    let (status, prepared) = step("prepare").await;
    assert_eq!(
        (status, &prepared["number"], &prepared["state"]),
        (StatusCode::OK, &json!(2), &json!("prepared"))
    );
    let (status, problem) = step("prepare").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let (status, _) = step("abort").await;
    assert_eq!(status, StatusCode::OK);
    let (status, problem) = step("begin").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        problem["detail"]
            .as_str()
            .expect("text")
            .contains("expected one of prepare, activate"),
        "{problem}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_told() {
    let api = Api::with_ca().await;
    let post = |path: &'static str, body| api.call(Method::POST, path, Some(body));
    let cases = [
        (
            post("/api/v1/certificates/xyz/revoke", json!({})).await,
            400,
            "no serial number",
        ),
        (post("/api/v1/certificates/07/revoke", json!({})).await, 404, "07"),
        (
            post("/api/v1/certificates/07/revoke", json!({ "why": 1 })).await,
            422,
            "unknown field",
        ),
        (
            post("/api/v1/certificates/07/revoke", json!({ "reason": "hold" })).await,
            400,
            "expected one of unspecified",
        ),
        (
            post("/api/v1/certificates/rotate", json!("x".repeat(BODY))).await,
            413,
            "limit",
        ),
        (
            api.call(Method::GET, "/api/v1/nothing", None).await,
            404,
            "openapi.json",
        ),
        (
            api.call(Method::DELETE, "/api/v1/certificates", None).await,
            405,
            "does not take DELETE",
        ),
        (
            api.call(Method::GET, "/api/v1/certificates?limit=few", None)
                .await,
            400,
            "limit",
        ),
    ];
    for ((status, problem), expected, why) in cases {
        assert_eq!(status, expected, "{problem}");
        assert_eq!(problem["status"], expected);
        assert!(
            problem["detail"].as_str().expect("text").contains(why),
            "{problem}"
        );
    }
    let rebound = Request::builder()
        .uri("/api/v1/certificates")
        .header("host", "rebound.example.org");
    let (status, _) = api.send(rebound.body(Body::empty()).expect("a request")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_process_is_told_to_read_its_configuration_and_says_what_came_of_it() {
    let mut api = Api::new("").await;
    for (answer, expected) in [(Ok(()), 200), (Err("mesh.yaml:1:1: no such key".to_owned()), 422)] {
        let (routes, shared) = (api.routes.clone(), api.shared.clone());
        let asking = Api {
            routes,
            shared,
            orders: orders().1,
            _state: tempfile::tempdir().expect("a directory"),
        };
        let call = asking.call(Method::POST, "/api/v1/config/reload", None);
        let process = async {
            match api.orders.recv().await {
                Some(Order::Reload(said)) => said.send(answer.clone()).expect("waited for"),
                other => panic!("{other:?}"),
            }
        };
        let ((status, body), ()) = tokio::join!(call, process);
        assert_eq!(status, expected);
        match &answer {
            Ok(()) => assert_eq!(body, json!({ "reloaded": true })),
            Err(report) => assert_eq!(body["detail"], *report),
        }
    }
    let (status, _) = api.call(Method::POST, "/api/v1/drain", None).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(matches!(api.orders.recv().await, Some(Order::Drain)));
    drop(std::mem::replace(&mut api.orders, orders().1));
    let (status, problem) = api.call(Method::POST, "/api/v1/drain", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
}

#[tokio::test]
async fn every_call_is_described_with_its_answers() {
    let document = Api::new("").await.get("/api/v1/openapi.json").await;
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, call) in methods.as_object().expect("methods") {
            let summary = call["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{method} {path} says nothing");
            assert!(
                call["responses"]
                    .as_object()
                    .is_some_and(|responses| !responses.is_empty()),
                "{method} {path}"
            );
            calls.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/admin-api.md"))
        .expect("the page");
    for call in &calls {
        assert!(
            page.contains(&format!("`{}`", call.replace("/api/v1/", ""))),
            "docs/admin-api.md does not tell of {call}"
        );
    }
    assert!(calls.len() >= 5, "{calls:?}");
}
