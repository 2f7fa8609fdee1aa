//! Calls of gRPC: their status is in the head, or in trailers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::testkit::Step;
use mesh_traffic::retry::Idempotent;
use tokio::time::{Instant, Sleep, sleep};
use tower::ServiceExt;

use crate::support::{Answer, SECOND, behind, policy, response};

fn call() -> Request<Body> {
    let request = Request::post("/orders.Orders/Get").header("content-type", "application/grpc+proto");
    let mut request = request.body(Body::full("message")).expect("valid");
    request.extensions_mut().insert(Idempotent(true));
    request
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &str)| {
        (
            http::HeaderName::from_static(name),
            http::HeaderValue::from_str(value).expect("a value"),
        )
    };
    fields.iter().map(field).collect()
}

/// Frames that begin to come after a while.
struct Frames {
    wait: Option<Pin<Box<Sleep>>>,
    frames: Vec<Frame<Bytes>>,
    breaks: bool,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        if self.frames.is_empty() {
            return Poll::Ready(self.breaks.then_some(Err("it broke")));
        }
        Poll::Ready(Some(Ok(self.frames.remove(0))))
    }
}

fn answered(head: &[(&'static str, &str)], wait: Duration, frames: Vec<Frame<Bytes>>) -> Answer {
    let mut response = response(200);
    *response.headers_mut() = fields(head);
    response
        .headers_mut()
        .insert("content-type", "application/grpc".parse().expect("a value"));
    let wait = (!wait.is_zero()).then(|| Box::pin(sleep(wait)));
    Step::Answer(response.map(|_| {
        Body::new(Frames {
            wait,
            frames,
            breaks: false,
        })
    }))
}

fn trailers(of: &[(&'static str, &str)]) -> Vec<Frame<Bytes>> {
    vec![Frame::trailers(fields(of))]
}

fn whole(status: &str) -> Vec<Frame<Bytes>> {
    let mut frames = vec![Frame::data("message".into())];
    frames.extend(trailers(&[("grpc-status", status)]));
    frames
}

#[tokio::test(start_paused = true)]
async fn a_status_in_the_head_or_in_trailers_before_any_message_is_a_failure_to_try_again_after() {
    for failed in [
        answered(&[("grpc-status", "14")], Duration::ZERO, vec![]),
        answered(&[], Duration::ZERO, trailers(&[("grpc-status", "14")])),
        answered(&[], Duration::from_millis(20), trailers(&[("grpc-status", "14")])),
    ] {
        let (service, calls) = behind(policy(), [failed, answered(&[], Duration::ZERO, whole("0"))]);
        let response = service.oneshot(call()).await.expect("an answer");
        let body = response.into_body().collect().await.expect("whole");
        assert_eq!(body.trailers().expect("there")["grpc-status"], "0");
        assert_eq!(body.to_bytes(), "message");
        assert_eq!(calls.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_that_were_looked_at_are_handed_on() {
    let of = [("grpc-status", "5"), ("grpc-message", "no such order")];
    let (service, calls) = behind(policy(), [answered(&[], Duration::ZERO, trailers(&of))]);
    let response = service.oneshot(call()).await.expect("an answer");
    let body = response.into_body().collect().await.expect("whole");
    assert_eq!(body.trailers(), Some(&fields(&of)));
    assert_eq!(calls.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_a_message_is_handed_on() {
    let (service, calls) = behind(policy(), [answered(&[], Duration::ZERO, whole("14"))]);
    let response = service.oneshot(call()).await.expect("an answer");
    let body = response.into_body().collect().await.expect("whole");
    assert_eq!(body.trailers().expect("there")["grpc-status"], "14");
    assert_eq!(calls.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_first_message_takes_its_time_has_its_head_at_once() {
    let (service, _calls) = behind(policy(), [answered(&[], 5 * SECOND, whole("0"))]);
    let began = Instant::now();
    let response = service.oneshot(call()).await.expect("a head");
    assert!(
        began.elapsed() <= Duration::from_millis(51),
        "{:?}",
        began.elapsed()
    );
    let body = response.into_body().collect().await.expect("whole");
    assert_eq!(body.to_bytes(), "message");
    assert!(began.elapsed() >= 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_breaks_before_any_message_is_a_reset() {
    let Step::Answer(broken) = answered(&[], Duration::ZERO, vec![]) else {
        panic!("an answer")
    };
    let broken = broken.map(|_| {
        Body::new(Frames {
            wait: None,
            frames: vec![],
            breaks: true,
        })
    });
    let steps = [Step::Answer(broken), answered(&[], Duration::ZERO, whole("0"))];
    let (service, calls) = behind(policy(), steps);
    service.oneshot(call()).await.expect("an answer");
    assert_eq!(calls.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn push_back_says_when_and_whether() {
    let told = |millis| [("grpc-status", "14"), ("grpc-retry-pushback-ms", millis)];
    for in_head in [true, false] {
        let failed = |millis| match in_head {
            true => answered(&told(millis), Duration::ZERO, vec![]),
            false => answered(&[], Duration::ZERO, trailers(&told(millis))),
        };
        let (service, calls) = behind(
            policy(),
            [failed("1500"), answered(&[], Duration::ZERO, whole("0"))],
        );
        let began = Instant::now();
        service.oneshot(call()).await.expect("an answer");
        assert_eq!((began.elapsed().as_millis(), calls.count()), (1500, 2));

        let (service, calls) = behind(policy(), [failed("-1")]);
        service.oneshot(call()).await.expect("an answer");
        assert_eq!(calls.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_idempotent_is_not_looked_into() {
    let (service, calls) = behind(
        policy(),
        [answered(&[], SECOND, trailers(&[("grpc-status", "14")]))],
    );
    let mut request = call();
    request.extensions_mut().remove::<Idempotent>();
    let began = Instant::now();
    let response = service.oneshot(request).await.expect("a head");
    assert_eq!(began.elapsed(), Duration::ZERO);
    let body = response.into_body().collect().await.expect("whole");
    assert_eq!(body.trailers().expect("there")["grpc-status"], "14");
    assert_eq!(calls.count(), 1);
}
