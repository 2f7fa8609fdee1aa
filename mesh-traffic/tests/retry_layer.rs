//! Trying again, around a service that does what a script says.

#[path = "retry_layer/bodies.rs"]
mod bodies;
#[path = "retry_layer/grpc.rs"]
mod grpc;
#[path = "retry_layer/support.rs"]
mod support;
#[path = "retry_layer/tree.rs"]
mod tree;
#[path = "retry_layer/waits.rs"]
mod waits;

use std::convert::Infallible;

use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::reject::reject;
use mesh_core::testkit::{NotReadyClone, Step};
use mesh_core::tried::TriedEndpoints;
use mesh_core::{Endpoint, Error, ErrorKind, MeshContext};
use mesh_traffic::retry::{Idempotent, RetryLayer, RetryOutcome, RetryPolicy};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

use support::{ask, behind, broken, get, plenty, policy, post, status, told};

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_and_the_answer_is_that_of_the_last_try() {
    let (service, calls) = behind(policy(), [status(503), broken(), status(200)]);
    assert_eq!(ask(&service, get()).await.ok(), Some(200));
    assert_eq!(calls.count(), 3);
    assert_eq!(calls.cancelled(), 0);
}

#[tokio::test(start_paused = true)]
async fn attempts_end_and_the_last_failure_is_handed_on_with_their_number() {
    let (service, calls) = behind(policy(), [status(503), status(503), status(504)]);
    let response = service.clone().oneshot(get()).await.expect("an answer");
    assert_eq!(response.status(), 504);
    assert_eq!(response.headers()["x-mesh-attempt"], "3");
    assert_eq!(calls.count(), 3);

    let (service, _calls) = behind(policy(), [broken(), broken(), broken()]);
    let error = service.oneshot(get()).await.expect_err("all broke");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::UpstreamReset, Some(3))
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_idempotent_is_sent_once_unless_it_is_marked() {
    let (service, calls) = behind(policy(), [status(503)]);
    let response = service.oneshot(post("order")).await.expect("an answer");
    assert_eq!((response.status().as_u16(), calls.count()), (503, 1));
    assert!(
        !response.headers().contains_key("x-mesh-attempt"),
        "who knows more may try again"
    );

    let mut marked = post("order");
    marked.extensions_mut().insert(Idempotent(true));
    let mut keyed = post("order");
    keyed
        .headers_mut()
        .insert("idempotency-key", "7".parse().expect("a value"));
    for request in [marked, keyed] {
        let (service, calls) = behind(policy(), [status(503), status(200)]);
        assert_eq!(ask(&service, request).await.ok(), Some(200));
        assert_eq!(calls.count(), 2);
    }

    let mut all = policy();
    all.idempotent = true;
    let (service, calls) = behind(all, [status(503), status(200)]);
    assert_eq!(ask(&service, post("order")).await.ok(), Some(200));
    assert_eq!(calls.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_tunnel_is_sent_again_only_if_it_was_not_seen() {
    let tunnel = || {
        let mut request = get();
        let websocket = "websocket".parse().expect("a value");
        request.headers_mut().insert("upgrade", websocket);
        request
    };
    let mut all = policy();
    all.idempotent = true;
    let (service, calls) = behind(all.clone(), [status(503)]);
    assert_eq!(ask(&service, tunnel()).await.ok(), Some(503));
    assert_eq!(calls.count(), 1);
    let refused = Step::Fail(Error::new(ErrorKind::UpstreamConnect, "nobody listens"));
    let (service, calls) = behind(all, [refused, status(101)]);
    assert_eq!(ask(&service, tunnel()).await.ok(), Some(101));
    assert_eq!(calls.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_application_certainly_did_not_see_is_sent_again_whatever_the_method() {
    let unsent = Error::new(ErrorKind::UpstreamConnect, "no connection");
    let refused = Error::new(ErrorKind::UpstreamReset, "the stream was refused").not_processed();
    for error in [unsent, refused] {
        let (service, calls) = behind(policy(), [Step::Fail(error), status(201)]);
        assert_eq!(ask(&service, post("order")).await.ok(), Some(201));
        assert_eq!(calls.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_this_process_is_not_asked_for_again() {
    for kind in [
        ErrorKind::CircuitOpen,
        ErrorKind::Overloaded,
        ErrorKind::RateLimited,
        ErrorKind::NoRoute,
    ] {
        let mut all = policy();
        all.on = ["404", "429", "502", "503", "504"]
            .map(|text| text.parse().expect("a failure"))
            .to_vec();
        let error = || Error::new(kind, "refused");
        let refusal = reject::<Body>(&error(), false).map(Body::new);
        for step in [Step::Fail(error()), Step::Answer(refusal)] {
            let (service, calls) = behind(all.clone(), [step]);
            let _either = ask(&service, get()).await;
            assert_eq!(calls.count(), 1, "{kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_try_is_the_same_request_and_says_which_it_is() {
    let (service, calls) = behind(policy(), [status(503), status(503), status(200)]);
    let mut request = Request::put("/orders/7?x=1")
        .header("a", "1")
        .header("a", "2")
        .body(Body::empty())
        .expect("valid");
    request.extensions_mut().insert(7_u32);
    request.extensions_mut().insert(MeshContext::new(Instant::now()));
    ask(&service, request).await.expect("an answer");
    let mut attempts = Vec::new();
    for request in calls.take() {
        assert_eq!(
            (request.method().as_str(), request.uri().to_string().as_str()),
            ("PUT", "/orders/7?x=1")
        );
        let all: Vec<_> = request.headers().get_all("a").iter().collect();
        assert_eq!(all, ["1", "2"]);
        assert_eq!(request.extensions().get::<u32>(), Some(&7));
        let field = request
            .headers()
            .get("x-mesh-attempt")
            .map(|value| value.to_str().expect("text").to_owned());
        let context = request.extensions().get::<MeshContext>().expect("there");
        attempts.push((context.attempt, field));
    }
    assert_eq!(
        attempts,
        [(0, None), (1, Some("1".into())), (2, Some("2".into()))]
    );
}

#[tokio::test(start_paused = true)]
async fn the_endpoints_of_one_try_are_known_to_the_next() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seeing = std::sync::Arc::clone(&seen);
    // As a balancer does: avoids what is there, and tells its choice.
    let balance = service_fn(move |request: Request<Body>| {
        let tried = request.extensions().get::<TriedEndpoints>().expect("there");
        let before: Vec<String> = tried.iter().map(ToString::to_string).collect();
        let choice = format!("10.0.0.{}:80", 1 + before.len());
        tried.add(Endpoint::new(choice.parse().expect("an address")).id());
        seeing.lock().expect("free").push(before);
        std::future::ready(Err::<Response<Body>, _>(Error::new(
            ErrorKind::UpstreamReset,
            "it broke",
        )))
    });
    let service = RetryLayer::new(policy(), plenty()).layer(balance);
    service.oneshot(get()).await.expect_err("all broke");
    let seen = seen.lock().expect("free");
    assert_eq!(
        *seen,
        [vec![], vec!["10.0.0.1:80"], vec!["10.0.0.1:80", "10.0.0.2:80"]]
    );
}

#[tokio::test(start_paused = true)]
async fn every_retry_that_was_made_or_wanted_is_told() {
    use RetryOutcome::{AttemptsExhausted, Failure, Success};
    for (steps, expected) in [
        (vec![status(200)], vec![]),
        (vec![status(503), status(200)], vec![Success]),
        (vec![status(503), status(404)], vec![Success]),
        (
            vec![status(503), status(503), status(200)],
            vec![Failure, Success],
        ),
        (
            vec![status(503), broken(), status(503)],
            vec![Failure, Failure, AttemptsExhausted],
        ),
    ] {
        let (service, outcomes) = told(policy(), plenty(), steps);
        let _either = ask(&service, get()).await;
        assert_eq!(*outcomes.lock().expect("free"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_budget_is_used_up_failures_are_handed_on() {
    let budget = support::budget(20.0, 0);
    let steps = || (0..12).map(|_| status(503)).collect::<Vec<_>>();
    let (service, outcomes) = told(policy(), budget.clone(), steps());
    for _ in 0..10 {
        let response = service.clone().oneshot(get()).await.expect("an answer");
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("x-mesh-attempt"));
    }
    let outcomes = outcomes.lock().expect("free");
    let made = outcomes.iter().filter(|outcome| outcome.was_made()).count();
    assert_eq!(made, 2, "20 % of ten");
    assert!(outcomes.contains(&RetryOutcome::BudgetExhausted));
    assert!(!budget.try_spend(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_no_attempts_sends_once_and_says_nothing() {
    let mut none = policy();
    none.attempts = 0;
    let (service, calls) = behind(none, [status(503)]);
    let response = service.oneshot(get()).await.expect("an answer");
    assert!(!response.headers().contains_key("x-mesh-attempt"));
    assert_eq!(calls.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_clone_that_was_ready_is_the_one_that_is_called() {
    let inner = service_fn(async |_: Request<Body>| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        Ok::<_, Infallible>(response)
    });
    let mut service = RetryLayer::new(RetryPolicy::default(), plenty()).layer(NotReadyClone::new(inner));
    for _ in 0..3 {
        let ready = service.ready().await.expect("ready");
        let response = ready.call(get()).await.expect("an answer");
        assert_eq!(response.headers()["x-mesh-attempt"], "3");
    }
}
