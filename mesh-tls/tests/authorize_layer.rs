//! Authorization in front of a service.
#![cfg(feature = "authorize")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use mesh_core::body::Body;
use mesh_core::edge::EdgeLayer;
use mesh_core::testkit::NotReadyClone;
use mesh_core::{ErrorKind, MeshContext, PeerInfo, SpiffeId, live};
use mesh_tls::authorize::{AuthorizationPolicy, AuthorizeBody, AuthorizeLayer, Rule};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

fn policy(rules: impl IntoIterator<Item = Rule>) -> AuthorizationPolicy {
    AuthorizationPolicy::new(rules).expect("a policy")
}

fn shop_reads() -> AuthorizationPolicy {
    policy([Rule::allow("reads")
        .from(["spiffe://mesh/ns/shop/**"])
        .methods(["GET"])])
}

/// A request of this service, or of somebody on a plaintext connection.
fn of(service: Option<&str>, path: &str) -> Request<Body> {
    let address = ([127, 0, 0, 1], 5555).into();
    let peer = match service {
        Some(service) => {
            let identity = SpiffeId::of_service("mesh", "shop", service).expect("valid parts");
            PeerInfo::mtls(address, identity, "ab12", "01")
        }
        None => PeerInfo::plaintext(address),
    };
    let mut context = MeshContext::new(Instant::now());
    context.peer = Some(Arc::new(peer));
    Request::get(path)
        .header("host", "orders")
        .extension(context)
        .body(Body::empty())
        .expect("a request")
}

async fn hello(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::full("hello")))
}

async fn text(response: Response<AuthorizeBody<Body>>) -> String {
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test]
async fn what_is_allowed_is_as_the_service_made_it() {
    let service = AuthorizeLayer::new(shop_reads()).layer(service_fn(hello));
    let answer = service
        .oneshot(of(Some("frontend"), "/"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer).await, "hello");
}

#[tokio::test]
async fn what_is_denied_never_reaches_the_service() {
    let asked = service_fn(async |_: Request<Body>| Err::<Response<Body>, _>("asked"));
    let service = AuthorizeLayer::new(shop_reads()).layer(asked);
    let answer = service.clone().oneshot(of(None, "/")).await.expect("a refusal");
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.headers()["x-mesh-error"], "unauthorized");
    assert_eq!(
        answer.extensions().get::<ErrorKind>(),
        Some(&ErrorKind::Unauthorized)
    );

    let mut without_context = of(None, "/");
    without_context.extensions_mut().clear();
    assert_eq!(
        service
            .clone()
            .oneshot(without_context)
            .await
            .expect("a refusal")
            .status(),
        403
    );
    let passed = service.oneshot(of(Some("frontend"), "/")).await;
    assert_eq!(passed.err(), Some("asked"));
}

#[tokio::test]
async fn a_grpc_call_is_denied_in_its_language() {
    let service = AuthorizeLayer::new(policy([])).layer(service_fn(hello));
    let mut call = of(Some("frontend"), "/shop.Orders/List");
    call.headers_mut()
        .insert("content-type", "application/grpc".parse().expect("a value"));
    let answer = service.oneshot(call).await.expect("a refusal");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["grpc-status"], "7");
    let message = answer.headers()["grpc-message"].to_str().expect("text");
    assert!(
        message.contains("spiffe://mesh/ns/shop/sa/frontend may not do this"),
        "{message}"
    );
}

/// Case 83: what a header says of the sender counts for nothing.
#[tokio::test]
async fn case_83_no_header_is_an_identity() {
    let service = ServiceBuilder::new()
        .layer(EdgeLayer::new("orders".parse().expect("a name")))
        .layer(AuthorizeLayer::new(shop_reads()))
        .service(service_fn(hello));
    let mut request = of(None, "/");
    for (name, value) in [
        ("x-source-service", "frontend"),
        ("x-mesh-mtls", "true"),
        ("x-forwarded-client-cert", "URI=spiffe://mesh/ns/shop/sa/frontend"),
        ("x-mesh-cert-fingerprint", "ab12"),
    ] {
        request
            .headers_mut()
            .append(name, value.parse().expect("a value"));
    }
    assert_eq!(service.oneshot(request).await.expect("a refusal").status(), 403);
}

/// Case 86: behind the edge, and where it was forgotten.
#[tokio::test]
async fn case_86_a_denied_path_is_denied_in_every_spelling() {
    let policy = || policy([Rule::allow("all"), Rule::deny("admin").paths(["/admin/**"])]);
    let behind_the_edge = ServiceBuilder::new()
        .layer(EdgeLayer::new("orders".parse().expect("a name")))
        .layer(AuthorizeLayer::new(policy()))
        .service(service_fn(hello));
    let without = AuthorizeLayer::new(policy()).layer(service_fn(hello));
    for path in [
        "/admin",
        "//admin",
        "/x/%2e%2e/admin",
        "/%61dmin/",
        "/Admin",
        "/admin;x=1",
        "/x/..%2fadmin",
        "/admin%2fx",
    ] {
        let answer = behind_the_edge
            .clone()
            .oneshot(of(None, path))
            .await
            .expect("a refusal");
        assert!(
            [400, 403].contains(&answer.status().as_u16()),
            "{path}: {}",
            answer.status()
        );
        let answer = without.clone().oneshot(of(None, path)).await.expect("a refusal");
        assert_eq!(answer.status(), 403, "{path}");
    }
    assert_eq!(
        without
            .oneshot(of(None, "/shop"))
            .await
            .expect("an answer")
            .status(),
        200
    );
}

#[tokio::test]
async fn in_audit_mode_everything_passes_and_denials_are_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let observer = Arc::clone(&told);
    let layer = AuthorizeLayer::new(shop_reads().audit()).observe(move |decision| {
        let line = format!("{decision}, {}", decision.passes());
        observer.lock().expect("no panic").push(line);
    });
    let service = layer.layer(service_fn(hello));
    for service_name in [Some("frontend"), None] {
        let answer = service
            .clone()
            .oneshot(of(service_name, "/"))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(
        *told.lock().expect("no panic"),
        ["somebody unauthenticated, GET /: no rule allows it, true"]
    );
}

#[tokio::test]
async fn a_policy_that_is_tried_out_stands_beside_one_that_is_enforced() {
    let would_deny = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&would_deny);
    let proposed = policy([]).audit();
    let service = ServiceBuilder::new()
        .layer(AuthorizeLayer::new(shop_reads()))
        .layer(AuthorizeLayer::new(proposed).observe(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        }))
        .service(service_fn(hello));
    assert_eq!(
        service
            .clone()
            .oneshot(of(None, "/"))
            .await
            .expect("an answer")
            .status(),
        403
    );
    assert_eq!(
        service
            .oneshot(of(Some("a"), "/"))
            .await
            .expect("an answer")
            .status(),
        200
    );
    assert_eq!(would_deny.load(Ordering::Relaxed), 1);
}

/// Case 88.
#[tokio::test]
async fn case_88_a_stream_that_is_denied_by_a_new_policy_breaks_off() {
    let (publisher, live) = live(shop_reads());
    let (send, frames) = tokio::sync::mpsc::unbounded_channel();
    let frames = Mutex::new(Some(frames));
    let streaming = service_fn(move |_: Request<Body>| {
        let mut frames = frames.lock().expect("no panic").take().expect("asked once");
        let stream = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
        std::future::ready(Ok::<_, Infallible>(Response::new(StreamBody::new(stream))))
    });
    let mut service = AuthorizeLayer::following(live).layer(streaming);
    let answer = service
        .ready()
        .await
        .expect("ready")
        .call(of(Some("frontend"), "/"))
        .await;
    let mut body = answer.expect("an answer").into_body();
    let frame = |text: &'static str| Ok::<_, Infallible>(http_body::Frame::data(bytes::Bytes::from(text)));

    send.send(frame("one")).expect("read");
    assert_eq!(
        body.frame()
            .await
            .expect("more")
            .expect("allowed")
            .into_data()
            .expect("data"),
        "one"
    );
    // A policy that still allows it changes nothing.
    publisher.publish(policy([Rule::allow("signed").from(["*"])]));
    send.send(frame("two")).expect("read");
    assert_eq!(
        body.frame()
            .await
            .expect("more")
            .expect("allowed")
            .into_data()
            .expect("data"),
        "two"
    );

    publisher.publish(policy([]));
    send.send(frame("three")).expect("read");
    let error = body.frame().await.expect("more").expect_err("denied by now");
    assert_eq!(mesh_core::Error::wrap(error).kind(), ErrorKind::Unauthorized);
    assert!(body.frame().await.is_none(), "and nothing more");
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let mut service = AuthorizeLayer::new(shop_reads()).layer(NotReadyClone::new(service_fn(hello)));
    for _ in 0..2 {
        let answer = service
            .ready()
            .await
            .expect("ready")
            .call(of(Some("frontend"), "/"))
            .await;
        assert_eq!(answer.expect("an answer").status(), 200);
        let answer = service.ready().await.expect("ready").call(of(None, "/")).await;
        assert_eq!(answer.expect("a refusal").status(), 403);
    }
}
