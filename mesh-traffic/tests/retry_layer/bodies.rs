//! What is sent again, and what is not handed on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use mesh_core::Error;
use mesh_core::body::Body;
use mesh_core::testkit::Step;
use mesh_traffic::retry::{RetryLayer, RetryOutcome};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{get, plenty, policy, response, told};

/// Reads every body to its end and fails so often.
fn reading(
    failures: usize,
) -> (
    impl tower::Service<Request<Body>, Response = Response<Body>, Error = Error, Future: Send>
    + Clone
    + Send
    + 'static,
    Arc<AtomicUsize>,
) {
    let tries = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&tries);
    let service = service_fn(move |request: Request<Body>| {
        let number = counting.fetch_add(1, Ordering::SeqCst);
        async move {
            let body = request
                .into_body()
                .collect()
                .await
                .map_err(Error::wrap)?
                .to_bytes();
            let code = if number < failures { 503 } else { 200 };
            Ok(response(code).map(|_| Body::full(body)))
        }
    });
    (service, tries)
}

#[tokio::test(start_paused = true)]
async fn the_body_is_sent_again_as_it_was() {
    let (inner, tries) = reading(2);
    let service = RetryLayer::new(policy(), plenty()).layer(inner);
    let request = Request::put("/").body(Body::full("all of it")).expect("valid");
    let response = service.oneshot(request).await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), tries.load(Ordering::SeqCst)),
        (200, 3)
    );
    let body = response.into_body().collect().await.expect("whole").to_bytes();
    assert_eq!(body, "all of it");
}

#[tokio::test(start_paused = true)]
async fn a_body_beyond_the_cap_is_sent_on_whole_but_not_again() {
    let (inner, tries) = reading(1);
    let outcomes = crate::support::Outcomes::default();
    let telling = Arc::clone(&outcomes);
    let layer = RetryLayer::new(policy(), plenty())
        .observe(move |outcome| telling.lock().expect("free").push(outcome));
    let long = "x".repeat(64 * 1024 + 1);
    let request = Request::put("/").body(Body::full(long.clone())).expect("valid");
    let response = layer.layer(inner).oneshot(request).await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), tries.load(Ordering::SeqCst)),
        (503, 1)
    );
    assert!(
        !response.headers().contains_key("x-mesh-attempt"),
        "others may have less to send"
    );
    let body = response.into_body().collect().await.expect("whole").to_bytes();
    assert_eq!(body.len(), long.len());
    assert_eq!(*outcomes.lock().expect("free"), [RetryOutcome::NotReplayable]);
}

/// A body that knows whether it was read to its end.
struct Watched {
    pieces: usize,
    ended: Arc<AtomicBool>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.pieces == 0 {
            self.ended.store(true, Ordering::SeqCst);
            return Poll::Ready(None);
        }
        self.pieces -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1024])))))
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_gets_is_read_to_its_end_unless_it_is_long() {
    for (pieces, read) in [(0, true), (64, true), (66, false)] {
        let ended = Arc::new(AtomicBool::new(false));
        let body = Watched {
            pieces,
            ended: Arc::clone(&ended),
        };
        let failed = response(503).map(|_| Body::new(body));
        let steps = [Step::Answer(failed), crate::support::status(200)];
        let (service, _outcomes) = told(policy(), plenty(), steps);
        assert_eq!(service.oneshot(get()).await.expect("an answer").status(), 200);
        assert_eq!(ended.load(Ordering::SeqCst), read, "{pieces}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_after_its_head_is_handed_on_and_not_asked_for_again() {
    struct Breaks;
    impl http_body::Body for Breaks {
        type Data = Bytes;
        type Error = &'static str;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(Some(Err("it broke")))
        }
    }
    let broken = response(200).map(|_| Body::new(Breaks));
    let (service, outcomes) = told(policy(), plenty(), [Step::Answer(broken)]);
    let response = service.oneshot(get()).await.expect("a head");
    assert!(response.into_body().collect().await.is_err());
    assert!(outcomes.lock().expect("free").is_empty());
}
