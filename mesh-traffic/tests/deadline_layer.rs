//! The deadline in front of a service.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::reject::{RejectBody, refusal_of};
use mesh_core::testkit::{Calls, NotReadyClone, Scripted, Step, assert_future_size};
use mesh_core::{ErrorKind, MeshContext};
use mesh_traffic::DeadlineLayer;
use tokio::time::{Instant, Sleep, advance, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

type Inner = Scripted<Request<Body>, Response<Body>, &'static str>;
type Record = Calls<Request<Body>, Response<Body>, &'static str>;

fn scripted(step: Step<&'static str, &'static str>) -> (Inner, Record) {
    let body = |text: &'static str| Response::new(Body::full(text));
    Scripted::new([match step {
        Step::Answer(text) => Step::Answer(body(text)),
        Step::AnswerAfter(wait, text) => Step::AnswerAfter(wait, body(text)),
        Step::Fail(error) => Step::Fail(error),
        Step::FailAfter(wait, error) => Step::FailAfter(wait, error),
        Step::Hang => Step::Hang,
    }])
}

fn request(received: Instant, deadline: Option<Instant>) -> Request<Body> {
    let mut context = MeshContext::new(received);
    context.deadline = deadline;
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(context);
    request
}

fn grpc(mut request: Request<Body>) -> Request<Body> {
    request
        .headers_mut()
        .insert("content-type", "application/grpc".parse().expect("a value"));
    request
}

async fn text<B>(response: Response<RejectBody<B>>) -> String
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The deadline that the inner service was given.
fn deadline_seen(calls: &Record) -> Option<Instant> {
    let seen = calls.take();
    let context = seen
        .first()
        .and_then(|request| request.extensions().get::<MeshContext>());
    context.and_then(|context| context.deadline)
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_passed_on_as_it_is() {
    let (inner, calls) = scripted(Step::AnswerAfter(SECOND, "in time"));
    let service = DeadlineLayer::at_most(2 * SECOND).layer(inner);
    let response = service
        .oneshot(request(Instant::now(), None))
        .await
        .expect("an answer");
    assert_eq!((response.status().as_u16(), refusal_of(&response)), (200, None));
    assert_eq!(text(response).await, "in time");
    assert_eq!(calls.cancelled(), 0);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_inner_future_is_dropped_and_the_request_refused() {
    let (inner, calls) = scripted(Step::Hang);
    let began = Instant::now();
    let mut answer = Box::pin(
        DeadlineLayer::at_most(2 * SECOND)
            .layer(inner)
            .oneshot(request(began, None)),
    );
    let response = answer.as_mut().await.expect("an answer");
    assert_eq!(calls.cancelled(), 1, "though the outer future still lives");
    assert_eq!(began.elapsed(), 2 * SECOND);
    assert_eq!(response.status(), 504);
    assert_eq!(response.headers()["x-mesh-error"], "timeout");
    assert_eq!(refusal_of(&response), Some(ErrorKind::Timeout));
    let told = text(response).await;
    assert!(
        told.contains("did not answer before the deadline, 2s after the request came"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_grpc_call_is_refused_in_its_own_language() {
    let (inner, _calls) = scripted(Step::Hang);
    let service = DeadlineLayer::at_most(SECOND).layer(inner);
    let response = service
        .oneshot(grpc(request(Instant::now(), None)))
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "4");
    assert_eq!(response.headers()["x-mesh-error"], "timeout");
    assert!(http_body::Body::is_end_stream(response.body()), "trailers only");
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_from_when_the_head_was_complete() {
    let (inner, _calls) = scripted(Step::Hang);
    let received = Instant::now();
    advance(3 * SECOND).await;
    let service = DeadlineLayer::at_most(5 * SECOND).layer(inner);
    service.oneshot(request(received, None)).await.expect("an answer");
    assert_eq!(received.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_two_deadlines_holds_and_is_told_to_those_behind() {
    let now = Instant::now();
    for (given, expected) in [(None, 5), (Some(3), 3), (Some(9), 5)] {
        let (inner, calls) = scripted(Step::Answer(""));
        let given = given.map(|seconds| now + seconds * SECOND);
        let service = DeadlineLayer::at_most(5 * SECOND).layer(inner);
        service.oneshot(request(now, given)).await.expect("an answer");
        assert_eq!(deadline_seen(&calls), Some(now + expected * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn an_inherited_deadline_is_kept_to() {
    let (inner, calls) = scripted(Step::Hang);
    let began = Instant::now();
    let service = DeadlineLayer::inherited().layer(inner);
    let response = service
        .oneshot(request(began, Some(began + SECOND)))
        .await
        .expect("an answer");
    assert_eq!((response.status().as_u16(), began.elapsed()), (504, SECOND));
    assert_eq!(calls.cancelled(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_any_deadline_there_is_no_end() {
    let (inner, calls) = scripted(Step::AnswerAfter(86_400 * SECOND, "late"));
    let service = DeadlineLayer::inherited().layer(inner);
    let response = service
        .oneshot(Request::new(Body::empty()))
        .await
        .expect("an answer");
    assert_eq!(text(response).await, "late");
    assert_eq!(deadline_seen(&calls), None);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_no_clock_holds_is_none() {
    let (inner, calls) = scripted(Step::AnswerAfter(86_400 * SECOND, "late"));
    let service = DeadlineLayer::at_most(Duration::MAX).layer(inner);
    let response = service
        .oneshot(Request::new(Body::empty()))
        .await
        .expect("an answer");
    assert_eq!(text(response).await, "late");
    assert_eq!(deadline_seen(&calls), None);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_context_gets_one() {
    let (inner, calls) = scripted(Step::Answer(""));
    let service = DeadlineLayer::at_most(SECOND).layer(inner);
    service
        .oneshot(Request::new(Body::empty()))
        .await
        .expect("an answer");
    assert_eq!(deadline_seen(&calls), Some(Instant::now() + SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_late_already_does_not_reach_the_inner_service() {
    let received = Instant::now();
    // It waited in a queue for longer than it had.
    advance(2 * SECOND).await;
    for (layer, given) in [
        (DeadlineLayer::at_most(SECOND), None),
        (DeadlineLayer::at_most(2 * SECOND), None),
        (DeadlineLayer::inherited(), Some(received + SECOND)),
        (DeadlineLayer::at_most(9 * SECOND), Some(received)),
    ] {
        let (inner, calls) = scripted(Step::Answer("never asked for"));
        let response = layer
            .layer(inner)
            .oneshot(request(received, given))
            .await
            .expect("an answer");
        assert_eq!(refusal_of(&response), Some(ErrorKind::Timeout));
        assert_eq!(calls.count(), 0);
        let told = text(response).await;
        assert!(told.contains("the service was not asked"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_may_go_on_after_the_deadline() {
    let inner = service_fn(async |_: Request<Body>| {
        let body = late_body(2 * SECOND, "the end");
        Ok::<_, Infallible>(Response::new(body))
    });
    let service = DeadlineLayer::at_most(SECOND).layer(inner);
    let response = service
        .oneshot(request(Instant::now(), None))
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "the end");
}

#[tokio::test(start_paused = true)]
async fn the_inner_services_error_is_passed_on_as_it_is() {
    let (inner, _calls) = scripted(Step::FailAfter(SECOND, "broken"));
    let service = DeadlineLayer::at_most(2 * SECOND).layer(inner);
    let failed = service.oneshot(request(Instant::now(), None)).await;
    assert_eq!(failed.err(), Some("broken"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_at_the_deadline_wins() {
    let (inner, _calls) = scripted(Step::AnswerAfter(SECOND, "just"));
    let service = DeadlineLayer::at_most(SECOND).layer(inner);
    let response = service
        .oneshot(request(Instant::now(), None))
        .await
        .expect("an answer");
    assert_eq!(text(response).await, "just");
}

#[test]
fn what_is_answered_at_once_needs_no_timer() {
    let (inner, _calls) = scripted(Step::Answer("at once"));
    let mut service = DeadlineLayer::at_most(SECOND).layer(inner);
    let mut answer = Box::pin(service.call(request(Instant::now(), None)));
    let mut waiting = Context::from_waker(Waker::noop());
    assert!(
        answer.as_mut().poll(&mut waiting).is_ready(),
        "outside of any runtime"
    );
}

#[tokio::test]
async fn the_future_does_not_grow_unnoticed() {
    let inner =
        service_fn(|_: Request<Body>| std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty()))));
    let mut service = DeadlineLayer::at_most(SECOND).layer(inner);
    assert_future_size(&service.call(Request::new(Body::empty())), 320);
}

#[tokio::test]
async fn the_clone_that_was_ready_is_the_one_that_is_called() {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut service = DeadlineLayer::at_most(SECOND).layer(NotReadyClone::new(inner));
    for _ in 0..3 {
        let ready = service.ready().await.expect("ready");
        let response = ready.call(Request::new(Body::empty())).await.expect("an answer");
        assert_eq!(response.status(), 200);
    }
}

/// A body that ends with this text after a while.
fn late_body(wait: Duration, text: &'static str) -> Body {
    Body::new(Late {
        wait: Box::pin(sleep(wait)),
        text: Some(text),
    })
}

struct Late {
    wait: Pin<Box<Sleep>>,
    text: Option<&'static str>,
}

impl http_body::Body for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.wait.as_mut().poll(cx));
        let frame = self.text.take().map(|text| Ok(Frame::data(text.into())));
        Poll::Ready(frame)
    }
}
