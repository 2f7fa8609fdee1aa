use std::collections::{HashMap, HashSet};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use mesh_core::body::Body;
use mesh_core::context::Target;
use mesh_core::due::Due;
use mesh_core::{Assignment, AttemptInfo, Endpoint, Error, ErrorKind, MeshContext, Outcome, Version};
use proptest::prelude::*;
use tokio::time::advance;
use tower::{Service, ServiceExt as _, service_fn};
use tower_layer::Layer as _;

use super::*;
use mesh_core::metric::{Refusals, Repeats};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn orders() -> ServiceName {
    "orders".parse().expect("a name")
}

fn version(text: &str) -> Version {
    text.parse().expect("a version")
}

fn of(evidence: &Evidence, name: &str) -> Traffic {
    evidence.traffic(&TrafficQuery::new(orders(), version(name)))
}

fn last(evidence: &Evidence, name: &str, window: Duration) -> Traffic {
    evidence.traffic(&TrafficQuery::new(orders(), version(name)).with_window(window))
}

fn counts(traffic: &Traffic) -> (u64, u64, u64) {
    (traffic.requests, traffic.errors, traffic.pinned)
}

#[tokio::test(start_paused = true)]
async fn what_a_version_is_blamed_for_is_an_error_and_what_says_nothing_of_it_is_not_counted() {
    let evidence = Evidence::new();
    let service = evidence.service(&orders());
    let mut expected = (0, 0, 0);
    let refused = ErrorKind::ALL.map(Outcome::Refused);
    for outcome in refused.into_iter().chain([Outcome::Success, Outcome::Failure]) {
        let (requests, errors) = match outcome {
            Outcome::Success => (1, 0),
            Outcome::Failure => (1, 1),
            Outcome::Refused(
                ErrorKind::CircuitOpen
                | ErrorKind::NoHealthyEndpoint
                | ErrorKind::UpstreamConnect
                | ErrorKind::UpstreamReset
                | ErrorKind::Timeout,
            ) => (1, 1),
            Outcome::Refused(_) => (0, 0),
        };
        service.ended(Some(&version("v2")), Assignment::Drawn, outcome, MS);
        expected = (expected.0 + requests, expected.1 + errors, 0);
        assert_eq!(counts(&of(&evidence, "v2")), expected, "{outcome:?}");
    }
    assert_eq!(of(&evidence, "v2").latency.count(), expected.0);
    assert_eq!(counts(&of(&evidence, "v1")), (0, 0, 0), "each version by itself");
}

#[tokio::test(start_paused = true)]
async fn without_a_version_it_is_stable_and_nothing_counted_is_an_answer() {
    let evidence = Evidence::new();
    let service = evidence.service(&orders());
    service.ended(None, Assignment::Drawn, Outcome::Success, MS);
    assert_eq!(counts(&of(&evidence, "stable")), (1, 0, 0));
    advance(SECOND).await;
    let nothing = Evidence::new().traffic(&TrafficQuery::new(orders(), version("v9")));
    assert_eq!(counts(&nothing), (0, 0, 0));
    let before = nothing.clone();
    service.ended(Some(&version("v9")), Assignment::Drawn, Outcome::Success, MS);
    let added = of(&evidence, "v9").since(&before).expect("the same edges");
    assert_eq!((added.requests, added.covered), (1, SECOND));
}

#[tokio::test(start_paused = true)]
async fn only_traffic_is_answered() {
    let query = MetricQuery::Prometheus("up".to_owned());
    let error = Evidence::new().sample(&query).await.expect_err("no PromQL here");
    assert_eq!(error.kind(), MetricErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_a_version_is_counted_apart() {
    let evidence = Evidence::new();
    let service = evidence.service(&orders());
    for outcome in [Outcome::Success, Outcome::Failure] {
        service.ended(Some(&version("v2")), Assignment::Asked, outcome, MS);
    }
    let traffic = of(&evidence, "v2");
    assert_eq!((counts(&traffic), traffic.latency.count()), ((0, 0, 2), 0));
}

#[tokio::test(start_paused = true)]
async fn a_user_that_fails_a_hundred_times_is_one_and_counts_where_it_failed_first() {
    let evidence = Evidence::new();
    let service = evidence.service(&orders());
    service.ended(None, Assignment::Kept(1), Outcome::Success, MS);
    assert_eq!(of(&evidence, "stable").failed_users, None, "users do not stay");
    service.set_users_stay(true);
    for _ in 0..100 {
        service.ended(
            Some(&version("v2")),
            Assignment::Kept(1 << 50),
            Outcome::Failure,
            MS,
        );
        service.ended(None, Assignment::Kept(1 << 50), Outcome::Failure, MS);
    }
    service.ended(
        Some(&version("v2")),
        Assignment::Kept(1 << 60),
        Outcome::Failure,
        MS,
    );
    service.ended(Some(&version("v2")), Assignment::Drawn, Outcome::Failure, MS);
    assert_eq!(of(&evidence, "v2").failed_users, Some(2));
    assert_eq!(of(&evidence, "stable").failed_users, Some(0));
    evidence.rollout_begins(&orders());
    service.ended(None, Assignment::Kept(1 << 50), Outcome::Failure, MS);
    assert_eq!(
        of(&evidence, "stable").failed_users,
        Some(1),
        "in the next rollout"
    );
    assert_eq!(of(&evidence, "v2").failed_users, Some(2), "counts never go back");
}

#[tokio::test(start_paused = true)]
async fn the_version_that_was_silent_for_longest_makes_room_for_the_sixty_fifth() {
    let evidence = Evidence::new();
    let service = evidence.service(&orders());
    for n in 0..64 {
        let name = version(&format!("v{n}"));
        service.ended(Some(&name), Assignment::Drawn, Outcome::Success, MS);
        advance(SECOND).await;
    }
    service.ended(Some(&version("v0")), Assignment::Drawn, Outcome::Success, MS);
    service.ended(Some(&version("new")), Assignment::Drawn, Outcome::Success, MS);
    assert_eq!(counts(&of(&evidence, "v0")), (2, 0, 0));
    assert_eq!(counts(&of(&evidence, "new")), (1, 0, 0));
    assert_eq!(counts(&of(&evidence, "v1")), (0, 0, 0), "forgotten");
    assert_eq!(counts(&of(&evidence, "v2")), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_nobody_holds_is_forgotten_when_another_comes() {
    let evidence = Evidence::new();
    drop(evidence.service(&orders()));
    let _users = evidence.service(&"users".parse().expect("a name"));
    assert!(!format!("{evidence:?}").contains("orders"));
}

fn call() -> http::response::Builder {
    Response::builder().header("content-type", "application/grpc")
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_when_its_body_is_over_and_by_how_it_ended() {
    let evidence = Evidence::new();
    let service = evidence.service(&orders());
    let answered = |response: Response<Body>| service.answered(None, Assignment::Drawn, 7 * MS, response);
    let page = answered(Response::new(Body::full("a page")));
    assert_eq!(counts(&of(&evidence, "stable")), (0, 0, 0));
    advance(SECOND).await;
    page.into_body().collect().await.expect("whole");
    let traffic = of(&evidence, "stable");
    assert_eq!(counts(&traffic), (1, 0, 0));
    assert_eq!(traffic.latency.slower_than(5 * MS), Some(1), "to the head");
    assert_eq!(traffic.latency.slower_than(10 * MS), Some(0));

    drop(answered(Response::new(Body::full("left by its client"))));
    assert_eq!(counts(&of(&evidence, "stable")), (2, 0, 0));
    drop(answered(
        Response::builder()
            .status(500)
            .body(Body::full("no"))
            .expect("500"),
    ));
    assert_eq!(counts(&of(&evidence, "stable")), (3, 1, 0));
    drop(answered(call().body(Body::full("a message")).expect("a call")));
    assert_eq!(
        counts(&of(&evidence, "stable")),
        (3, 1, 0),
        "how it went nobody will know"
    );

    let trailers = |status: &'static str| {
        let fields = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static(status),
        )]);
        let body = http_body_util::Full::new(bytes::Bytes::from_static(b"a message"));
        Body::new(body.with_trailers(std::future::ready(Some(Ok(fields)))))
    };
    for (status, errors) in [("0", 1), ("14", 2)] {
        let answer = answered(call().body(trailers(status)).expect("a call"));
        answer.into_body().collect().await.expect("whole");
        assert_eq!(of(&evidence, "stable").errors, errors, "{status}");
    }
}

/// One attempt at v2 through the layer, meant for v2, under way in `inner`.
async fn through_the_layer<F>(
    evidence: &Evidence,
    due: Option<Due>,
    inner: impl FnMut(Request<Body>) -> F + Clone,
) -> Result<(), Error>
where
    F: Future<Output = Result<Response<Body>, Error>>,
{
    let mut context = MeshContext::new(Instant::now());
    context.target = Some(Target::service(orders()).with_version(Some(version("v2"))));
    context.deadline = Some(Instant::now() + SECOND);
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(context);
    if let Some(due) = due {
        request.extensions_mut().insert(due);
    }
    let mut service = evidence.layer(&orders()).layer(service_fn(inner));
    let sent = service.ready().await?.call(request);
    match tokio::time::timeout(SECOND, sent).await {
        Ok(answered) => answered.map(drop),
        Err(_) => Ok(()),
    }
}

#[tokio::test(start_paused = true)]
async fn the_layer_counts_for_the_version_that_answered_and_else_for_the_one_that_was_meant() {
    let evidence = Evidence::new();
    let answered = through_the_layer(&evidence, None, |_| async {
        let endpoint = Endpoint::new("127.0.0.1:1".parse().expect("an address"));
        let mut response = Response::new(Body::empty());
        let info = AttemptInfo::new(endpoint.id().clone(), Some(version("v1")), 1);
        response.extensions_mut().insert(info);
        Ok(response)
    });
    answered.await.expect("an answer");
    assert_eq!(counts(&of(&evidence, "v1")), (1, 0, 0));
    let refused = through_the_layer(&evidence, None, |_| async {
        Err(Error::new(ErrorKind::NoHealthyEndpoint, "nobody is well"))
    });
    refused.await.expect_err("refused");
    assert_eq!(counts(&of(&evidence, "v2")), (1, 1, 0));
    assert_eq!(of(&evidence, "v2").refusals.no_healthy_endpoint, 1);
    let full = through_the_layer(&evidence, None, |_| async {
        Err(Error::new(ErrorKind::Overloaded, "no room"))
    });
    full.await.expect_err("refused");
    assert_eq!(counts(&of(&evidence, "v2")), (1, 1, 0), "no attempt was made");
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_given_up_is_an_error_only_if_its_answer_was_due() {
    let evidence = Evidence::new();
    let never = |_| std::future::pending();
    let later = Due::new(Some(Instant::now() + 5 * SECOND), Instant::now());
    through_the_layer(&evidence, Some(later), never)
        .await
        .expect("given up");
    assert_eq!(counts(&of(&evidence, "v2")), (0, 0, 0), "its client did not wait");
    through_the_layer(&evidence, None, never).await.expect("given up");
    assert_eq!(counts(&of(&evidence, "v2")), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_time_a_client_takes_for_its_own_body_is_no_latency_of_a_version() {
    let evidence = Evidence::new();
    let now = Instant::now();
    let due = Due::new(None, now);
    let upload = due.watch(Body::new(http_body_util::StreamBody::new(
        futures_util::stream::once(async {
            tokio::time::sleep(800 * MS).await;
            Ok::<_, mesh_core::BoxError>(http_body::Frame::data(bytes::Bytes::from_static(b"slowly")))
        }),
    )));
    let upload = std::sync::Mutex::new(Some(upload));
    let read_and_think = |_| {
        let upload = upload.lock().expect("not poisoned").take();
        async move {
            upload.expect("one try").collect().await.expect("whole");
            advance(20 * MS).await;
            Ok(Response::new(Body::empty()))
        }
    };
    let answered = through_the_layer(&evidence, Some(due), read_and_think);
    answered.await.expect("an answer");
    assert_eq!(now.elapsed(), 820 * MS);
    let latency = of(&evidence, "v2").latency;
    assert_eq!((latency.count(), latency.slower_than(20 * MS)), (1, Some(0)));
}

/// What is counted, the simple way: every attempt is kept.
#[derive(Default)]
struct Model {
    attempts: Vec<(Duration, &'static str, Assignment, bool, Duration)>,
}

impl Model {
    /// Those of a version that ended in this second or later.
    fn since(&self, name: &str, from: u64) -> Traffic {
        let ended = || {
            self.attempts
                .iter()
                .filter(move |(at, of, ..)| *of == name && at.as_secs() >= from)
        };
        let drawn = || ended().filter(|(_, _, assignment, ..)| *assignment != Assignment::Asked);
        let mut latencies = vec![0; edges().len() + 1];
        for (.., took) in drawn() {
            latencies[edges().iter().filter(|edge| *edge < took).count()] += 1;
        }
        let mut failed = HashSet::new();
        let first_failures = self.attempts.iter().filter(|(_, _, assignment, is_error, _)| {
            matches!(assignment, Assignment::Kept(user) if *is_error && failed.insert(*user))
        });
        let of_this = first_failures.filter(|(at, of, ..)| *of == name && at.as_secs() >= from);
        let mut seen = HashSet::new();
        let first = self.attempts.iter().filter(
            |(_, _, assignment, ..)| matches!(assignment, Assignment::Kept(user) if seen.insert(*user)),
        );
        let users = first
            .filter(|(at, of, ..)| *of == name && at.as_secs() >= from)
            .count();
        let (mut errors, mut repeats) = (HashMap::<_, u32>::new(), Repeats::default());
        for (at, of, assignment, is_error, _) in &self.attempts {
            let Assignment::Kept(user) = assignment else {
                continue;
            };
            let before = errors.entry((*user, at.as_secs() / 60)).or_default();
            if *before >= 3 && *of == name && at.as_secs() >= from {
                repeats.requests += 1;
                repeats.errors += u64::from(*is_error);
            }
            *before += u32::from(*is_error);
        }
        Traffic {
            requests: drawn().count() as u64,
            errors: drawn().filter(|(_, _, _, is_error, _)| *is_error).count() as u64,
            failed_users: Some(of_this.count() as u64),
            users: Some(users as u64),
            repeats,
            refusals: Refusals::default(),
            pinned: (ended().count() - drawn().count()) as u64,
            latency: Histogram::new(edges(), latencies).expect("they fit"),
            covered: Duration::ZERO,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Attempt(&'static str, Assignment, bool, Duration),
    Wait(Duration),
    Ask(&'static str, Option<Duration>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = prop::sample::select(vec!["v1", "v2", "stable"]);
    let assignment = prop_oneof![
        Just(Assignment::Drawn),
        Just(Assignment::Asked),
        // Users whose bits differ: that others are taken for one is tried elsewhere.
        (0..20_u64).prop_map(|n| Assignment::Kept(n << 45 | n)),
    ];
    let took = (0..100_000_000_u64).prop_map(Duration::from_micros);
    let wait = prop_oneof![0..1500_u64, 1500..100_000_u64].prop_map(Duration::from_millis);
    let window =
        prop::option::of(prop_oneof![0..60_000_u64, 60_000..600_000_u64].prop_map(Duration::from_millis));
    let step = prop_oneof![
        5 => (name.clone(), assignment, any::<bool>(), took).prop_map(|(n, a, e, t)| Step::Attempt(n, a, e, t)),
        3 => wait.prop_map(Step::Wait),
        2 => (name, window).prop_map(|(name, window)| Step::Ask(name, window)),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn it_answers_as_if_every_attempt_were_kept(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let tried: Result<(), TestCaseError> = runtime.expect("a runtime").block_on(async {
            let evidence = Evidence::new();
            let service = evidence.service(&orders());
            service.set_users_stay(true);
            let (start, mut model) = (Instant::now(), Model::default());
            for step in steps {
                match step {
                    Step::Attempt(name, assignment, is_error, took) => {
                        let named = (name != "stable").then(|| version(name));
                        let outcome = if is_error { Outcome::Failure } else { Outcome::Success };
                        service.ended(named.as_ref(), assignment, outcome, took);
                        model.attempts.push((start.elapsed(), name, assignment, is_error, took));
                    }
                    Step::Wait(time) => advance(time).await,
                    Step::Ask(name, None) => {
                        let expected = Traffic { covered: start.elapsed(), ..model.since(name, 0) };
                        let known = model.attempts.iter().any(|(_, of, ..)| *of == name);
                        let (failed_users, users) = (expected.failed_users.filter(|_| known), expected.users.filter(|_| known));
                        prop_assert_eq!(of(&evidence, name), Traffic { failed_users, users, ..expected });
                    }
                    Step::Ask(name, Some(window)) => {
                        let (age, asked) = (start.elapsed(), window.min(MAX_WINDOW));
                        let step = if asked <= Duration::from_secs(60) { 1 } else { 8 };
                        let from = age.saturating_sub(asked).as_secs() / step * step;
                        let expected = Traffic { covered: asked.min(age), ..model.since(name, from) };
                        let known = model.attempts.iter().any(|(_, of, ..)| *of == name);
                        let (failed_users, users) = (expected.failed_users.filter(|_| known), expected.users.filter(|_| known));
                        prop_assert_eq!(last(&evidence, name, window), Traffic { failed_users, users, ..expected });
                    }
                }
            }
            Ok(())
        });
        tried?;
    }
}

#[test]
fn numbers_read_while_threads_count_agree_and_none_is_lost() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let evidence = Evidence::new();
    let service = evidence.service(&orders());
    std::thread::scope(|threads| {
        for thread in 0..4_u64 {
            let service = &service;
            threads.spawn(move || {
                for n in 0..5_000_u64 {
                    let outcome = if n % 4 == thread {
                        Outcome::Failure
                    } else {
                        Outcome::Success
                    };
                    service.ended(None, Assignment::Drawn, outcome, MS * (n % 50) as u32);
                }
            });
        }
        let mut before = of(&evidence, "stable");
        for _ in 0..500 {
            let now = of(&evidence, "stable");
            let added = now.since(&before).expect("counts never go back");
            assert!(added.errors <= added.requests, "{added:?}");
            assert_eq!(added.latency.count(), added.requests);
            before = now;
        }
    });
    assert_eq!(counts(&of(&evidence, "stable")), (20_000, 5_000, 0));
}
