//! The order of layers on the side that calls, as docs/layers.md has it: for each reason given there, what happens in
//! that order, and what would happen in the other one.
//!
//! That `Balance` is innermost needs no test: it is no layer, and nothing can stand inside of it. What tries again
//! inside of what picks is tried with a balancer made by hand.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::breaker::{BreakerConfig, State};
use mesh_core::carry::{self, Carried, InheritLayer};
use mesh_core::testkit::{Calls, Scripted, Step};
use mesh_core::{BoxError, Error, ErrorKind, Live, MeshContext, ServiceName, Version};
use mesh_traffic::fault::{Abort, Chance};
use mesh_traffic::hedge::{HedgeConfig, Hedges};
use mesh_traffic::mirror::{Ending, TeeBody};
use mesh_traffic::retry::{BudgetConfig, RetryOutcome};
use mesh_traffic::router::{Operator, Respond, Split, Subject};
use mesh_traffic::{
    BreakerLayer, Condition, DeadlineLayer, Destination, FaultLayer, Faults, HedgeLayer, Mirror, MirrorLayer,
    RetryBudget, RetryLayer, RetryPolicy, RouteLayer, RouteTable, Rule, RuleAction, Service as Routed,
    ServiceBreaker,
};
use tokio::time::{Instant, sleep};
use tower::util::MapRequestLayer;
use tower::{Layer, Service, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

type Answer = Step<Response<Body>, Error>;
type Inner = Scripted<Request<Body>, Response<Body>, Error>;
type Record = Calls<Request<Body>, Response<Body>, Error>;

fn orders() -> ServiceName {
    ServiceName::new("orders").expect("a name")
}

fn request(path: &str) -> Request<Body> {
    let request = Request::get(path).header("host", "orders");
    request.body(Body::empty()).expect("a request")
}

fn status(status: u16) -> Answer {
    let response = Response::builder().status(status).body(Body::empty());
    Step::Answer(response.expect("valid"))
}

fn failing(times: usize) -> (Inner, Record) {
    Scripted::new((0..times).map(|_| status(503)))
}

/// The status of the answer, read to its end.
async fn ask<S, B, E>(service: &S, request: Request<Body>) -> Result<u16, Error>
where
    S: Service<Request<Body>, Response = Response<B>, Error = E> + Clone,
    E: Into<BoxError>,
    B: http_body::Body<Error: Into<BoxError>>,
{
    let response = service.clone().oneshot(request).await.map_err(Error::wrap)?;
    let status = response.status().as_u16();
    response.into_body().collect().await.map_err(Error::wrap)?;
    Ok(status)
}

/// More than is asked for here.
fn budget() -> RetryBudget {
    let mut config = BudgetConfig::default();
    (config.percent, config.min_per_second) = (100.0, 1000);
    RetryBudget::new(config.try_into().expect("makes sense"), Instant::now())
}

/// Two retries.
fn retries() -> RetryLayer {
    RetryLayer::new(RetryPolicy::default(), budget())
}

/// A rule about this, and the service `orders`.
fn routes(subject: Subject, operator: Operator, value: &str, action: RuleAction) -> RouteLayer {
    let condition = Condition::new(subject, operator, [value]).expect("a condition");
    let rule = Rule::new("rule", action)
        .expect("an id")
        .with_condition(condition);
    RouteLayer::new(Live::fixed(
        RouteTable::new("shop", [Routed::new(orders())], [rule]).expect("a table"),
    ))
}

/// Answers 410 for what is `/gone`.
fn gone() -> RouteLayer {
    let gone = RuleAction::Respond(Respond::new(410).expect("a status"));
    routes(Subject::Path, Operator::Prefix, "/gone", gone)
}

/// What a request carries that came with this field, was tried so often before, and is to be answered then.
fn carried(field: (&str, &str), attempt: u32, deadline: Option<Instant>) -> Carried {
    let mut context = MeshContext::new(Instant::now());
    (context.attempt, context.deadline) = (attempt, deadline);
    let request = Request::get("/").header(field.0, field.1).extension(context);
    Carried::of(&request.body(()).expect("a request"))
}

#[tokio::test]
async fn rules_outside_of_what_is_inherited_do_not_read_the_choice_of_a_canary() {
    let canary = || {
        let v2 = Version::new("v2").expect("a version");
        let v2 = Destination::new(orders(), 100).with_version(Some(v2));
        let header = Subject::Header("x-canary-user".parse().expect("a name"));
        let to_v2 = RuleAction::Split(Split::new([v2]).expect("all of it"));
        routes(header, Operator::Equals, "true", to_v2)
    };
    // Answers 200 where the canary is meant.
    let told = || {
        service_fn(async |request: Request<Body>| {
            let context = request.extensions().get::<MeshContext>().expect("decided");
            let target = context.target.as_ref().expect("decided");
            let status = if target.version.is_some() { 200 } else { 404 };
            let response = Response::builder().status(status).body(Body::empty());
            Ok::<_, Error>(response.expect("valid"))
        })
    };
    let chosen = || carried(("x-canary-user", "true"), 0, None);
    let right = InheritLayer::new().layer(canary().layer(told()));
    let answer = carry::scope(chosen(), ask(&right, request("/"))).await;
    assert_eq!(answer.expect("an answer"), 200);
    let wrong = canary().layer(InheritLayer::new().layer(told()));
    let answer = carry::scope(chosen(), ask(&wrong, request("/"))).await;
    assert_eq!(answer.expect("an answer"), 404);
}

#[tokio::test(start_paused = true)]
async fn rules_outside_of_what_is_inherited_answer_what_is_too_late() {
    let late = || carried(("x", "y"), 0, Some(Instant::now()));
    let right = InheritLayer::new().layer(gone().layer(failing(0).0));
    let answer = carry::scope(late(), ask(&right, request("/gone"))).await;
    assert_eq!(answer.expect_err("too late").kind(), ErrorKind::Timeout);
    let wrong = gone().layer(InheritLayer::new().layer(failing(0).0));
    let answer = carry::scope(late(), ask(&wrong, request("/gone"))).await;
    assert_eq!(answer.expect("an answer"), 410);
}

#[tokio::test(start_paused = true)]
async fn retries_outside_of_what_is_inherited_try_again_what_is_a_retry_already() {
    let again = || carried(("x", "y"), 1, None);
    let (inner, calls) = failing(1);
    let right = InheritLayer::new().layer(retries().layer(inner));
    let answer = carry::scope(again(), ask(&right, request("/"))).await;
    assert_eq!((answer.expect("an answer"), calls.count()), (503, 1));
    let (inner, calls) = failing(3);
    let wrong = retries().layer(InheritLayer::new().layer(inner));
    let answer = carry::scope(again(), ask(&wrong, request("/"))).await;
    assert_eq!((answer.expect("an answer"), calls.count()), (503, 3));
}

/// A mirror of all, and the layer that copies to a service that answers.
fn mirror() -> (Mirror, MirrorLayer) {
    let mirror = Mirror::builder(Chance::ALWAYS).build();
    let copies = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    (mirror.clone(), MirrorLayer::new(mirror, copies))
}

/// What a mirror hands on, as the layers inside of it take it.
fn plain<S>(
    inner: S,
) -> impl Service<Request<TeeBody<Body>>, Response = S::Response, Error = S::Error, Future: Send> + Clone
where
    S: Service<Request<Body>, Future: Send> + Clone,
{
    MapRequestLayer::new(|request: Request<TeeBody<Body>>| request.map(Body::new)).layer(inner)
}

/// How many copies there were, when all are over.
async fn copies(mirror: &Mirror) -> u64 {
    sleep(SECOND).await;
    assert_eq!(mirror.counts().in_flight(), 0);
    mirror.counts().of(Ending::Answered)
}

#[tokio::test(start_paused = true)]
async fn a_mirror_outside_of_rules_copies_what_they_answer() {
    let (right, layer) = mirror();
    let layers = gone().layer(layer.layer(plain(failing(0).0)));
    assert_eq!(ask(&layers, request("/gone")).await.expect("an answer"), 410);
    assert_eq!(copies(&right).await, 0);
    let (wrong, layer) = mirror();
    let layers = layer.layer(plain(gone().layer(failing(0).0)));
    assert_eq!(ask(&layers, request("/gone")).await.expect("an answer"), 410);
    assert_eq!(copies(&wrong).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_inside_of_retries_copies_every_try() {
    let (right, layer) = mirror();
    let layers = layer.layer(plain(retries().layer(failing(3).0)));
    assert_eq!(ask(&layers, request("/")).await.expect("an answer"), 503);
    assert_eq!(copies(&right).await, 1);
    let (wrong, layer) = mirror();
    let layers = retries().layer(layer.layer(plain(failing(3).0)));
    assert_eq!(ask(&layers, request("/")).await.expect("an answer"), 503);
    assert_eq!(copies(&wrong).await, 3);
}

/// Sends each request to the next of these.
fn one_of<S>(
    endpoints: [S; 2],
) -> impl Service<Request<Body>, Response = S::Response, Error = S::Error, Future: Send> + Clone + Send
where
    S: Service<Request<Body>, Error: Send, Future: Send> + Clone + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    service_fn(move |request| {
        let number = next.fetch_add(1, Ordering::Relaxed);
        endpoints[number % 2].clone().oneshot(request)
    })
}

#[tokio::test(start_paused = true)]
async fn retries_inside_of_what_picks_do_not_leave_a_dead_endpoint() {
    let dead = |times| {
        let refused = || Error::new(ErrorKind::UpstreamConnect, "nobody listens");
        Scripted::new((0..times).map(|_| Step::Fail(refused())))
    };
    let well = || Scripted::new([status(200)]);
    let ((broken, asked), (good, _)) = (dead(1), well());
    let right = retries().layer(one_of([broken, good]));
    let answer = ask(&right, request("/")).await;
    assert_eq!((answer.expect("an answer"), asked.count()), (200, 1));
    let ((broken, asked), (good, left)) = (dead(3), well());
    let wrong = one_of([retries().layer(broken), retries().layer(good)]);
    let error = ask(&wrong, request("/"))
        .await
        .expect_err("it was asked all the time");
    assert_eq!(error.kind(), ErrorKind::UpstreamConnect);
    assert_eq!((asked.count(), left.count()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_inside_of_retries_is_one_for_each_try() {
    let limit = || DeadlineLayer::at_most(SECOND);
    let hangs = || Scripted::new((0..3).map(|_| Step::Hang));
    let (inner, calls): (Inner, Record) = hangs();
    let began = Instant::now();
    let right = limit().layer(retries().layer(inner));
    assert_eq!(ask(&right, request("/")).await.expect("an answer"), 504);
    assert_eq!((began.elapsed(), calls.count()), (SECOND, 1));
    let (inner, calls): (Inner, Record) = hangs();
    let began = Instant::now();
    let wrong = retries().layer(limit().layer(inner));
    assert_eq!(ask(&wrong, request("/")).await.expect("an answer"), 504);
    assert!(began.elapsed() >= 3 * SECOND, "{:?}", began.elapsed());
    assert_eq!(calls.count(), 3);
}

/// Requests of which each fifth fails, and asks for a second try in a second.
async fn measured<S, B>(hedges: &Hedges, service: &S) -> Duration
where
    S: Service<Request<Body>, Response = Response<B>, Error = Error> + Clone,
    B: http_body::Body<Error: Into<BoxError>>,
{
    for _ in 0..50 {
        assert_eq!(ask(service, request("/")).await.expect("an answer"), 200);
    }
    sleep(SECOND).await;
    hedges.delay(Instant::now()).expect("enough was measured")
}

#[tokio::test(start_paused = true)]
async fn hedges_outside_of_retries_take_for_slow_what_failed_and_was_tried_again() {
    let inner = || -> Inner {
        let fifth = |number| {
            let failed = Response::builder().status(503).header("retry-after", "1");
            let failed = failed.body(Body::empty()).expect("valid");
            let good = Step::AnswerAfter(10 * MS, Response::new(Body::empty()));
            let first = (number % 5 == 0).then_some(Step::Answer(failed));
            first.into_iter().chain([good])
        };
        Scripted::new((0..50).flat_map(fifth)).0
    };
    // So that nothing is sent twice before the last one is measured.
    let hedge = |measured| {
        let mut config = HedgeConfig::default();
        config.min_samples = measured;
        HedgeLayer::new(config.try_into().expect("makes sense"), budget(), Instant::now())
    };
    // What fails is not measured, nor what is a retry.
    let layer = hedge(40);
    let hedges = layer.hedges().clone();
    let delay = measured(&hedges, &retries().layer(layer.layer(inner()))).await;
    assert!(delay < 15 * MS, "{delay:?}");
    let layer = hedge(50);
    let hedges = layer.hedges().clone();
    let delay = measured(&hedges, &layer.layer(retries().layer(inner()))).await;
    assert!(delay > SECOND, "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn faults_outside_of_retries_are_not_tried_again() {
    type Told = Arc<Mutex<Vec<RetryOutcome>>>;
    let faults = |met: &Arc<AtomicUsize>| {
        let met = Arc::clone(met);
        let abort = Abort::new(503).expect("a status");
        let faults = Faults::until(Instant::now() + 3600 * SECOND).abort(Chance::ALWAYS, abort);
        FaultLayer::new(faults).observe(move |_| {
            met.fetch_add(1, Ordering::Relaxed);
        })
    };
    let retries = |told: &Told| {
        let told = Arc::clone(told);
        retries().observe(move |outcome| told.lock().expect("free").push(outcome))
    };
    let (met, told) = (Arc::default(), Told::default());
    let right = retries(&told).layer(faults(&met).layer(failing(0).0));
    assert_eq!(ask(&right, request("/")).await.expect("an answer"), 503);
    assert_eq!(met.load(Ordering::Relaxed), 3);
    let outcomes = [
        RetryOutcome::Failure,
        RetryOutcome::Failure,
        RetryOutcome::AttemptsExhausted,
    ];
    assert_eq!(*told.lock().expect("free"), outcomes);
    let (met, told) = (Arc::default(), Told::default());
    let wrong = faults(&met).layer(retries(&told).layer(failing(0).0));
    assert_eq!(ask(&wrong, request("/")).await.expect("an answer"), 503);
    assert_eq!(
        (met.load(Ordering::Relaxed), told.lock().expect("free").len()),
        (1, 0)
    );
}

/// A breaker that opens after three failures in a row.
fn breaker() -> ServiceBreaker {
    let mut config = BreakerConfig::default();
    config.consecutive_failures = Some(3);
    let policy = config.try_into().expect("makes sense");
    ServiceBreaker::new(orders(), policy, Instant::now())
}

#[tokio::test(start_paused = true)]
async fn faults_inside_of_a_breaker_are_held_against_the_service() {
    let breaks = || FaultLayer::new(Faults::until(Instant::now() + 3600 * SECOND).reset(Chance::ALWAYS, 1));
    let well = || service_fn(async |_: Request<Body>| Ok::<_, Error>(Response::new(Body::full("hello"))));
    let (right, wrong) = (breaker(), breaker());
    let layers = breaks().layer(BreakerLayer::new(right.clone()).layer(well()));
    for _ in 0..3 {
        assert!(ask(&layers, request("/")).await.is_err(), "it broke off");
    }
    assert_eq!(right.state(), State::Closed);
    let layers = BreakerLayer::new(wrong.clone()).layer(breaks().layer(well()));
    for _ in 0..3 {
        assert!(ask(&layers, request("/")).await.is_err(), "it broke off");
    }
    assert_eq!(wrong.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_outside_of_retries_learns_once_what_failed_three_times() {
    let (right, wrong) = (breaker(), breaker());
    let (inner, calls) = failing(3);
    let layers = retries().layer(BreakerLayer::new(right.clone()).layer(inner));
    assert_eq!(ask(&layers, request("/")).await.expect("an answer"), 503);
    assert_eq!(right.state(), State::Open);
    let refused = ask(&layers, request("/")).await.expect_err("it rests");
    assert_eq!((refused.kind(), calls.count()), (ErrorKind::CircuitOpen, 3));

    let (inner, calls) = failing(9);
    let layers = BreakerLayer::new(wrong.clone()).layer(retries().layer(inner));
    for _ in 0..2 {
        assert_eq!(ask(&layers, request("/")).await.expect("an answer"), 503);
    }
    assert_eq!((wrong.state(), calls.count()), (State::Closed, 6));
    assert_eq!(ask(&layers, request("/")).await.expect("an answer"), 503);
    assert_eq!((wrong.state(), calls.count()), (State::Open, 9));
}

#[tokio::test(start_paused = true)]
async fn retries_inside_of_a_breaker_go_on_asking_a_service_that_rests() {
    let trips = |breaker: &ServiceBreaker, asked: &Arc<AtomicUsize>| {
        let (breaker, asked) = (breaker.clone(), Arc::clone(asked));
        service_fn(
            move |_: Request<Body>| -> std::future::Ready<Result<Response<Body>, Error>> {
                asked.fetch_add(1, Ordering::Relaxed);
                breaker.trip(Instant::now());
                std::future::ready(Err(Error::new(ErrorKind::UpstreamReset, "it broke")))
            },
        )
    };
    let (right, wrong) = (breaker(), breaker());
    let asked = Arc::default();
    let layers = retries().layer(BreakerLayer::new(right.clone()).layer(trips(&right, &asked)));
    let error = ask(&layers, request("/")).await.expect_err("it rests");
    assert_eq!(
        (error.kind(), asked.load(Ordering::Relaxed)),
        (ErrorKind::CircuitOpen, 1)
    );
    let asked = Arc::default();
    let layers = BreakerLayer::new(wrong.clone()).layer(retries().layer(trips(&wrong, &asked)));
    let error = ask(&layers, request("/")).await.expect_err("it broke");
    assert_eq!(
        (error.kind(), asked.load(Ordering::Relaxed)),
        (ErrorKind::UpstreamReset, 3)
    );
}
