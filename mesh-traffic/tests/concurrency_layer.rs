//! A bound of what is under way, in front of a service.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::reject::refusal_of;
use mesh_core::testkit::{Calls, NotReadyClone, Scripted, Step, assert_future_size};
use mesh_core::{ErrorKind, MeshContext};
use mesh_traffic::ConcurrencyLayer;
use mesh_traffic::concurrency::{
    AdaptiveConfig, ConcurrencyBody, ConcurrencyLimit, Priority, PriorityBy, Waiting,
};
use tokio::time::{Instant, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

type Inner = Scripted<Request<Body>, Response<Body>, &'static str>;
type Record = Calls<Request<Body>, Response<Body>, &'static str>;

fn layer(limit: u32, length: u32) -> ConcurrencyLayer {
    let limit = ConcurrencyLimit::fixed(limit).expect("valid");
    ConcurrencyLayer::new(limit, Waiting::new(length).expect("valid"))
}

fn scripted(steps: impl IntoIterator<Item = Step<&'static str, &'static str>>) -> (Inner, Record) {
    let body = |text: &'static str| Response::new(Body::full(text));
    Scripted::new(steps.into_iter().map(|step| match step {
        Step::Answer(text) => Step::Answer(body(text)),
        Step::AnswerAfter(wait, text) => Step::AnswerAfter(wait, body(text)),
        Step::Fail(error) => Step::Fail(error),
        Step::FailAfter(wait, error) => Step::FailAfter(wait, error),
        Step::Hang => Step::Hang,
    }))
}

fn request() -> Request<Body> {
    Request::new(Body::empty())
}

async fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::ZERO, future).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_request_is_under_way_until_its_body_is_over() {
    let layer = layer(1, 9);
    let (inner, calls) = scripted([Step::Answer("first"), Step::Answer("second")]);
    let service = layer.layer(inner);
    let first = service.clone().oneshot(request()).await.expect("an answer");
    let mut second = Box::pin(service.oneshot(request()));
    assert!(
        now_or_never(&mut second).await.is_none(),
        "the first body is not over"
    );
    assert_eq!(calls.count(), 1);
    drop(first);
    let second: Response<ConcurrencyBody<Body>> = second.await.expect("an answer");
    assert_eq!(second.status(), 200);
    assert_eq!(layer.limiter().in_flight(), 1);
    drop(second);
    assert_eq!(layer.limiter().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_is_refused_in_its_own_language() {
    let layer = layer(1, 0);
    let (inner, calls) = scripted([Step::Hang]);
    let service = layer.layer(inner);
    let mut hangs = Box::pin(service.clone().oneshot(request()));
    assert!(now_or_never(&mut hangs).await.is_none());

    let refused = service.clone().oneshot(request()).await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), refusal_of(&refused)),
        (503, Some(ErrorKind::Overloaded))
    );
    assert_eq!(refused.headers()["x-mesh-error"], "overloaded");

    let mut grpc = request();
    grpc.headers_mut()
        .insert("content-type", "application/grpc".parse().expect("a value"));
    let refused = service.oneshot(grpc).await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["grpc-status"]),
        (200, &"14".parse().expect("a value"))
    );
    assert_eq!(calls.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_given_up_makes_room() {
    let layer = layer(1, 1);
    let (inner, calls) = scripted([Step::Hang, Step::Answer("next")]);
    let service = layer.layer(inner);
    let mut hangs = Box::pin(service.clone().oneshot(request()));
    assert!(now_or_never(&mut hangs).await.is_none());
    let mut next = Box::pin(service.oneshot(request()));
    assert!(now_or_never(&mut next).await.is_none());
    drop(hangs);
    assert_eq!(next.await.expect("an answer").status(), 200);
    assert_eq!(calls.cancelled(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_makes_room_at_once_and_goes_on_as_it_is() {
    let layer = layer(1, 0);
    let (inner, _calls) = scripted([Step::Fail("broken"), Step::Answer("next")]);
    let service = layer.layer(inner);
    assert_eq!(service.clone().oneshot(request()).await.err(), Some("broken"));
    assert_eq!(layer.limiter().in_flight(), 0);
    assert_eq!(service.oneshot(request()).await.expect("an answer").status(), 200);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_the_deadline_of_the_request() {
    let layer = layer(1, 9);
    let (inner, _calls) = scripted([Step::Hang]);
    let service = layer.layer(inner);
    let mut hangs = Box::pin(service.clone().oneshot(request()));
    assert!(now_or_never(&mut hangs).await.is_none());
    let began = Instant::now();
    let mut due = request();
    let mut context = MeshContext::new(began);
    context.deadline = Some(began + SECOND);
    due.extensions_mut().insert(context);
    let refused = service.oneshot(due).await.expect("an answer");
    assert_eq!(
        (refusal_of(&refused), began.elapsed()),
        (Some(ErrorKind::Overloaded), SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn the_important_go_in_front() {
    let layer = layer(1, 9).by(PriorityBy::header("x-priority".parse().expect("a name")));
    let (inner, calls) = scripted([Step::Hang, Step::Hang, Step::Hang, Step::Hang]);
    let service = layer.layer(inner);
    let mut held = Box::pin(service.clone().oneshot(request()));
    assert!(now_or_never(&mut held).await.is_none());
    let mut waiting = Vec::new();
    for (path, told, left) in [
        ("/3", "low", None),
        ("/2", "normal", None),
        ("/1", "low", Some(Priority::High)),
    ] {
        let mut request = Request::get(path)
            .header("x-priority", told)
            .body(Body::empty())
            .expect("valid");
        if let Some(left) = left {
            request.extensions_mut().insert(left);
        }
        let mut wait = Box::pin(service.clone().oneshot(request));
        assert!(now_or_never(&mut wait).await.is_none());
        waiting.push(wait);
    }
    calls.take();
    drop(held);
    while let Some(mut next) = waiting.pop() {
        assert!(now_or_never(&mut next).await.is_none());
    }
    let order: Vec<_> = calls
        .take()
        .iter()
        .map(|request| request.uri().path().to_owned())
        .collect();
    assert_eq!(order, ["/1", "/2", "/3"]);
}

#[tokio::test(start_paused = true)]
async fn fast_failures_do_not_teach_an_adaptive_limit() {
    let mut config = AdaptiveConfig::default();
    config.rest_samples = 1;
    let limit = ConcurrencyLimit::adaptive(config).expect("valid");
    let layer = ConcurrencyLayer::new(limit, Waiting::default());
    let status = |status: u16| {
        Step::<_, Infallible>::Answer(
            Response::builder()
                .status(status)
                .body(Body::empty())
                .expect("valid"),
        )
    };
    let (inner, _calls) = Scripted::<Request<Body>, _, _>::new([status(500), status(503), status(200)]);
    let service = layer.layer(inner);
    for limit in [3, 3, 20] {
        service.clone().oneshot(request()).await.expect("an answer");
        assert_eq!(layer.limiter().limit(), limit);
    }
}

#[tokio::test(start_paused = true)]
async fn the_clone_that_was_ready_is_the_one_that_is_called_also_after_it_waited() {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::full("answer"))));
    let mut service = layer(1, 9).layer(NotReadyClone::new(inner));
    let mut under_way = None;
    for _ in 0..3 {
        let ready = service.ready().await.expect("ready");
        let mut answer = Box::pin(ready.call(request()));
        if let Some(before) = under_way.take() {
            assert!(now_or_never(&mut answer).await.is_none(), "it waits");
            drop::<Response<_>>(before);
        }
        under_way = Some(answer.await.expect("an answer"));
    }
}

#[tokio::test]
async fn it_stands_in_front_of_a_router() {
    let app: Router = Router::new()
        .route("/", get(|| async { "hello" }))
        .layer(layer(1, 0));
    let request = Request::get("/").body(axum::body::Body::empty()).expect("valid");
    assert_eq!(app.oneshot(request).await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn the_future_does_not_grow_unnoticed() {
    let inner =
        service_fn(|_: Request<Body>| std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty()))));
    let mut service = layer(1, 0).layer(inner);
    assert_future_size(&service.call(request()), 240);
}
