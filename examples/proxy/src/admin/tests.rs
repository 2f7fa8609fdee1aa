//! The calls, as a client makes them.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use mesh_tls::{CertAuthority, CertRequest, PrivateKey};
use mesh_traffic::router::CookieKey;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tower::ServiceExt;

use super::*;
use crate::breakers::Breakers;
use crate::faults::Faults;
use crate::fleets::Fleets;
use crate::identity::identity;
use crate::mirrors::Mirrors;
use crate::plan::Policies;
use crate::rate_limits::RateLimits;
use crate::retries::RetryBudgets;
use crate::tellers;

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
        let (telemetry, bus) = (Telemetry::new(), EventBus::default());
        let in_use = Arc::new(ArcSwap::from_pointee(in_use));
        let admin = Admin::new(in_use, Desk::default(), give, &telemetry, &bus);
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

impl Api {
    /// With a service whose only endpoint answers nobody, and one request to it that was refused.
    async fn serving() -> Self {
        let api = Self::new("").await;
        let services = "services: [{ name: orders, port: 1, endpoints: ['127.0.0.1:1', { address: '127.0.0.1:2', \
                        version: v2 }], stableVersion: v1, replicas: 3, circuitBreaker: {}, timeout: 2s }]";
        let text = format!("serviceMesh: {{ namespace: dept-barc, {services} }}");
        let config = config::parse("mesh.yaml", &text).expect("a configuration").config;
        let shown = &api.shared.shown;
        let (fleets, kept) = (Fleets::default(), Kept::default());
        let plan = Plan::compile(&config, None, &shown.telemetry, &fleets, kept.policies()).expect("a plan");
        plan.services[0]
            .fleet
            .update(plan.services[0].source.listed.clone(), Instant::now());
        shown.plan.store(Some(Arc::new(plan)));
        api
    }

    fn request(&self, path: &str, status: u16) {
        let plan = self.shared.shown.plan.load_full().expect("a plan");
        let request = Request::get(path).body(()).expect("a request");
        let metrics = plan.prepared[0]
            .metrics
            .of(mesh_core::context::Direction::Inbound);
        let mut record = metrics.begin(&request);
        record.answered(StatusCode::from_u16(status).expect("a status"), None);
    }

    /// The events of a stream, as far as they are there.
    async fn stream(&self, path: &str, until: &str) -> String {
        let request = Request::get(path).header("host", "localhost:9091");
        let request = request.body(Body::empty()).expect("a request");
        let response = self.routes.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
        let (mut body, mut text) = (response.into_body(), String::new());
        while !text.contains(until) {
            let frame = body
                .frame()
                .await
                .expect("it does not end")
                .expect("it does not break");
            text.push_str(std::str::from_utf8(&frame.into_data().expect("data")).expect("text"));
        }
        text
    }
}

/// What plans are compiled with.
#[derive(Default)]
struct Kept {
    limits: RateLimits,
    faults: Faults,
    breakers: Breakers,
    mirrors: Mirrors,
    retries: RetryBudgets,
    tellers: tellers::Compiled,
    cookie_key: Key,
}

struct Key(CookieKey);

impl Default for Key {
    fn default() -> Self {
        Self(CookieKey::new([7; CookieKey::LENGTH]))
    }
}

impl Kept {
    fn policies(&self) -> Policies<'_> {
        Policies {
            limits: &self.limits,
            faults: &self.faults,
            breakers: &self.breakers,
            mirrors: &self.mirrors,
            retries: &self.retries,
            tellers: &self.tellers,
            cookie_key: &self.cookie_key.0,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_shown_and_how_requests_went() {
    let api = Api::serving().await;
    for status in [200, 200, 200, 503] {
        api.request("/", status);
    }
    let services = api.get("/api/v1/services").await;
    let expected = json!([
        { "version": "v1", "weight": 100 },
        { "version": "v2", "weight": 0 },
    ]);
    let orders = &services["services"][0];
    assert_eq!(
        (
            &orders["name"],
            &orders["endpoints"],
            &orders["expected"],
            &orders["breaker"],
            &orders["versions"]
        ),
        (
            &json!("orders"),
            &json!(2),
            &json!(3),
            &json!("closed"),
            &expected
        )
    );
    tokio::time::advance(Duration::from_secs(2)).await;
    let stats = api.get("/api/v1/stats?service=orders").await;
    let orders = &stats["services"][0];
    assert_eq!(
        (&orders["requests"], &orders["success_rate"], &orders["rate"]),
        (&json!(4), &json!(0.75), &json!(2.0))
    );
    assert!(
        orders["p95_ms"].as_f64().is_some_and(|p95| p95 <= 1.0),
        "{orders}"
    );
    assert_eq!(orders["versions"][1]["attempts"], 0);
    let endpoints = api.get("/api/v1/endpoints").await;
    assert_eq!(endpoints["endpoints"][1]["version"], "v2");
    assert_eq!(endpoints["endpoints"][0]["state"], "healthy");
    let edges = api.get("/api/v1/edges").await;
    assert_eq!(
        (
            &edges["edges"][0]["source"],
            &edges["edges"][0]["target"],
            &edges["edges"][0]["identities"]
        ),
        (&json!("unknown"), &json!("orders"), &json!([]))
    );
    let routes = api.get("/api/v1/routes?service=orders").await;
    assert_eq!(routes["routes"][0]["timeout_ms"], 2000.0);
    let (status, problem) = api.call(Method::GET, "/api/v1/stats?service=users", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        problem["detail"].as_str().expect("text").contains("orders"),
        "{problem}"
    );
}

#[tokio::test]
async fn before_the_first_configuration_there_is_nothing_to_show() {
    let api = Api::new("").await;
    let (status, _) = api.call(Method::GET, "/api/v1/services", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn events_are_told_with_their_kind_sentence_and_fields_and_again_to_who_was_away() {
    let telemetry = Telemetry::new();
    let bus = EventBus::default();
    let api = Api::new("").await;
    let shown = Shown::new(&telemetry, &bus);
    let shared = Shared {
        shown: Arc::new(shown),
        ..api.shared.clone()
    };
    let api = Api {
        routes: routes(shared.clone()),
        shared,
        ..api
    };
    let emit = async {
        tokio::time::sleep(Duration::from_secs(25)).await;
        let (service, found, expected) = ("orders".parse().expect("a name"), 2, 3);
        bus.emit(mesh_core::MeshEvent::TooFewEndpoints {
            service,
            found,
            expected,
        });
    };
    let (told, ()) = tokio::join!(api.stream("/api/v1/events", "too_few"), emit);
    assert_eq!(
        told.matches(":\n\n").count(),
        2,
        "a heartbeat every ten seconds: {told}"
    );
    assert!(
        told.contains("id: 1\n") && told.contains("event: too_few_endpoints\n"),
        "{told}"
    );
    let data = told
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .expect("data");
    let data: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(
        data["fields"],
        json!({ "service": "orders", "found": 2.0, "expected": 3.0 })
    );
    assert_eq!(data["sentence"], "orders has 2 endpoints, expected 3");
    let request = Request::get("/api/v1/events")
        .header("host", "localhost")
        .header("last-event-id", "0");
    let again = api
        .routes
        .clone()
        .oneshot(request.body(Body::empty()).expect("a request"))
        .await;
    let frame = again
        .expect("infallible")
        .into_body()
        .frame()
        .await
        .expect("kept")
        .expect("kept");
    assert!(frame.into_data().expect("data").starts_with(b"id: 1\n"));
    let request = Request::get("/api/v1/events")
        .header("host", "localhost")
        .header("last-event-id", "x");
    let (status, _) = api.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn who_reads_for_an_hour_leaves_the_place_to_others() {
    let api = Api::serving().await;
    let ask = async |path: &str| {
        let request = Request::get(path).header("host", "localhost:9091");
        let request = request.body(Body::empty()).expect("a request");
        api.routes.clone().oneshot(request).await.expect("infallible")
    };
    for path in ["/api/v1/events", "/api/v1/tap"] {
        let begun = Instant::now();
        let mut reading = Vec::new();
        let full = loop {
            let response = ask(path).await;
            match response.status() {
                StatusCode::OK => reading.push(response.into_body()),
                status => break status,
            }
        };
        assert_eq!(full, StatusCode::SERVICE_UNAVAILABLE);
        assert!((1..=16).contains(&reading.len()), "{path}");
        for body in reading {
            let told = body.collect().await.expect("it does not break").to_bytes();
            assert!(
                told.iter().all(|byte| b":\n".contains(byte)),
                "nothing but heartbeats"
            );
        }
        assert_eq!(begun.elapsed().as_secs(), 3600, "{path}");
        assert_eq!(ask(path).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn live_requests_are_shown_by_their_filter_without_their_query() {
    let api = Api::serving().await;
    let requests = async {
        // Nobody looks before the stream is asked for.
        tokio::task::yield_now().await;
        api.request("/pay/7?card=4242", 503);
        api.request("/pay/8", 200);
        api.request("/cart", 500);
        api.request("/pay/9", 502);
    };
    let (told, ()) = tokio::join!(
        api.stream("/api/v1/tap?status=5xx&path=/pay*&method=get", "pay/9"),
        requests
    );
    assert!(
        told.contains("\"path\":\"/pay/7\"") && told.contains("\"status\":\"503\""),
        "{told}"
    );
    assert!(
        !told.contains("4242") && !told.contains("/cart") && !told.contains("/pay/8"),
        "{told}"
    );
    let (status, problem) = api.call(Method::GET, "/api/v1/tap?status=9xx", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        problem["detail"].as_str().expect("text").contains("5xx"),
        "{problem}"
    );
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
    assert!(calls.len() >= 12, "{calls:?}");
}
