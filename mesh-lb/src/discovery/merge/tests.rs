use futures_util::FutureExt as _;
use mesh_core::Endpoint;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::*;

/// Says what it is told to say.
struct Scripted(mpsc::UnboundedReceiver<Result<EndpointSet, DiscoverError>>);

type Say = mpsc::UnboundedSender<Result<EndpointSet, DiscoverError>>;

impl Discover for Scripted {
    async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
        match self.0.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn two() -> (Say, Say, Merge) {
    let (first, of_first) = mpsc::unbounded_channel();
    let (second, of_second) = mpsc::unbounded_channel();
    let merge = Merge::new().with(Scripted(of_first)).with(Scripted(of_second));
    (first, second, merge)
}

fn weighted(addresses: &[(&str, u32)]) -> EndpointSet {
    let endpoint =
        |(text, weight): &(&str, u32)| Endpoint::new(text.parse().expect(text)).with_weight(*weight);
    EndpointSet::new(addresses.iter().map(endpoint))
}

fn set(addresses: &[&str]) -> EndpointSet {
    let weighted_one: Vec<_> = addresses.iter().map(|address| (*address, 1)).collect();
    weighted(&weighted_one)
}

fn say(to: &Say, set: EndpointSet) {
    to.send(Ok(set)).expect("listened to");
}

fn fail(to: &Say, message: &str) {
    to.send(Err(DiscoverError::new(message))).expect("listened to");
}

async fn next(merge: &mut Merge) -> EndpointSet {
    merge.next().await.expect("a set")
}

#[tokio::test(start_paused = true)]
async fn it_answers_as_soon_as_one_source_does() {
    let (first, second, mut merge) = two();
    say(&second, set(&["10.0.0.2:1"]));
    assert_eq!(next(&mut merge).await, set(&["10.0.0.2:1"]));
    say(&first, set(&["10.0.0.1:1"]));
    assert_eq!(next(&mut merge).await, set(&["10.0.0.1:1", "10.0.0.2:1"]));
}

#[tokio::test(start_paused = true)]
async fn what_all_sources_know_already_is_one_answer() {
    let (first, second, mut merge) = two();
    say(&first, set(&["10.0.0.1:1"]));
    say(&second, set(&["10.0.0.2:1"]));
    let answer = merge.next().now_or_never().expect("at once").expect("a set");
    assert_eq!(answer, set(&["10.0.0.1:1", "10.0.0.2:1"]));
}

#[tokio::test(start_paused = true)]
async fn on_an_address_that_both_know_the_earlier_source_counts() {
    let (first, second, mut merge) = two();
    say(&first, weighted(&[("10.0.0.1:1", 5)]));
    say(&second, weighted(&[("10.0.0.1:1", 9), ("10.0.0.2:1", 9)]));
    assert_eq!(
        next(&mut merge).await,
        weighted(&[("10.0.0.1:1", 5), ("10.0.0.2:1", 9)])
    );
    say(&first, set(&[]));
    assert_eq!(
        next(&mut merge).await,
        weighted(&[("10.0.0.1:1", 9), ("10.0.0.2:1", 9)])
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_contributes_its_last_good_set_while_the_others_go_on() {
    let (first, second, mut merge) = two();
    say(&first, set(&["10.0.0.1:1"]));
    say(&second, set(&["10.0.0.2:1"]));
    next(&mut merge).await;
    fail(&first, "down");
    let error = merge.next().await.expect_err("it is told");
    assert_eq!(error.to_string(), "down");
    say(&second, set(&["10.0.0.3:1"]));
    assert_eq!(next(&mut merge).await, set(&["10.0.0.1:1", "10.0.0.3:1"]));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_once_until_the_source_works_again() {
    let (first, second, mut merge) = two();
    say(&second, set(&["10.0.0.2:1"]));
    next(&mut merge).await;
    for _ in 0..5 {
        fail(&first, "down");
    }
    merge.next().await.expect_err("it is told");
    let silence = timeout(Duration::from_secs(3600), merge.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    say(&first, set(&[]));
    assert_eq!(next(&mut merge).await, set(&["10.0.0.2:1"]), "it works again");
    fail(&first, "down again");
    assert_eq!(
        merge.next().await.expect_err("it is told").to_string(),
        "down again"
    );
}

#[tokio::test(start_paused = true)]
async fn that_nothing_changed_is_told_only_while_no_source_fails() {
    let (first, second, mut merge) = two();
    say(&first, set(&["10.0.0.1:1"]));
    say(&second, set(&["10.0.0.2:1"]));
    let both = next(&mut merge).await;
    say(&second, set(&["10.0.0.2:1"]));
    assert_eq!(next(&mut merge).await, both);
    fail(&first, "down");
    merge.next().await.expect_err("it is told");
    say(&second, set(&["10.0.0.2:1"]));
    assert!(timeout(Duration::from_secs(60), merge.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_rests_before_it_is_asked_again() {
    struct Failing(mpsc::UnboundedSender<Instant>);
    impl Discover for Failing {
        async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
            self.0.send(Instant::now()).expect("listened to");
            Err(DiscoverError::new("no"))
        }
    }
    let (tell, mut asked) = mpsc::unbounded_channel();
    let mut merge = Merge::new().with(Failing(tell));
    merge.next().await.expect_err("it fails");
    let _ = timeout(Duration::from_secs(600), merge.next()).await;
    let mut times = 0;
    while asked.try_recv().is_ok() {
        times += 1;
    }
    assert!((20..200).contains(&times), "{times}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_loses_nothing_even_of_a_source_that_starts_over_when_dropped() {
    /// Takes a second for its answer, and would begin anew if its call were dropped.
    struct Slow;
    impl Discover for Slow {
        async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
            sleep(Duration::from_secs(1)).await;
            Ok(set(&["10.0.0.9:1"]))
        }
    }
    let mut merge = Merge::new().with(Slow);
    let start = Instant::now();
    let mut dropped = 0;
    let answer = loop {
        match timeout(Duration::from_millis(300), merge.next()).await {
            Ok(answer) => break answer,
            Err(_) => dropped += 1,
        }
    };
    assert_eq!(answer.expect("a set"), set(&["10.0.0.9:1"]));
    assert_eq!((dropped, start.elapsed().as_secs()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn without_sources_it_never_answers() {
    assert!(
        timeout(Duration::from_secs(60), Merge::new().next())
            .await
            .is_err()
    );
}
