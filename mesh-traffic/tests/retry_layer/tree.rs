//! A call tree tries again at one layer only.

use http::Request;
use mesh_core::body::Body;
use mesh_core::carry::{CarryLayer, InheritLayer};
use mesh_core::testkit::Step;
use mesh_core::{Error, ErrorKind, MeshContext};
use mesh_traffic::retry::RetryLayer;
use tokio::time::Instant;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{behind, broken, get, plenty, policy, response, status};

fn retried(attempt: u32) -> Request<Body> {
    let mut context = MeshContext::new(Instant::now());
    context.attempt = attempt;
    let mut request = get();
    request.extensions_mut().insert(context);
    request
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_a_retry_itself_is_sent_once_and_says_so() {
    let (service, calls) = behind(policy(), [status(503)]);
    let response = service.oneshot(retried(2)).await.expect("an answer");
    assert_eq!(response.status(), 503);
    assert!(
        !response.headers().contains_key("x-mesh-attempt"),
        "whoever retries may go on"
    );
    let sent = calls.take();
    assert_eq!(sent[0].headers()["x-mesh-attempt"], "2");
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_no_request_of_the_budget() {
    let budget = crate::support::budget(100.0, 0);
    let (inner, _calls) = mesh_core::testkit::Scripted::new((0..10).map(|_| status(200)));
    let service = RetryLayer::new(policy(), budget.clone()).layer(inner);
    for _ in 0..10 {
        service.clone().oneshot(retried(1)).await.expect("an answer");
    }
    assert!(!budget.try_spend(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn of_two_layers_only_the_inner_one_tries_again() {
    let steps = [status(503), status(503), status(503)];
    let (inner, calls) = behind(policy(), steps);
    let outer = RetryLayer::new(policy(), plenty()).layer(inner);
    let response = outer.oneshot(get()).await.expect("an answer");
    assert_eq!((response.status().as_u16(), calls.count()), (503, 3));

    let (inner, calls) = behind(policy(), [broken(), broken(), broken()]);
    let outer = RetryLayer::new(policy(), plenty()).layer(inner);
    let error = outer.oneshot(get()).await.expect_err("all broke");
    assert_eq!((error.attempts(), calls.count()), (Some(3), 3));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_was_tried_beneath_is_handed_on_as_it_is() {
    let mut tried = response(503);
    tried
        .headers_mut()
        .insert("x-mesh-attempt", "2".parse().expect("a value"));
    let error = || Error::new(ErrorKind::UpstreamConnect, "no connection").with_attempts(2);
    let (service, calls) = behind(policy(), [Step::Answer(tried), Step::Fail(error())]);
    let response = service.clone().oneshot(get()).await.expect("an answer");
    assert_eq!(response.headers()["x-mesh-attempt"], "2");
    let error = service.oneshot(get()).await.expect_err("no connection");
    assert_eq!((error.attempts(), calls.count()), (Some(2), 2));
}

#[tokio::test(start_paused = true)]
async fn what_an_application_calls_for_a_retry_is_sent_once() {
    let (stock, calls) = behind(policy(), (0..5).map(|_| status(503)));
    let stock = InheritLayer::new().layer(stock);
    // What it makes of the failure says nothing of who tried what.
    let app = service_fn(move |_: Request<Body>| {
        let stock = stock.clone();
        async move {
            let answer = stock.oneshot(get()).await?;
            Ok::<_, Error>(response(answer.status().as_u16()))
        }
    });
    let orders = ServiceBuilder::new()
        .layer(RetryLayer::new(policy(), plenty()))
        .layer(CarryLayer::new())
        .service(app);
    let response = orders.oneshot(get()).await.expect("an answer");
    assert_eq!(response.status(), 503);
    // Three for the first request, and one for each of its retries: not three times three.
    assert_eq!(calls.count(), 5);
    let attempts: Vec<_> = calls.take();
    let attempts = attempts.iter().map(|sent| {
        let attempt = sent.headers().get("x-mesh-attempt")?;
        attempt.to_str().ok().map(str::to_owned)
    });
    let expected = [None, Some("1"), Some("2"), Some("1"), Some("2")];
    assert_eq!(
        attempts.collect::<Vec<_>>(),
        expected.map(|a| a.map(str::to_owned))
    );
}
