use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tower_service::Service;

use super::*;
use crate::clock::WallClock;

type Echo = Scripted<u32, &'static str, &'static str>;

#[tokio::test(start_paused = true)]
async fn a_script_is_followed_step_by_step() {
    let (mut service, calls) = Echo::new([
        Step::Answer("now"),
        Step::AnswerAfter(Duration::from_secs(2), "later"),
        Step::FailAfter(Duration::from_secs(3), "too late"),
    ]);
    let start = Instant::now();
    assert_eq!(service.call(1).await, Ok("now"));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(service.clone().call(2).await, Ok("later"));
    assert_eq!(service.call(3).await, Err("too late"));
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!((calls.count(), calls.left(), calls.cancelled()), (3, 0, 0));
    assert_eq!(calls.take(), [1, 2, 3]);
    assert_eq!(calls.take(), []);
    assert_eq!(calls.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_counted() {
    let (mut service, calls) = Echo::new([Step::Hang, Step::Answer("never asked for")]);
    let timed_out = tokio::time::timeout(Duration::from_secs(60), service.call(1)).await;
    assert!(timed_out.is_err());
    drop(service.call(2));
    assert_eq!(calls.cancelled(), 2);
}

#[tokio::test]
#[should_panic(expected = "request 2 came, but the script has no step for it")]
async fn a_request_that_no_step_expects_panics() {
    let (mut service, _calls) = Echo::new([Step::Answer("only one")]);
    assert!(service.call(1).await.is_ok());
    let _unexpected = service.call(2).await;
}

#[tokio::test]
async fn the_service_that_was_polled_may_be_called_once() {
    let (service, calls) = Echo::new([Step::Answer("a")]);
    let mut service = NotReadyClone::new(service);
    poll_fn(|cx| service.poll_ready(cx)).await.expect("ready");
    let clone = service.clone();
    let mut ready = std::mem::replace(&mut service, clone);
    assert_eq!(ready.call(1).await, Ok("a"));
    assert_eq!(calls.count(), 1);
}

#[tokio::test]
#[should_panic(expected = "called without having been polled ready")]
async fn being_ready_is_used_up_by_a_call() {
    let (service, _calls) = Echo::new([Step::Answer("a"), Step::Answer("b")]);
    let mut service = NotReadyClone::new(service);
    poll_fn(|cx| service.poll_ready(cx)).await.expect("ready");
    let _first = service.call(1).await;
    let _second = service.call(2).await;
}

#[test]
fn a_manual_clock_moves_only_when_told() {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let seen: Arc<dyn WallClock> = Arc::clone(&clock) as Arc<dyn WallClock>;
    assert_eq!(seen.now(), SystemTime::UNIX_EPOCH);
    clock.advance(Duration::from_secs(10));
    assert_eq!(seen.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(10));
    clock.set(SystemTime::UNIX_EPOCH);
    assert_eq!(seen.now(), SystemTime::UNIX_EPOCH);
}

#[test]
#[should_panic(expected = "expected at most 64")]
fn a_future_that_grew_is_noticed() {
    let buffer = [0_u8; 200];
    assert_future_size(
        &async move {
            std::future::ready(()).await;
            buffer.len()
        },
        64,
    );
}
