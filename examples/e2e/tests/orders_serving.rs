//! The order of layers on the side that serves, as docs/layers.md has it: for each reason given there, what happens in
//! that order, and what would happen in the other one.
//!
//! `Server` needs no test: it is no layer, and nothing can stand outside of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use e2e::Series;
use http::{Request, Response};
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::edge::EdgeLayer;
use mesh_core::event::EventBus;
use mesh_core::forwarded::Trust;
use mesh_core::testkit::{Calls, Scripted, Step};
use mesh_core::{BoxError, KeyBy, Live, MeshContext, PeerInfo, ServiceName, SpiffeId};
use mesh_telemetry::Telemetry;
use mesh_tls::authorize::{AuthorizationPolicy, AuthorizeLayer, Rule as Allowance};
use mesh_traffic::limit::{RedisStore, SharedLimitLayer, SharedLimiter};
use mesh_traffic::router::{Operator, PathChange, Respond, Rewrite, Split, Subject};
use mesh_traffic::{
    Condition, DeadlineLayer, Destination, Quota, RateLimitLayer, RateLimiter, RouteLayer, RouteTable, Rule,
    RuleAction, Service as Routed,
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

#[path = "orders_serving/carry.rs"]
mod carry;
#[path = "orders_serving/compression.rs"]
mod compression;
#[path = "orders_serving/concurrency.rs"]
mod concurrency;

const SECOND: Duration = Duration::from_secs(1);

type Inner = Scripted<Request<Body>, Response<Body>, Infallible>;
type Record = Calls<Request<Body>, Response<Body>, Infallible>;

fn orders() -> ServiceName {
    ServiceName::new("orders").expect("a name")
}

fn edge() -> EdgeLayer {
    EdgeLayer::new(orders())
}

/// A request of this service of the mesh.
fn of(service: &str, path: &str) -> Request<Body> {
    let identity = SpiffeId::of_service("mesh", "shop", service).expect("valid parts");
    let peer = PeerInfo::mtls(([127, 0, 0, 1], 5555).into(), identity, "ab12", "01");
    let mut context = MeshContext::new(Instant::now());
    context.peer = Some(Arc::new(peer));
    let request = Request::get(path).header("host", "orders").extension(context);
    request.body(Body::empty()).expect("a request")
}

fn request(path: &str) -> Request<Body> {
    of("frontend", path)
}

/// Answers with the path it was asked for.
fn app() -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone {
    service_fn(async |request: Request<Body>| Ok(Response::new(Body::full(request.uri().path().to_owned()))))
}

fn scripted(steps: impl IntoIterator<Item = Step<(), Infallible>>) -> (Inner, Record) {
    let answer = || Response::new(Body::full("done"));
    Scripted::new(steps.into_iter().map(|step| match step {
        Step::AnswerAfter(wait, ()) => Step::AnswerAfter(wait, answer()),
        Step::Hang => Step::Hang,
        _ => Step::Answer(answer()),
    }))
}

/// Status and body of the answer.
async fn ask<S, B>(service: &S, request: Request<Body>) -> (u16, String)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let Ok(response) = service.clone().oneshot(request).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(Into::into);
    let body = body.expect("whole").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn status<S, B>(service: &S, request: Request<Body>) -> u16
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    ask(service, request).await.0
}

/// Rules by prefixes of paths, and the service `orders`.
fn rules(
    rules: impl IntoIterator<Item = (&'static str, RuleAction, Rewrite)>,
    limit: Option<Duration>,
) -> RouteLayer {
    let rules = rules.into_iter().map(|(prefix, action, rewrite)| {
        let path = Condition::new(Subject::Path, Operator::Prefix, [prefix]).expect("a condition");
        let rule = Rule::new(prefix, action).expect("an id");
        rule.with_condition(path).with_rewrite(rewrite)
    });
    let orders = Routed::new(orders()).with_timeout(limit);
    RouteLayer::new(Live::fixed(
        RouteTable::new("shop", [orders], rules).expect("a table"),
    ))
}

fn forbids(prefix: &'static str) -> RouteLayer {
    let no = RuleAction::Respond(Respond::new(403).expect("a status"));
    rules([(prefix, no, Rewrite::new())], None)
}

fn rewrites(from: &'static str, to: &str) -> RouteLayer {
    let on = Split::new([Destination::new(orders(), 100)]).expect("all of it");
    let to = Rewrite::new().with_path(PathChange::prefix(to).expect("a path"));
    rules([(from, RuleAction::Split(on), to)], None)
}

fn within(limit: Duration) -> RouteLayer {
    rules([], Some(limit))
}

fn authorize(rules: impl IntoIterator<Item = Allowance>) -> AuthorizeLayer {
    AuthorizeLayer::new(AuthorizationPolicy::new(rules).expect("a policy"))
}

/// One request, and no other within a minute.
fn one() -> Quota {
    Quota::per_minute(1)
        .and_then(|quota| quota.burst(1))
        .expect("a quota")
}

/// How many requests were counted, and how many are under way.
fn counted(telemetry: &Telemetry) -> (f64, f64) {
    let page = Series::all(&telemetry.render());
    let sum = |name| {
        page.iter()
            .filter(|series| series.is(name, &[]))
            .map(|series| series.value)
            .sum()
    };
    (
        sum("service_mesh_requests_total"),
        sum("service_mesh_requests_in_flight"),
    )
}

#[tokio::test]
async fn rules_outside_of_the_edge_are_walked_around_by_another_spelling() {
    let asked = "/shop/../admin/users";
    let right = edge().layer(forbids("/admin").layer(app()));
    assert_eq!(status(&right, request(asked)).await, 403);
    let wrong = forbids("/admin").layer(edge().layer(app()));
    assert_eq!(
        ask(&wrong, request(asked)).await,
        (200, "/admin/users".to_owned())
    );
}

#[tokio::test]
async fn authorization_outside_of_the_edge_refuses_another_spelling_of_what_it_allows() {
    let allows = || authorize([Allowance::allow("orders").paths(["/orders/**"])]);
    let right = edge().layer(allows().layer(app()));
    assert_eq!(status(&right, request("/x/../orders/7")).await, 200);
    let wrong = allows().layer(edge().layer(app()));
    assert_eq!(status(&wrong, request("/x/../orders/7")).await, 403);
}

#[tokio::test]
async fn a_router_outside_of_the_edge_does_not_find_another_spelling() {
    let router = || Router::new().route("/orders", get(async || ()));
    let right = edge().layer(router());
    assert_eq!(status(&right, request("/x/../orders")).await, 200);
    let wrong = router().layer(edge());
    assert_eq!(status(&wrong, request("/x/../orders")).await, 404);
}

#[tokio::test]
async fn metrics_inside_of_what_refuses_do_not_count_refusals() {
    let (right, wrong) = (Telemetry::new(), Telemetry::new());
    let layers = right
        .layer(orders())
        .layer(RateLimitLayer::new(one()).layer(app()));
    assert_eq!(status(&layers, request("/")).await, 200);
    assert_eq!(status(&layers, request("/")).await, 429);
    assert_eq!(counted(&right), (2.0, 0.0));
    let layers = RateLimitLayer::new(one()).layer(wrong.layer(orders()).layer(app()));
    assert_eq!(status(&layers, request("/")).await, 200);
    assert_eq!(status(&layers, request("/")).await, 429);
    assert_eq!(counted(&wrong), (1.0, 0.0));
}

#[tokio::test]
async fn what_the_edge_refuses_is_counted_where_metrics_are_outside_of_it_and_not_inside() {
    let malformed = || request("/%zz");
    let (inside, outside) = (Telemetry::new(), Telemetry::new());
    let layers = edge().layer(inside.layer(orders()).layer(app()));
    assert_eq!(status(&layers, malformed()).await, 400);
    assert_eq!(counted(&inside), (0.0, 0.0));
    let layers = outside.layer(orders()).layer(edge().layer(app()));
    assert_eq!(status(&layers, malformed()).await, 400);
    assert_eq!(counted(&outside), (1.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_outside_of_rules_does_not_know_their_time_limits() {
    let began = Instant::now();
    let (slow, calls) = scripted([
        Step::AnswerAfter(10 * SECOND, ()),
        Step::AnswerAfter(10 * SECOND, ()),
    ]);
    let right = within(SECOND).layer(DeadlineLayer::inherited().layer(slow.clone()));
    assert_eq!(status(&right, request("/")).await, 504);
    assert_eq!((began.elapsed(), calls.cancelled()), (SECOND, 1));
    let began = Instant::now();
    let wrong = DeadlineLayer::inherited().layer(within(SECOND).layer(slow));
    assert_eq!(status(&wrong, request("/")).await, 200);
    assert_eq!(began.elapsed(), 10 * SECOND);
}

#[tokio::test]
async fn a_router_outside_of_rules_does_not_see_the_paths_they_write() {
    let router = || Router::new().route("/v2/orders", get(async || ()));
    let right = rewrites("/api", "/v2").layer(router());
    assert_eq!(status(&right, request("/api/orders")).await, 200);
    let wrong = router().layer(rewrites("/api", "/v2"));
    assert_eq!(status(&wrong, request("/api/orders")).await, 404);
}

#[tokio::test]
async fn authorization_outside_of_rules_is_asked_about_a_path_that_the_application_does_not_see() {
    let policy = || {
        authorize([
            Allowance::allow("all"),
            Allowance::deny("inside").paths(["/inside/**"]),
        ])
    };
    let right = rewrites("/api", "/inside").layer(policy().layer(app()));
    assert_eq!(status(&right, request("/api/users")).await, 403);
    let wrong = policy().layer(rewrites("/api", "/inside").layer(app()));
    assert_eq!(
        ask(&wrong, request("/api/users")).await,
        (200, "/inside/users".to_owned())
    );
}

#[tokio::test]
async fn a_rate_limit_outside_of_authorization_is_used_up_by_those_without_permission() {
    let policy = || authorize([Allowance::allow("frontend").from(["spiffe://mesh/ns/shop/sa/frontend"])]);
    let limit = || RateLimitLayer::new(one()).by(KeyBy::None);
    let right = policy().layer(limit().layer(app()));
    assert_eq!(status(&right, of("printer", "/")).await, 403);
    assert_eq!(status(&right, request("/")).await, 200);
    let wrong = limit().layer(policy().layer(app()));
    assert_eq!(status(&wrong, of("printer", "/")).await, 403);
    assert_eq!(status(&wrong, request("/")).await, 429);
}

#[tokio::test]
async fn a_rate_limit_outside_of_the_edge_takes_all_clients_of_a_proxy_for_one() {
    let edge = || edge().trust(Trust::hops(1));
    let limit = || RateLimitLayer::new(one()).by(KeyBy::ClientIp);
    let of = |client: &str| {
        let mut request = request("/");
        let client = client.parse().expect("a value");
        request.headers_mut().insert("x-forwarded-for", client);
        request
    };
    let right = edge().layer(limit().layer(app()));
    assert_eq!(status(&right, of("192.0.2.1")).await, 200);
    assert_eq!(status(&right, of("192.0.2.2")).await, 200);
    assert_eq!(status(&right, of("192.0.2.1")).await, 429);
    let wrong = limit().layer(edge().layer(app()));
    assert_eq!(status(&wrong, of("192.0.2.1")).await, 200);
    assert_eq!(status(&wrong, of("192.0.2.2")).await, 429);
}

#[tokio::test]
async fn a_shared_limit_outside_of_the_local_one_asks_its_store_about_what_is_over_already() {
    // Nobody listens there: each question is told by being answered alone.
    let shared = || {
        let plenty = RateLimiter::new(Quota::per_second(1000).expect("a quota"));
        let store = RedisStore::new("redis://127.0.0.1:1").expect("a URL");
        SharedLimitLayer::new(SharedLimiter::new("orders", plenty, store, EventBus::default()))
    };
    let (right, wrong) = (shared(), shared());
    let layers = RateLimitLayer::new(one()).layer(right.layer(app()));
    assert_eq!(status(&layers, request("/")).await, 200);
    for _ in 0..4 {
        assert_eq!(status(&layers, request("/")).await, 429);
    }
    assert_eq!(right.limiter().alone(), 1);
    let layers = wrong.layer(RateLimitLayer::new(one()).layer(app()));
    assert_eq!(status(&layers, request("/")).await, 200);
    for _ in 0..4 {
        assert_eq!(status(&layers, request("/")).await, 429);
    }
    assert_eq!(wrong.limiter().alone(), 5);
}
