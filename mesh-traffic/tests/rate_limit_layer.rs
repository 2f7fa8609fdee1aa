//! The rate limit in front of a service.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::reject::{RejectBody, refusal_of};
use mesh_core::testkit::{NotReadyClone, Scripted, Step};
use mesh_core::{ErrorKind, MeshContext, PeerInfo, SpiffeId};
use mesh_traffic::{KeyBy, Quota, RateLimitLayer, RateLimiter};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

type Answer = Response<RejectBody<Body>>;

fn quota(per_second: u32, burst: u32) -> Quota {
    Quota::per_second(per_second)
        .and_then(|quota| quota.burst(burst))
        .expect("a quota")
}

fn request(received: Instant) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(MeshContext::new(received));
    request
}

fn from_service(name: &str, received: Instant) -> Request<Body> {
    let identity = SpiffeId::of_service("cluster.local", "dept-barc", name).expect("an identity");
    let peer = PeerInfo::mtls("192.0.2.1:1".parse().expect("an address"), identity, "ab", "01");
    let mut request = request(received);
    if let Some(context) = request.extensions_mut().get_mut::<MeshContext>() {
        context.peer = Some(Arc::new(peer));
    }
    request
}

async fn call(layer: &RateLimitLayer, request: Request<Body>) -> Answer {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, String>(Response::new(Body::full("inner"))));
    layer.layer(inner).oneshot(request).await.expect("an answer")
}

#[tokio::test]
async fn what_is_too_much_is_refused_without_the_inner_service() {
    let (inner, calls) = Scripted::<Request<Body>, Response<Body>, String>::new([Step::Answer(
        Response::new(Body::full("inner")),
    )]);
    let service = RateLimitLayer::new(quota(1, 1)).layer(inner);
    let now = Instant::now();
    let passed = service.clone().oneshot(request(now)).await.expect("an answer");
    assert_eq!(passed.status(), 200);
    assert!(
        !passed.headers().contains_key("ratelimit"),
        "what passes is as the service made it"
    );
    assert_eq!(
        passed.into_body().collect().await.expect("a body").to_bytes(),
        "inner"
    );

    let refused = service.oneshot(request(now)).await.expect("an answer");
    assert_eq!(refused.status(), 429);
    assert_eq!(refusal_of(&refused), Some(ErrorKind::RateLimited));
    assert_eq!(calls.count(), 1);
}

#[tokio::test]
async fn a_refusal_tells_when_to_come_again() {
    let layer = RateLimitLayer::new(
        Quota::per_minute(40)
            .and_then(|quota| quota.burst(1))
            .expect("a quota"),
    );
    let now = Instant::now();
    call(&layer, request(now)).await;
    let refused = call(&layer, request(now)).await;
    for (name, value) in [
        ("x-mesh-error", "rate_limited"),
        // A second and a half.
        ("retry-after", "2"),
        ("ratelimit-policy", "\"default\";q=40;w=60"),
        ("ratelimit", "\"default\";r=0;t=2"),
        ("content-type", "application/problem+json"),
    ] {
        assert_eq!(refused.headers()[name], value, "{name}");
    }
    let body = refused.into_body().collect().await.expect("a body").to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem document");
    assert_eq!(
        problem["detail"],
        "over the rate limit of 40 a minute, 1 at once for all requests without a key together: \
         come again after 2s"
    );
    let again = call(&layer, request(now + Duration::from_secs(2))).await;
    assert_eq!(again.status(), 200);
}

#[tokio::test]
async fn a_grpc_call_is_refused_in_its_own_language() {
    let layer = RateLimitLayer::new(quota(300, 1));
    let now = Instant::now();
    let call_of_grpc = || {
        let mut request = request(now);
        request
            .headers_mut()
            .insert("content-type", "application/grpc+proto".parse().expect("a value"));
        request
    };
    assert_eq!(call(&layer, call_of_grpc()).await.status(), 200);
    let refused = call(&layer, call_of_grpc()).await;
    assert_eq!(refused.status(), 200);
    for (name, value) in [
        ("grpc-status", "8"),
        ("grpc-retry-pushback-ms", "4"),
        ("x-mesh-error", "rate_limited"),
        ("retry-after", "1"),
    ] {
        assert_eq!(refused.headers()[name], value, "{name}");
    }
    assert!(http_body::Body::is_end_stream(refused.body()), "trailers only");
}

#[tokio::test]
async fn each_service_has_its_allowance_and_what_is_unknown_shares_one() {
    let layer = RateLimitLayer::new(quota(1, 1));
    let now = Instant::now();
    let mut statuses = Vec::new();
    for request in [
        from_service("web", now),
        from_service("web", now),
        from_service("jobs", now),
        request(now),
        request(now),
    ] {
        statuses.push(call(&layer, request).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 429, 200, 200, 429]);
}

#[tokio::test]
async fn leaving_out_the_field_that_is_counted_by_is_no_way_around() {
    let layer = RateLimitLayer::new(quota(1, 1)).by("header:x-tenant".parse::<KeyBy>().expect("a key"));
    let now = Instant::now();
    assert_eq!(call(&layer, request(now)).await.status(), 200);
    assert_eq!(call(&layer, from_service("web", now)).await.status(), 429);
    let mut named = request(now);
    named
        .headers_mut()
        .insert("x-tenant", "acme".parse().expect("a value"));
    assert_eq!(call(&layer, named).await.status(), 200);
}

#[tokio::test]
async fn a_dry_run_counts_and_lets_pass() {
    let layer = RateLimitLayer::new(quota(1, 1)).dry_run(true);
    let now = Instant::now();
    for _ in 0..3 {
        assert_eq!(call(&layer, request(now)).await.status(), 200);
    }
    assert_eq!(layer.limiter().limited(), 2);
}

#[tokio::test]
async fn layers_that_share_a_limiter_share_what_is_left() {
    let limiter = RateLimiter::new(quota(1, 2));
    let one = RateLimitLayer::sharing(limiter.clone());
    let other = RateLimitLayer::sharing(limiter.clone()).by(KeyBy::None);
    let now = Instant::now();
    assert_eq!(call(&one, request(now)).await.status(), 200);
    assert_eq!(call(&other, request(now)).await.status(), 200);
    assert_eq!(call(&one.clone(), request(now)).await.status(), 429);
    assert_eq!(limiter.limited(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_context_the_time_is_now() {
    let layer = RateLimitLayer::new(quota(10, 1));
    let bare = || Request::new(Body::empty());
    assert_eq!(call(&layer, bare()).await.status(), 200);
    assert_eq!(call(&layer, bare()).await.status(), 429);
    tokio::time::advance(Duration::from_millis(100)).await;
    assert_eq!(call(&layer, bare()).await.status(), 200);
}

#[tokio::test]
async fn the_inner_services_error_is_passed_on_as_it_is() {
    let inner = service_fn(async |_: Request<Body>| Err::<Response<Body>, _>("broken"));
    let service = RateLimitLayer::new(quota(1, 1)).layer(inner);
    assert_eq!(
        service.oneshot(request(Instant::now())).await.err(),
        Some("broken")
    );
}

#[tokio::test]
async fn the_clone_that_was_ready_is_the_one_that_is_called() {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, String>(Response::new(Body::empty())));
    let mut service = RateLimitLayer::new(quota(1, 2)).layer(NotReadyClone::new(inner));
    let now = Instant::now();
    for status in [200, 200, 429] {
        let ready = service.ready().await.expect("ready");
        assert_eq!(
            ready.call(request(now)).await.expect("an answer").status(),
            status
        );
    }
}

/// Never ready.
#[derive(Clone)]
struct Busy;

impl Service<Request<Body>> for Busy {
    type Response = Response<Body>;
    type Error = String;
    type Future = std::future::Ready<Result<Response<Body>, String>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(Err("called though it is not ready".into()))
    }
}

#[tokio::test]
async fn the_layer_is_as_ready_as_the_inner_service_and_spends_nothing_on_waiting() {
    let layer = RateLimitLayer::new(quota(1, 1));
    let mut waiting = Context::from_waker(std::task::Waker::noop());
    let mut service = layer.layer(Busy);
    assert!(service.poll_ready(&mut waiting).is_pending());
    assert!(service.poll_ready(&mut waiting).is_pending());
    assert_eq!(call(&layer, request(Instant::now())).await.status(), 200);
}
