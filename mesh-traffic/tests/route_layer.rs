//! The layer in front of a service.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, Request, Response};
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::context::Target;
use mesh_core::reject::refusal_of;
use mesh_core::testkit::NotReadyClone;
use mesh_core::{ErrorKind, Live, MeshContext, PeerInfo, ServiceName, SpiffeId, live};
use mesh_traffic::router::{
    CookieKey, HeaderEdits, Operator, PathChange, Pins, Redirect, Respond, Rewrite, Split, Subject,
};
use mesh_traffic::{
    Condition, Decision, Destination, LiveSplit, RouteLayer, RouteTable, Routes, Rule, RuleAction, Service,
};
use tokio::time::Instant;
use tower::{Service as _, ServiceExt, service_fn};
use tower_layer::Layer;

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("a name")
}

fn path_rule(id: &str, prefix: &str, action: RuleAction) -> Rule {
    let condition = Condition::new(Subject::Path, Operator::Prefix, [prefix]).expect("a condition");
    Rule::new(id, action).expect("an id").with_condition(condition)
}

fn table() -> RouteTable {
    let answer = Respond::new(410)
        .and_then(|answer| answer.with_body("gone\n"))
        .and_then(|answer| answer.with_header("cache-control", "no-store"))
        .expect("an answer");
    let to_v2 = Destination::new(name("orders-v2"), 100);
    let frontend =
        Condition::new(Subject::SourceService, Operator::Equals, ["frontend"]).expect("a condition");
    let split = RuleAction::Split(Split::new([to_v2]).expect("weights add up"));
    RouteTable::new(
        "dept-barc",
        [Service::new(name("orders")).with_timeout(Some(Duration::from_secs(15)))],
        [
            path_rule("gone", "/gone", RuleAction::Respond(answer)),
            path_rule("quick", "/quick", split.clone()).with_timeout(Some(Duration::from_secs(1))),
            Rule::new("frontend", split)
                .expect("an id")
                .with_condition(frontend),
        ],
    )
    .expect("a table")
}

/// Answers with the context it was called with.
fn echo()
-> impl Clone + tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> {
    service_fn(async |request: Request<Body>| {
        let mut response = Response::new(Body::full("inner"));
        if let Some(context) = request.extensions().get::<MeshContext>() {
            response.extensions_mut().insert(context.clone());
        }
        if let Some(prepared) = request.extensions().get::<Prepared>() {
            response.extensions_mut().insert(*prepared);
        }
        Ok(response)
    })
}

fn context<B>(response: &Response<B>) -> &MeshContext {
    response.extensions().get().expect("the inner service was called")
}

fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::empty()).expect("a request")
}

async fn call<T: Routes>(
    layer: &RouteLayer<T>,
    request: Request<Body>,
) -> Response<mesh_core::reject::RejectBody<Body>> {
    layer.layer(echo()).oneshot(request).await.expect("infallible")
}

#[tokio::test(start_paused = true)]
async fn a_decided_request_carries_its_target_and_its_deadline() {
    let layer = RouteLayer::new(Live::fixed(table()));
    let received = Instant::now();
    let mut request = get("http://orders/x");
    request.extensions_mut().insert(MeshContext::new(received));
    tokio::time::advance(Duration::from_secs(3)).await;

    let response = call(&layer, request).await;
    assert_eq!(context(&response).target, Some(Target::service(name("orders"))));
    assert_eq!(
        context(&response).deadline,
        Some(received + Duration::from_secs(15))
    );
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, "inner");
}

#[tokio::test(start_paused = true)]
async fn a_rule_decides_version_and_time_limit() {
    let layer = RouteLayer::new(Live::fixed(table()));
    let response = call(&layer, get("http://orders/quick")).await;
    let target = context(&response).target.as_ref().expect("decided");
    assert_eq!(
        target.version.as_ref().map(|version| version.as_str()),
        Some("v2")
    );
    assert_eq!(target.route.as_deref(), Some("quick"));
    assert_eq!(
        context(&response).deadline,
        Some(Instant::now() + Duration::from_secs(1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_never_moved_back() {
    let layer = RouteLayer::new(Live::fixed(table()));
    let soon = Instant::now() + Duration::from_millis(10);
    let mut request = get("http://orders/quick");
    let mut given = MeshContext::new(Instant::now());
    given.deadline = Some(soon);
    request.extensions_mut().insert(given);
    assert_eq!(context(&call(&layer, request).await).deadline, Some(soon));
}

#[tokio::test]
async fn a_rules_own_answer_is_given_without_the_inner_service() {
    let layer = RouteLayer::new(Live::fixed(table()));
    let response = call(&layer, get("http://orders/gone/x")).await;
    assert_eq!(response.status(), 410);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(
        !response.headers().contains_key("x-mesh-error"),
        "it is the operator's answer"
    );
    assert!(
        response.extensions().get::<MeshContext>().is_none(),
        "the inner service was called"
    );
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, "gone\n");
}

#[tokio::test]
async fn nothing_that_matches_is_refused_with_host_and_path() {
    let layer = RouteLayer::new(Live::fixed(table()));
    let response = call(&layer, get("http://nobody.example/x?secret=1")).await;
    assert_eq!(response.status(), 404);
    assert_eq!(refusal_of(&response), Some(ErrorKind::NoRoute));
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem document");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("nobody.example") && detail.contains("/x"),
        "{detail}"
    );
    assert!(!detail.contains("secret"), "queries hold secrets: {detail}");
}

#[tokio::test]
async fn a_grpc_call_is_refused_in_its_own_language() {
    let layer = RouteLayer::new(Live::fixed(table()));
    let mut request = get("http://nobody.example/pkg.Service/Method");
    request
        .headers_mut()
        .insert("content-type", "application/grpc".parse().expect("a value"));
    let response = call(&layer, request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "12");
}

#[tokio::test]
async fn what_is_decided_already_is_not_decided_again() {
    let layer = RouteLayer::new(Live::fixed(table()));
    let decided = Target::service(name("elsewhere"));
    let mut given = MeshContext::new(Instant::now());
    given.target = Some(decided.clone());
    let mut request = get("http://nobody.example/gone");
    request.extensions_mut().insert(given);
    assert_eq!(context(&call(&layer, request).await).target, Some(decided));
}

#[tokio::test]
async fn the_source_is_the_verified_identity_and_never_a_header() {
    let layer = RouteLayer::new(Live::fixed(table()));
    let mut forged = get("http://orders/x");
    forged
        .headers_mut()
        .insert("x-source-service", "frontend".parse().expect("a value"));
    let response = call(&layer, forged).await;
    assert_eq!(
        context(&response)
            .target
            .as_ref()
            .and_then(|target| target.route.as_deref()),
        None
    );

    let identity = SpiffeId::of_service("cluster.local", "dept-barc", "frontend").expect("an identity");
    let peer = PeerInfo::mtls("192.0.2.1:1".parse().expect("an address"), identity, "ab", "01");
    let mut given = MeshContext::new(Instant::now());
    given.peer = Some(Arc::new(peer));
    let mut proven = get("http://orders/x");
    proven.extensions_mut().insert(given);
    let response = call(&layer, proven).await;
    let route = context(&response)
        .target
        .as_ref()
        .and_then(|target| target.route.as_deref());
    assert_eq!(route, Some("frontend"));
}

#[tokio::test]
async fn a_published_table_decides_the_next_request() {
    let (publisher, routes) = live(RouteTable::new("dept-barc", [], []).expect("a table"));
    let service = RouteLayer::new(routes).layer(echo());
    let before = service
        .clone()
        .oneshot(get("http://orders/"))
        .await
        .expect("infallible");
    assert_eq!(before.status(), 404);
    publisher.publish(table());
    let after = service.oneshot(get("http://orders/")).await.expect("infallible");
    assert_eq!(context(&after).target, Some(Target::service(name("orders"))));
}

/// What a user prepared for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prepared(usize);

struct PreparedRoutes {
    table: RouteTable,
    prepared: Vec<Prepared>,
}

impl Routes for PreparedRoutes {
    fn table(&self) -> &RouteTable {
        &self.table
    }

    fn attach(&self, decision: &Decision, extensions: &mut Extensions) {
        extensions.insert(self.prepared[decision.index()]);
    }
}

#[tokio::test]
async fn what_was_prepared_for_a_decision_comes_with_it() {
    let table = table();
    let prepared = (0..table.decisions().len())
        .map(|index| Prepared(index * 10))
        .collect();
    let quick = table
        .decisions()
        .iter()
        .position(|decision| decision.rule() == Some("quick"))
        .expect("a rule");
    let layer = RouteLayer::new(Live::fixed(PreparedRoutes { table, prepared }));
    for (uri, index) in [("http://orders/", 0), ("http://orders/quick", quick)] {
        let response = call(&layer, get(uri)).await;
        assert_eq!(response.extensions().get(), Some(&Prepared(index * 10)), "{uri}");
    }
}

#[tokio::test]
async fn the_clone_that_was_ready_is_the_one_that_is_called() {
    let mut service = RouteLayer::new(Live::fixed(table())).layer(NotReadyClone::new(echo()));
    for _ in 0..3 {
        let ready = service.ready().await.expect("infallible");
        let response = ready.call(get("http://orders/")).await.expect("infallible");
        assert_eq!(response.status(), 200);
        let other = service
            .clone()
            .oneshot(get("http://orders/"))
            .await
            .expect("infallible");
        assert_eq!(other.status(), 200);
    }
}

/// Answers with the path, the host and the team it was called with.
fn mirror()
-> impl Clone + tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> {
    service_fn(async |request: Request<Body>| {
        let field = |name: &str| {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or("-").to_owned()
        };
        let seen = format!("{} {} {}", request.uri(), field("host"), field("x-team"));
        Ok::<_, Infallible>(
            Response::builder()
                .header("server", "app")
                .body(Body::full(seen))
                .expect("valid"),
        )
    })
}

fn changing() -> RouteTable {
    let split =
        RuleAction::Split(Split::new([Destination::new(name("orders"), 100)]).expect("weights add up"));
    let rewrite = Rewrite::new()
        .with_path(PathChange::prefix("/v2").expect("a path"))
        .with_host("inner.example.org".parse().expect("a host"));
    let edits = HeaderEdits::new().set("x-team", "payments").expect("allowed");
    let back = HeaderEdits::new()
        .remove("server")
        .and_then(|edits| edits.add("x-rule", "api"));
    let redirect = Redirect::new(308)
        .expect("a status")
        .with_scheme(http::uri::Scheme::HTTPS);
    let service = Service::new(name("orders"))
        .with_pins(Pins::default().sticky(CookieKey::new([7; CookieKey::LENGTH])))
        .with_split(LiveSplit::new(
            name("orders"),
            Some("v1".parse().expect("a version")),
            ["v2".parse().expect("a version")],
        ));
    let half = Split::new(["v1", "v2"].map(|version| {
        Destination::new(name("orders"), 50).with_version(Some(version.parse().expect("a version")))
    }));
    RouteTable::new(
        "dept-barc",
        [service],
        [
            path_rule("api", "/v1", split)
                .with_rewrite(rewrite)
                .with_request_headers(edits)
                .with_response_headers(back.clone().expect("allowed")),
            path_rule("secure", "/secure", RuleAction::Redirect(redirect))
                .with_response_headers(back.expect("allowed")),
            path_rule("half", "/half", RuleAction::Split(half.expect("weights add up"))),
        ],
    )
    .expect("a table")
}

async fn called(request: http::request::Builder) -> Response<mesh_core::reject::RejectBody<Body>> {
    let app = RouteLayer::new(Live::fixed(changing())).layer(mirror());
    let request = request.body(Body::empty()).expect("a request");
    app.oneshot(request).await.expect("it never fails")
}

async fn text(response: Response<mesh_core::reject::RejectBody<Body>>) -> String {
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test]
async fn the_service_behind_sees_the_changed_request_and_the_client_the_changed_response() {
    let response = called(Request::get("/v1/x?q").header("host", "orders")).await;
    assert_eq!(response.headers()["x-rule"], "api");
    assert!(!response.headers().contains_key("server"));
    assert_eq!(text(response).await, "/v2/x?q inner.example.org payments");
    let other = called(Request::get("/other").header("host", "orders")).await;
    assert_eq!(other.headers()["server"], "app");
    assert_eq!(text(other).await, "/other orders -");
}

#[tokio::test]
async fn a_redirect_is_answered_here_and_changed_too() {
    let response = called(Request::get("/secure/a?b").header("host", "orders:80")).await;
    assert_eq!(response.status(), 308);
    assert_eq!(response.headers()["location"], "https://orders/secure/a?b");
    assert_eq!(response.headers()["x-rule"], "api");
}

#[tokio::test]
async fn a_client_gets_a_cookie_once_and_stays() {
    let first = called(
        Request::get("/half")
            .header("host", "orders")
            .header("cookie", "a=b"),
    )
    .await;
    let cookie = first.headers()["set-cookie"].to_str().expect("text").to_owned();
    let (value, rest) = cookie.split_once(';').expect("attributes");
    assert_eq!(rest, " Path=/; HttpOnly; SameSite=Lax");
    assert!(
        value.starts_with("canary=") && value.len() == "canary=".len() + 64,
        "{value}"
    );
    let again = called(
        Request::get("/half")
            .header("host", "orders")
            .header("cookie", value),
    )
    .await;
    assert!(!again.headers().contains_key("set-cookie"));
    let whole = called(Request::get("/other").header("host", "orders")).await;
    assert!(
        !whole.headers().contains_key("set-cookie"),
        "there is nothing to stay with"
    );
}

#[tokio::test]
async fn an_axum_router_behind_the_layer_is_asked_for_the_changed_path() {
    let router = axum::Router::new().route("/v2/x", axum::routing::get(async || "new"));
    let app = RouteLayer::new(Live::fixed(changing())).layer(router);
    let request = Request::get("/v1/x")
        .header("host", "orders")
        .body(axum::body::Body::empty());
    let response = app
        .oneshot(request.expect("a request"))
        .await
        .expect("it never fails");
    assert_eq!(response.status(), 200);
}
