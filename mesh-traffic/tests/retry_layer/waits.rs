//! When it is tried again.

use std::time::Duration;

use http::Request;
use mesh_core::body::Body;
use mesh_core::testkit::Step;
use mesh_core::{ErrorKind, MeshContext};
use mesh_traffic::retry::RetryOutcome;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::support::{Answer, SECOND, ask, behind, broken, get, plenty, policy, response, status, told};

fn due_in(time: Duration) -> Request<Body> {
    let mut context = MeshContext::new(Instant::now());
    context.deadline = Some(Instant::now() + time);
    let mut request = get();
    request.extensions_mut().insert(context);
    request
}

fn later(code: u16, after: &str) -> Answer {
    let mut response = response(code);
    response
        .headers_mut()
        .insert("retry-after", after.parse().expect("a value"));
    Step::Answer(response)
}

#[tokio::test(start_paused = true)]
async fn it_waits_with_full_jitter_before_each_retry() {
    let (mut shortest, mut longest) = (SECOND, Duration::ZERO);
    for _ in 0..200 {
        let (service, _calls) = behind(policy(), [status(503), status(200)]);
        let began = Instant::now();
        assert_eq!(ask(&service, get()).await.ok(), Some(200));
        shortest = shortest.min(began.elapsed());
        longest = longest.max(began.elapsed());
    }
    // Timers are a millisecond late at most.
    assert!(shortest < Duration::from_millis(4), "{shortest:?}");
    assert!(
        longest > Duration::from_millis(20) && longest < Duration::from_millis(27),
        "{longest:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_says_when_is_asked_again_then() {
    let (service, _calls) = behind(policy(), [later(503, "2"), status(200)]);
    let began = Instant::now();
    assert_eq!(ask(&service, get()).await.ok(), Some(200));
    let waited = began.elapsed();
    assert!(
        waited >= 2 * SECOND && waited < 3 * SECOND + SECOND / 10,
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_asks_for_too_long_is_handed_on_at_once() {
    let (service, outcomes) = told(policy(), plenty(), [later(503, "11")]);
    let began = Instant::now();
    let response = service.oneshot(get()).await.expect("an answer");
    assert_eq!(response.headers()["retry-after"], "11");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(*outcomes.lock().expect("free"), [RetryOutcome::TooLate]);
}

#[tokio::test(start_paused = true)]
async fn no_retry_begins_after_the_deadline() {
    let (service, outcomes) = told(policy(), plenty(), [later(503, "3")]);
    assert_eq!(ask(&service, due_in(2 * SECOND)).await.ok(), Some(503));
    assert_eq!(*outcomes.lock().expect("free"), [RetryOutcome::TooLate]);

    let slow = Step::AnswerAfter(2 * SECOND, response(503));
    let (service, outcomes) = told(policy(), plenty(), [slow]);
    assert_eq!(ask(&service, due_in(2 * SECOND)).await.ok(), Some(503));
    assert_eq!(*outcomes.lock().expect("free"), [RetryOutcome::TooLate]);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_takes_too_long_is_given_up_and_counts_as_one() {
    let mut quick = policy();
    quick.per_try_timeout = Some(SECOND);
    let (service, calls) = behind(quick.clone(), [Step::Hang, status(200)]);
    let began = Instant::now();
    assert_eq!(ask(&service, get()).await.ok(), Some(200));
    assert!(began.elapsed() >= SECOND && began.elapsed() < 2 * SECOND);
    assert_eq!((calls.count(), calls.cancelled()), (2, 1));

    let (service, calls) = behind(quick, [Step::Hang, Step::Hang, Step::Hang]);
    let error = service.oneshot(get()).await.expect_err("none answered");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.message(),
        "the service did not answer within 1s (perTryTimeout)"
    );
    assert_eq!((calls.count(), error.attempts()), (3, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_try_is_known_to_whoever_sends_it_and_the_next_has_its_own() {
    let mut quick = policy();
    quick.per_try_timeout = Some(SECOND);
    let (service, calls) = behind(quick, [Step::Hang, broken(), status(200)]);
    let began = Instant::now();
    ask(&service, due_in(2 * SECOND)).await.expect("answered in time");
    let deadlines: Vec<Duration> = calls
        .take()
        .iter()
        .map(|request| request.extensions().get::<MeshContext>().expect("there"))
        .map(|context| context.deadline.expect("there").duration_since(began))
        .collect();
    assert_eq!(deadlines[0], SECOND);
    // What is left of all that there is.
    assert_eq!(deadlines[1..], [2 * SECOND; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_says_how_much_time_is_left() {
    let (service, calls) = behind(policy(), [Step::AnswerAfter(SECOND, response(503)), status(200)]);
    let mut request = due_in(5 * SECOND);
    request
        .headers_mut()
        .insert("x-mesh-deadline-ms", "5000".parse().expect("a value"));
    ask(&service, request).await.expect("answered in time");
    let left: Vec<u64> = calls
        .take()
        .iter()
        .map(|request| {
            request.headers()["x-mesh-deadline-ms"]
                .to_str()
                .expect("text")
                .parse()
                .expect("a number")
        })
        .collect();
    assert_eq!(left[0], 5000);
    assert!((3970..=4000).contains(&left[1]), "{left:?}");
}
