//! Trouble on purpose, in front of a service.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::reject::{RejectBody, refusal_of};
use mesh_core::testkit::NotReadyClone;
use mesh_core::{ErrorKind, GrpcCode, MeshContext, PeerInfo, SpiffeId};
use mesh_traffic::fault::{Abort, Chance, Delay, FaultBody, FaultKind, FaultLayer, FaultSwitch, Faults};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

type Answer = Response<FaultBody<RejectBody<Body>>>;

const SECOND: Duration = Duration::from_secs(1);

fn faults() -> Faults {
    Faults::until(Instant::now() + 3600 * SECOND)
}

fn abort(status: u16) -> Abort {
    Abort::new(status).expect("a status")
}

fn request() -> Request<Body> {
    Request::new(Body::empty())
}

async fn call(layer: &FaultLayer, request: Request<Body>) -> Answer {
    let inner = service_fn(async |request: Request<Body>| {
        let asks = request
            .headers()
            .keys()
            .filter(|name| name.as_str().starts_with("x-mesh-fault"));
        assert_eq!(asks.count(), 0, "what was asked for is not asked again");
        Ok::<_, String>(Response::new(Body::full("inner")))
    });
    layer.layer(inner).oneshot(request).await.expect("an answer")
}

#[tokio::test]
async fn without_trouble_everything_is_as_the_service_made_it() {
    let layer = FaultLayer::new(faults().abort(Chance::NEVER, abort(503)));
    let answer = call(&layer, request()).await;
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes(), "inner");
}

#[tokio::test]
async fn an_aborted_request_is_answered_without_the_service() {
    let inner = service_fn(async |_: Request<Body>| Err::<Response<Body>, _>("asked"));
    let layer = FaultLayer::new(faults().abort(Chance::ALWAYS, abort(418)));
    let answer = layer.layer(inner).oneshot(request()).await.expect("an answer");
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.headers()["x-mesh-error"], "fault_injected");
    assert_eq!(refusal_of(&answer), Some(ErrorKind::FaultInjected));
}

#[tokio::test]
async fn a_grpc_call_is_aborted_in_its_own_language() {
    let grpc = || {
        let mut request = request();
        let value = "application/grpc".parse().expect("a value");
        request.headers_mut().insert("content-type", value);
        request
    };
    for (abort, code) in [
        (abort(503), "14"),
        (abort(503).with_grpc_code(GrpcCode::ABORTED), "10"),
    ] {
        let layer = FaultLayer::new(faults().abort(Chance::ALWAYS, abort));
        let answer = call(&layer, grpc()).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["grpc-status"], code);
        assert!(http_body::Body::is_end_stream(answer.body()), "trailers only");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_request_goes_on_after_its_delay() {
    let layer = FaultLayer::new(faults().delay(Chance::ALWAYS, Delay::fixed(SECOND)));
    let start = Instant::now();
    assert_eq!(call(&layer, request()).await.status(), 200);
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(layer.fault_switch().active(), 0, "the body is in no trouble");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_and_fails_does_both() {
    let layer = FaultLayer::new(
        faults()
            .delay(Chance::ALWAYS, Delay::fixed(SECOND))
            .abort(Chance::ALWAYS, abort(500)),
    );
    let start = Instant::now();
    assert_eq!(call(&layer, request()).await.status(), 500);
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn switched_off_those_who_wait_go_on_at_once() {
    let layer = FaultLayer::new(
        faults()
            .delay(Chance::ALWAYS, Delay::fixed(60 * SECOND))
            .abort(Chance::ALWAYS, abort(500)),
    );
    let (switch, start) = (layer.fault_switch().clone(), Instant::now());
    let off = async {
        tokio::time::sleep(SECOND).await;
        switch.set(false);
    };
    let (answer, ()) = tokio::join!(call(&layer, request()), off);
    assert_eq!(answer.status(), 200);
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_are_in_trouble_at_once() {
    let switch = FaultSwitch::new(2);
    let layer = FaultLayer::new(faults().delay(Chance::ALWAYS, Delay::fixed(SECOND))).switch(switch.clone());
    let start = Instant::now();
    let timed = async || {
        call(&layer, request()).await;
        start.elapsed()
    };
    let (a, b, c) = tokio::join!(timed(), timed(), timed());
    assert_eq!([a, b, c], [SECOND, SECOND, Duration::ZERO]);
    assert_eq!((switch.active(), switch.spared()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_its_trouble() {
    let layer = FaultLayer::new(faults().delay(Chance::ALWAYS, Delay::fixed(60 * SECOND)));
    let gone = tokio::time::timeout(SECOND, call(&layer, request())).await;
    assert!(gone.is_err());
    assert_eq!(layer.fault_switch().active(), 0);
}

#[tokio::test]
async fn the_response_breaks_off() {
    let layer = FaultLayer::new(faults().reset(Chance::ALWAYS, 2));
    let mut body = call(&layer, request()).await.into_body();
    let first = body.frame().await.expect("a piece").expect("data");
    assert_eq!(first.into_data().expect("data"), "in");
    assert!(body.frame().await.expect("an end").is_err());
    assert_eq!(layer.fault_switch().active(), 1);
    drop(body);
    assert_eq!(layer.fault_switch().active(), 0);
}

#[tokio::test]
async fn every_kind_is_counted_once_a_request() {
    let counts: Arc<[AtomicUsize; 4]> = Arc::default();
    let of = |kind| match kind {
        FaultKind::Delay => 0,
        FaultKind::Abort => 1,
        FaultKind::Reset => 2,
        _ => 3,
    };
    let counted = Arc::clone(&counts);
    let layer = FaultLayer::new(
        faults()
            .reset(Chance::ALWAYS, 2)
            .throttle(Chance::ALWAYS, NonZeroU64::new(1_000_000).expect("a rate")),
    )
    .observe(move |kind| {
        counted[of(kind)].fetch_add(1, Ordering::Relaxed);
    });
    call(&layer, request()).await;
    call(&layer, request()).await;
    layer.fault_switch().set(false);
    call(&layer, request()).await;
    let counts: Vec<_> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    assert_eq!(counts, [0, 0, 2, 2]);
}

fn asking(identity: bool) -> Request<Body> {
    let mut request = request();
    let address = "192.0.2.1:1".parse().expect("an address");
    let peer = match identity {
        true => PeerInfo::mtls(
            address,
            SpiffeId::of_service("cluster.local", "dept-barc", "tester").expect("an identity"),
            "ab",
            "01",
        ),
        false => PeerInfo::plaintext(address),
    };
    let mut context = MeshContext::new(Instant::now());
    context.peer = Some(Arc::new(peer));
    request.extensions_mut().insert(context);
    let value = "418".parse().expect("a value");
    request.headers_mut().insert("x-mesh-fault-abort", value);
    request
}

#[tokio::test]
async fn only_who_has_an_identity_can_ask_for_trouble_and_only_if_that_is_allowed() {
    let layer = FaultLayer::new(faults().on_request(true));
    assert_eq!(call(&layer, asking(true)).await.status(), 418);
    assert_eq!(call(&layer, asking(false)).await.status(), 200);
    let deaf = FaultLayer::new(faults());
    let inner = service_fn(async |_: Request<Body>| Ok::<_, String>(Response::new(Body::empty())));
    let answer = deaf.layer(inner).oneshot(asking(true)).await.expect("an answer");
    assert_eq!(answer.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_clone_that_was_ready_is_the_one_that_is_called() {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, String>(Response::new(Body::empty())));
    for faults in [
        faults(),
        faults().delay(Chance::ALWAYS, Delay::fixed(SECOND)),
        faults().reset(Chance::ALWAYS, 0),
    ] {
        let mut service = FaultLayer::new(faults).layer(NotReadyClone::new(inner));
        for _ in 0..2 {
            let ready = service.ready().await.expect("ready");
            assert_eq!(ready.call(request()).await.expect("an answer").status(), 200);
        }
    }
}

#[tokio::test]
async fn the_inner_services_error_is_passed_on_as_it_is() {
    let inner = service_fn(async |_: Request<Body>| Err::<Response<Body>, _>("broken"));
    let service = FaultLayer::new(faults().reset(Chance::ALWAYS, 0)).layer(inner);
    assert_eq!(service.oneshot(request()).await.err(), Some("broken"));
}
