//! A second request beside one that takes long.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::testkit::{Calls, NotReadyClone, Scripted, Step};
use mesh_core::tried::TriedEndpoints;
use mesh_core::{Error, ErrorKind, MeshContext};
use mesh_traffic::hedge::{HedgeConfig, HedgeLayer, HedgeOutcome, HedgePolicy, HedgeService};
use mesh_traffic::retry::{BudgetConfig, RetryBudget, RetryLayer, RetryPolicy};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);

type Answer = Step<Response<Body>, Error>;
type Inner = Scripted<Request<Body>, Response<Body>, Error>;
type Record = Calls<Request<Body>, Response<Body>, Error>;
type Outcomes = Arc<Mutex<Vec<HedgeOutcome>>>;

fn budget(percent: f64) -> RetryBudget {
    let mut config = BudgetConfig::default();
    config.percent = percent;
    config.min_per_second = 0;
    RetryBudget::new(config.try_into().expect("makes sense"), Instant::now())
}

fn after(time: Duration, status: u16) -> Answer {
    let response = Response::builder().status(status).body(Body::empty());
    Step::AnswerAfter(time, response.expect("valid"))
}

fn get() -> Request<Body> {
    Request::default()
}

/// A hundred answers after 10 ms each, and then these.
async fn warm(budget: RetryBudget, steps: Vec<Answer>) -> (HedgeService<Inner>, Record, Outcomes) {
    let warming = (0..100).map(|_| after(10 * MS, 200));
    let (inner, calls) = Scripted::new(warming.chain(steps));
    let outcomes = Outcomes::default();
    let telling = Arc::clone(&outcomes);
    let service = HedgeLayer::new(HedgePolicy::default(), budget, Instant::now())
        .observe(move |outcome| telling.lock().expect("free").push(outcome))
        .layer(inner);
    for _ in 0..100 {
        service.clone().oneshot(get()).await.expect("an answer");
    }
    // Found anew by now.
    tokio::time::advance(100 * MS).await;
    calls.take();
    (service, calls, outcomes)
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_longer_than_most_gets_company_and_the_first_answer_is_taken() {
    let (service, calls, outcomes) = warm(budget(20.0), vec![Step::Hang, after(3 * MS, 201)]).await;
    let began = Instant::now();
    let response = service.oneshot(get()).await.expect("an answer");
    assert_eq!(response.status(), 201);
    let took = began.elapsed();
    assert!(took >= 13 * MS && took <= 15 * MS, "{took:?}");
    assert_eq!(calls.cancelled(), 1);
    assert_eq!(*outcomes.lock().expect("free"), [HedgeOutcome::Won]);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_tunnel_is_sent_once() {
    let (service, calls, outcomes) = warm(budget(20.0), vec![after(1000 * MS, 101)]).await;
    let request = Request::get("/").header("upgrade", "websocket");
    let request = request.body(Body::empty()).expect("valid");
    assert_eq!(service.oneshot(request).await.expect("an answer").status(), 101);
    assert_eq!((calls.count(), outcomes.lock().expect("free").len()), (101, 0));
}

#[tokio::test(start_paused = true)]
async fn the_first_may_still_win() {
    let (service, calls, outcomes) = warm(budget(20.0), vec![after(12 * MS, 201), Step::Hang]).await;
    assert_eq!(service.oneshot(get()).await.expect("an answer").status(), 201);
    assert_eq!((calls.count(), calls.cancelled()), (102, 1));
    assert_eq!(*outcomes.lock().expect("free"), [HedgeOutcome::Lost]);
}

#[tokio::test(start_paused = true)]
async fn the_second_says_that_it_is_not_the_first_and_knows_where_that_went() {
    let (service, calls, _outcomes) = warm(budget(20.0), vec![Step::Hang, after(MS, 200)]).await;
    service.oneshot(get()).await.expect("an answer");
    let sent = calls.take();
    let attempt = |request: &Request<Body>| {
        request
            .extensions()
            .get::<MeshContext>()
            .map(|context| context.attempt)
    };
    assert_eq!((attempt(&sent[0]), attempt(&sent[1])), (None, Some(1)));
    assert_eq!(sent[1].headers()["x-mesh-attempt"], "1");
    let tried = |request: &Request<Body>| {
        request
            .extensions()
            .get::<TriedEndpoints>()
            .expect("there")
            .clone()
    };
    let endpoint = mesh_core::Endpoint::new("10.0.0.7:80".parse().expect("an address"));
    tried(&sent[0]).add(endpoint.id());
    assert_eq!(tried(&sent[1]).iter().collect::<Vec<_>>(), [endpoint.id()]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_answer_waits_for_the_other() {
    for steps in [
        vec![after(12 * MS, 503), after(9 * MS, 200)],
        vec![after(30 * MS, 200), after(MS, 503)],
        vec![
            Step::FailAfter(12 * MS, Error::new(ErrorKind::UpstreamReset, "it broke")),
            after(9 * MS, 200),
        ],
    ] {
        let (service, _calls, _outcomes) = warm(budget(20.0), steps).await;
        assert_eq!(service.oneshot(get()).await.expect("an answer").status(), 200);
    }
    let (service, _calls, _outcomes) =
        warm(budget(20.0), vec![after(12 * MS, 503), after(9 * MS, 502)]).await;
    assert_eq!(service.oneshot(get()).await.expect("an answer").status(), 502);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_twice_before_enough_is_known() {
    let (inner, calls) = Scripted::new(
        (0..99)
            .map(|_| after(10 * MS, 200))
            .chain([after(10_000 * MS, 200)]),
    );
    let service = HedgeLayer::new(HedgePolicy::default(), budget(20.0), Instant::now()).layer(inner);
    for _ in 0..100 {
        service.clone().oneshot(get()).await.expect("an answer");
    }
    assert_eq!(calls.count(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_idempotent_or_is_a_retry_is_sent_once() {
    let slow = || after(1000 * MS, 200);
    let (service, calls, outcomes) = warm(budget(20.0), vec![slow(), slow()]).await;
    let post = Request::post("/").body(Body::empty()).expect("valid");
    service.clone().oneshot(post).await.expect("an answer");
    let mut context = MeshContext::new(Instant::now());
    context.attempt = 1;
    let mut retry = get();
    retry.extensions_mut().insert(context);
    service.oneshot(retry).await.expect("an answer");
    assert_eq!(calls.count(), 102);
    assert!(outcomes.lock().expect("free").is_empty());
}

#[tokio::test(start_paused = true)]
async fn hedges_end_with_the_budget() {
    // One in a hundred of those of the warming up and these. More slow ones would be what is usual.
    let steps = (0..5).map(|_| after(30 * MS, 200)).collect();
    let (service, calls, outcomes) = warm(budget(1.0), steps).await;
    for _ in 0..4 {
        service.clone().oneshot(get()).await.expect("an answer");
    }
    assert_eq!(calls.count(), 100 + 4 + 1);
    let outcomes = outcomes.lock().expect("free");
    let exhausted = outcomes
        .iter()
        .filter(|outcome| **outcome == HedgeOutcome::BudgetExhausted)
        .count();
    assert_eq!((outcomes.len(), exhausted), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn with_retries_around_it_a_request_is_counted_once() {
    let budget = budget(50.0);
    let (inner, _calls) = Scripted::new((0..10).map(|_| after(MS, 200)));
    let service = HedgeLayer::new(HedgePolicy::default(), budget.clone(), Instant::now()).layer(inner);
    let service = RetryLayer::new(RetryPolicy::default(), budget.clone()).layer(service);
    for _ in 0..10 {
        service.clone().oneshot(get()).await.expect("an answer");
    }
    assert_eq!(budget.remaining(Instant::now()), 5);
}

#[tokio::test(start_paused = true)]
async fn the_delay_follows_what_is_measured() {
    let policy = HedgePolicy::default();
    let (inner, _calls) =
        Scripted::new((0..400).map(|n| after(if n < 200 { 10 * MS } else { 80 * MS }, 200)));
    let layer = HedgeLayer::new(policy, budget(0.0), Instant::now());
    let service = layer.layer(inner);
    assert_eq!(layer.hedges().delay(Instant::now()), None);
    for (until, least) in [(200, 10 * MS), (400, 80 * MS)] {
        for _ in 0..200 {
            service.clone().oneshot(get()).await.expect("an answer");
        }
        tokio::time::advance(100 * MS).await;
        let delay = layer.hedges().delay(Instant::now()).expect("measured");
        assert!(delay >= least && delay <= least * 6 / 5, "{until}: {delay:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_no_shorter_than_it_may_be() {
    let mut config = HedgeConfig::default();
    config.min_delay = 50 * MS;
    config.min_samples = 1;
    let (inner, _calls) = Scripted::new([after(MS, 200)]);
    let policy = config.try_into().expect("makes sense");
    let layer = HedgeLayer::new(policy, budget(0.0), Instant::now());
    layer.layer(inner).oneshot(get()).await.expect("an answer");
    tokio::time::advance(100 * MS).await;
    assert_eq!(layer.hedges().delay(Instant::now()), Some(50 * MS));
}

#[tokio::test(start_paused = true)]
async fn the_clone_that_was_ready_is_the_one_that_is_called() {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut service = HedgeLayer::new(HedgePolicy::default(), budget(20.0), Instant::now())
        .layer(NotReadyClone::new(inner));
    for _ in 0..3 {
        let ready = service.ready().await.expect("ready");
        assert_eq!(ready.call(get()).await.expect("an answer").status(), 200);
    }
}
