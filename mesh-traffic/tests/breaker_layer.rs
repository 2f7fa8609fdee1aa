//! The circuit breaker in front of a service.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::breaker::{BreakerConfig, State};
use mesh_core::reject::reject;
use mesh_core::testkit::{Calls, NotReadyClone, Scripted, Step, assert_future_size};
use mesh_core::{BreakerPolicy, Error, ErrorKind, EventBus, MeshContext, MeshEvent, Outcome};
use mesh_traffic::{BreakerLayer, ServiceBreaker};
use tokio::time::{Instant, advance, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

type Answer = Step<Response<Body>, Error>;
type Record = Calls<Request<Body>, Response<Body>, Error>;

/// Opens at the second failure, for ten seconds, and closes after two good trials.
fn breaker() -> ServiceBreaker {
    ServiceBreaker::new("orders".parse().expect("a name"), policy(), Instant::now())
}

fn policy() -> BreakerPolicy {
    let mut config = BreakerConfig::default();
    config.consecutive_failures = Some(2);
    config.error_rate = None;
    config.open_for = 10 * SECOND;
    config.max_open_for = 10 * SECOND;
    config.half_open_requests = 2;
    config.try_into().expect("makes sense")
}

fn status(status: u16) -> Answer {
    Step::Answer(
        Response::builder()
            .status(status)
            .body(Body::empty())
            .expect("valid"),
    )
}

fn body(fields: &[(&str, &str)], frames: Vec<Result<Frame<Bytes>, &'static str>>) -> Answer {
    let mut response = Response::builder();
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    Step::Answer(response.body(Body::new(Frames(frames))).expect("valid"))
}

fn grpc(status: &str) -> Answer {
    let trailers = HeaderMap::from_iter([(
        "grpc-status".parse().expect("a name"),
        status.parse().expect("a value"),
    )]);
    body(
        &[("content-type", "application/grpc")],
        vec![Ok(Frame::data("message".into())), Ok(Frame::trailers(trailers))],
    )
}

fn behind(
    breaker: &ServiceBreaker,
    steps: impl IntoIterator<Item = Answer>,
) -> (
    impl Service<
        Request<Body>,
        Response = Response<impl http_body::Body<Data = Bytes, Error: Send>>,
        Error = Error,
    > + Clone,
    Record,
) {
    let (inner, calls) = Scripted::new(steps);
    (BreakerLayer::new(breaker.clone()).layer(inner), calls)
}

/// Asks once and reads the body to its end.
async fn ask<S, B>(service: &S) -> Result<u16, Error>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Error> + Clone,
    B: http_body::Body<Data = Bytes>,
{
    let response = service.clone().oneshot(Request::new(Body::empty())).await?;
    let status = response.status().as_u16();
    let _whole_or_not = response.into_body().collect().await;
    Ok(status)
}

#[tokio::test(start_paused = true)]
async fn after_enough_failures_the_service_is_left_alone_and_the_refusal_says_why() {
    let breaker = breaker();
    let (service, calls) = behind(&breaker, [status(500), status(503)]);
    for expected in [500, 503] {
        assert_eq!(ask(&service).await.ok(), Some(expected));
    }
    advance(4 * SECOND).await;
    let refused = ask(&service).await.expect_err("open");
    assert_eq!(refused.kind(), ErrorKind::CircuitOpen);
    assert_eq!(
        refused.message(),
        "the circuit breaker of orders is open, since 4s, after 2 consecutive failures; it tries again in 6s"
    );
    assert_eq!(calls.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_its_time_a_few_are_tried_and_close_it() {
    let breaker = breaker();
    let (service, _calls) = behind(
        &breaker,
        [status(500), status(500), status(200), status(200), status(200)],
    );
    for _ in 0..2 {
        ask(&service).await.expect("closed");
    }
    advance(10 * SECOND).await;
    ask(&service).await.expect("a trial");
    assert_eq!(breaker.state(), State::HalfOpen);
    ask(&service).await.expect("another trial");
    assert_eq!(breaker.state(), State::Closed);
    ask(&service).await.expect("closed");
}

#[tokio::test(start_paused = true)]
async fn while_all_trials_are_under_way_others_are_told_so() {
    let breaker = breaker();
    let (service, _calls) = behind(&breaker, [status(500), status(500), Step::Hang, Step::Hang]);
    for _ in 0..2 {
        ask(&service).await.expect("closed");
    }
    advance(10 * SECOND).await;
    let mut trials = [Box::pin(ask(&service)), Box::pin(ask(&service))];
    for trial in &mut trials {
        assert!(timeout(Duration::ZERO, trial).await.is_err(), "it hangs");
    }
    let refused = ask(&service).await.expect_err("no trial is left");
    assert_eq!(refused.kind(), ErrorKind::CircuitOpen);
    let told = refused.message();
    assert!(told.contains("all 2 trials are under way"), "{told}");
    assert!(told.contains("of orders"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_trial_makes_room_for_another() {
    let breaker = breaker();
    let (service, calls) = behind(
        &breaker,
        [
            status(500),
            status(500),
            Step::Hang,
            Step::Hang,
            status(200),
            status(200),
        ],
    );
    for _ in 0..2 {
        ask(&service).await.expect("closed");
    }
    advance(10 * SECOND).await;
    for _ in 0..2 {
        assert!(timeout(Duration::ZERO, ask(&service)).await.is_err(), "it hangs");
    }
    assert_eq!(calls.cancelled(), 2);
    for _ in 0..2 {
        ask(&service)
            .await
            .expect("a trial in place of one that was given up");
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_answers_is_found_out_by_the_deadlines_it_misses() {
    let breaker = breaker();
    let (service, _calls) = behind(&breaker, [Step::Hang, Step::Hang, Step::Hang]);
    for (given_up_after, state) in [(1, State::Closed), (2, State::Closed), (2, State::Open)] {
        let mut request = Request::new(Body::empty());
        let mut context = MeshContext::new(Instant::now());
        context.deadline = Some(Instant::now() + 2 * SECOND);
        request.extensions_mut().insert(context);
        let answer = timeout(given_up_after * SECOND, service.clone().oneshot(request)).await;
        assert!(answer.is_err());
        assert_eq!(breaker.state(), state);
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_call_is_judged_by_its_trailers() {
    for (code, state) in [
        ("0", State::Closed),
        ("5", State::Closed),
        ("14", State::Open),
        ("nonsense", State::Open),
    ] {
        let breaker = breaker();
        let (service, _calls) = behind(&breaker, [grpc(code), grpc(code)]);
        for _ in 0..2 {
            ask(&service).await.expect("closed");
        }
        assert_eq!(breaker.state(), state, "grpc-status {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_call_is_judged_by_its_head_where_that_has_a_status() {
    let head = |code| {
        body(
            &[("content-type", "application/grpc"), ("grpc-status", code)],
            vec![],
        )
    };
    for (code, state) in [("0", State::Closed), ("13", State::Open)] {
        let breaker = breaker();
        let (service, _calls) = behind(&breaker, [head(code), head(code)]);
        for _ in 0..2 {
            ask(&service).await.expect("closed");
        }
        assert_eq!(breaker.state(), state, "grpc-status {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_call_that_ends_without_a_status_has_failed() {
    let breaker = breaker();
    let without = || {
        body(
            &[("content-type", "application/grpc")],
            vec![Ok(Frame::data("message".into()))],
        )
    };
    let (service, _calls) = behind(&breaker, [without(), without()]);
    for _ in 0..2 {
        ask(&service).await.expect("closed");
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_call_dropped_before_its_end_says_nothing_and_gives_its_trial_back() {
    let breaker = breaker();
    let (service, _calls) = behind(
        &breaker,
        [
            status(500),
            status(500),
            grpc("0"),
            grpc("0"),
            grpc("0"),
            grpc("0"),
        ],
    );
    for _ in 0..2 {
        ask(&service).await.expect("closed");
    }
    advance(10 * SECOND).await;
    for _ in 0..2 {
        drop(
            service
                .clone()
                .oneshot(Request::new(Body::empty()))
                .await
                .expect("a trial"),
        );
    }
    assert_eq!(breaker.state(), State::HalfOpen);
    for _ in 0..2 {
        ask(&service).await.expect("a trial in its place");
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_good_response_nobody_read_to_its_end_was_good() {
    let breaker = breaker();
    let stream = || body(&[], vec![Ok(Frame::data("event".into()))]);
    let (service, _calls) = behind(&breaker, [status(500), status(500), stream(), stream()]);
    for _ in 0..2 {
        ask(&service).await.expect("closed");
    }
    advance(10 * SECOND).await;
    for _ in 0..2 {
        drop(
            service
                .clone()
                .oneshot(Request::new(Body::empty()))
                .await
                .expect("a trial"),
        );
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_a_failure() {
    let breaker = breaker();
    let broken = || body(&[], vec![Ok(Frame::data("half".into())), Err("reset")]);
    let (service, _calls) = behind(&breaker, [broken(), broken()]);
    for _ in 0..2 {
        assert_eq!(ask(&service).await.ok(), Some(200));
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn errors_and_refusals_count_as_their_kind_says() {
    for kind in ErrorKind::ALL {
        let error = || Error::new(kind, "as the script says");
        let refusal = || Step::Answer(reject::<Body>(&error(), false).map(Body::new));
        for steps in [[Step::Fail(error()), Step::Fail(error())], [refusal(), refusal()]] {
            let breaker = breaker();
            let (service, _calls) = behind(&breaker, steps);
            for _ in 0..2 {
                let _either = ask(&service).await;
            }
            let expected = if kind.counts_against_endpoint() {
                State::Open
            } else {
                State::Closed
            };
            assert_eq!(breaker.state(), expected, "{kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_is_told_to_the_bus_and_to_the_gauge() {
    let bus = EventBus::default();
    let mut events = bus.subscribe();
    let gauge = Arc::new(Mutex::new(Vec::new()));
    let shown = Arc::clone(&gauge);
    let breaker = ServiceBreaker::builder("orders".parse().expect("a name"))
        .policy(policy())
        .events(bus.clone())
        .on_change(move |state| shown.lock().expect("no panic").push(state))
        .build(Instant::now());
    let (service, _calls) = behind(&breaker, [status(500), status(500), status(500)]);
    for _ in 0..2 {
        ask(&service).await.expect("closed");
    }
    advance(10 * SECOND).await;
    ask(&service).await.expect("a trial");
    assert_eq!(
        *gauge.lock().expect("no panic"),
        [State::Open, State::HalfOpen, State::Open]
    );
    for (from, to) in [
        (State::Closed, State::Open),
        (State::Open, State::HalfOpen),
        (State::HalfOpen, State::Open),
    ] {
        let event = events.next().await.expect("told");
        let MeshEvent::BreakerChanged {
            service, transition, ..
        } = &*event
        else {
            panic!("{event}");
        };
        assert_eq!(
            (service.as_str(), transition.from, transition.to),
            ("orders", from, to)
        );
    }
    let refused = ask(&service).await.expect_err("open again");
    assert!(refused.message().contains("after a trial failed"), "{refused}");
}

#[test]
fn threads_share_one_breaker_and_the_gauge_tells_its_state_at_last() {
    let start = Instant::now();
    for _ in 0..50 {
        let gauge = Arc::new(Mutex::new(State::Closed));
        let shown = Arc::clone(&gauge);
        let breaker = ServiceBreaker::builder("orders".parse().expect("a name"))
            .policy(policy())
            .on_change(move |state| *shown.lock().expect("no panic") = state)
            .build(start);
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let breaker = breaker.clone();
                scope.spawn(move || {
                    for n in 0..50 {
                        let now = start + 11 * n * SECOND;
                        if let Ok(admitted) = breaker.admit(now) {
                            let failed = (n + thread) % 3 == 0;
                            admitted.settle(
                                if failed {
                                    Outcome::Failure
                                } else {
                                    Outcome::Success
                                },
                                now,
                            );
                        }
                    }
                });
            }
        });
        assert_eq!(*gauge.lock().expect("no panic"), breaker.state());
    }
}

#[tokio::test]
async fn the_clone_that_was_ready_is_the_one_that_is_called() {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut service = BreakerLayer::new(breaker()).layer(NotReadyClone::new(inner));
    for _ in 0..3 {
        let ready = service.ready().await.expect("ready");
        let response = ready.call(Request::new(Body::empty())).await.expect("an answer");
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn the_future_does_not_grow_unnoticed() {
    let inner =
        service_fn(|_: Request<Body>| std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty()))));
    let mut service = BreakerLayer::new(breaker()).layer(inner);
    assert_future_size(&service.call(Request::new(Body::empty())), 240);
}

struct Frames(Vec<Result<Frame<Bytes>, &'static str>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready((!self.0.is_empty()).then(|| self.0.remove(0)))
    }
}

#[tokio::test(start_paused = true)]
async fn what_something_else_has_dealt_with_says_nothing_about_the_service() {
    let dealt_with = Arc::new(Mutex::new(Instant::now() - SECOND));
    let excused = Arc::clone(&dealt_with);
    let breaker = ServiceBreaker::builder("orders".parse().expect("a name"))
        .policy(policy())
        .excuse(move |admitted| *excused.lock().expect("no panic") >= admitted)
        .build(Instant::now());
    let failing = std::iter::repeat_with(|| status(500)).take(8);
    let (mut orders, _) = behind(&breaker, failing);
    let mut fail = async || {
        let orders = orders.ready().await.expect("ready");
        orders
            .call(Request::default())
            .await
            .map(|response| response.status())
    };
    // One counts. While the next is under way, its endpoint is ejected.
    assert!(fail().await.is_ok());
    *dealt_with.lock().expect("no panic") = Instant::now();
    assert!(fail().await.is_ok());
    assert_eq!(breaker.state(), State::Closed);
    // Whoever comes later meets the others.
    advance(SECOND).await;
    assert!(fail().await.is_ok());
    assert_eq!(breaker.state(), State::Open);

    // A trial that is excused was none.
    advance(10 * SECOND).await;
    *dealt_with.lock().expect("no panic") = Instant::now();
    for _ in 0..4 {
        assert!(fail().await.is_ok());
        assert_eq!(breaker.state(), State::HalfOpen);
    }
    advance(SECOND).await;
    assert!(fail().await.is_ok());
    assert_eq!(breaker.state(), State::Open);
    let refused = fail().await.expect_err("open");
    assert_eq!(refused.retry_after(), Some(10 * SECOND));
}
