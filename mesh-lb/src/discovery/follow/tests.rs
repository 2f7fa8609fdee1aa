use std::sync::Arc;

use futures_util::FutureExt as _;
use mesh_core::Endpoint;
use tokio::sync::mpsc;

use super::*;

/// Says what it is told to say.
struct Scripted(mpsc::UnboundedReceiver<Result<EndpointSet, DiscoverError>>);

type Say = mpsc::UnboundedSender<Result<EndpointSet, DiscoverError>>;

fn scripted() -> (Say, Scripted) {
    let (say, said) = mpsc::unbounded_channel();
    (say, Scripted(said))
}

impl Discover for Scripted {
    async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
        match self.0.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn set(addresses: &[&str]) -> EndpointSet {
    let endpoint = |text: &&str| Endpoint::new(text.parse().expect(text));
    EndpointSet::new(addresses.iter().map(endpoint))
}

fn service() -> ServiceName {
    "orders".parse().expect("a name")
}

struct Fixture {
    say: Say,
    orders: Follower,
    status: Live<DiscoveryStatus>,
    events: mesh_core::Events,
}

fn follow_scripted() -> Fixture {
    let (say, source) = scripted();
    let bus = EventBus::default();
    let events = bus.subscribe();
    let orders = Follower::start(service(), source, &bus);
    Fixture {
        say,
        status: orders.status.clone(),
        orders,
        events,
    }
}

impl Fixture {
    /// Says this, and waits until it was heard.
    async fn say(&mut self, answer: Result<EndpointSet, DiscoverError>) -> Arc<DiscoveryStatus> {
        self.say.send(answer).expect("followed");
        self.status.changed().await;
        self.orders.status()
    }

    async fn event(&mut self) -> MeshEvent {
        let event = self.events.next().await.expect("the bus is there");
        MeshEvent::clone(&event)
    }

    fn is_quiet(&mut self) -> bool {
        self.events.next().now_or_never().is_none()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_known_before_the_first_answer() {
    let fixture = follow_scripted();
    let mut watch = fixture.orders.watch();
    tokio::task::yield_now().await;
    let status = fixture.orders.status();
    assert!(!status.synced && status.endpoints.is_none() && status.error.is_none());
    assert_eq!(status.age(Instant::now()), None);
    assert!(watch.next().now_or_never().is_none());
    assert!(fixture.orders.known().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn every_watch_gets_every_set_also_one_that_came_late() {
    let mut fixture = follow_scripted();
    let mut early = fixture.orders.watch();
    fixture.say(Ok(set(&["10.0.0.7:1"]))).await;
    let mut late = fixture.orders.watch();
    for watch in [&mut early, &mut late] {
        assert_eq!(watch.next().await.expect("known"), set(&["10.0.0.7:1"]));
    }
    fixture.say(Ok(set(&["10.0.0.8:1"]))).await;
    for watch in [&mut early, &mut late] {
        assert_eq!(watch.next().await.expect("known"), set(&["10.0.0.8:1"]));
        assert!(watch.next().now_or_never().is_none());
    }
    assert_eq!(*fixture.orders.known().await, set(&["10.0.0.8:1"]));
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_set_wakes_no_watch_but_renews_its_age() {
    let mut fixture = follow_scripted();
    let mut watch = fixture.orders.watch();
    fixture.say(Ok(set(&["10.0.0.7:1"]))).await;
    watch.next().await.expect("known");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(
        fixture.orders.status().age(Instant::now()),
        Some(Duration::from_secs(60))
    );
    fixture.say(Ok(set(&["10.0.0.7:1"]))).await;
    assert_eq!(fixture.orders.status().age(Instant::now()), Some(Duration::ZERO));
    assert!(watch.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_the_last_good_set_and_tells_its_age_and_its_causes() {
    let mut fixture = follow_scripted();
    let mut watch = fixture.orders.watch();
    fixture.say(Ok(set(&["10.0.0.7:1"]))).await;
    watch.next().await.expect("known");
    assert_eq!(
        fixture.event().await,
        MeshEvent::DiscoverySynced {
            service: service(),
            endpoints: 1
        }
    );
    tokio::time::advance(Duration::from_secs(30)).await;
    let cause = std::io::Error::other("no route");
    let status = fixture
        .say(Err(DiscoverError::new("no answer").with_source(cause)))
        .await;
    assert!(!status.synced);
    assert_eq!(status.error.as_deref(), Some("no answer: no route"));
    assert_eq!(status.endpoints.as_deref(), Some(&set(&["10.0.0.7:1"])));
    assert!(watch.next().now_or_never().is_none());
    assert_eq!(
        fixture.event().await,
        MeshEvent::DiscoveryStale {
            service: service(),
            age: Some(Duration::from_secs(30)),
            cause: "no answer: no route".into()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_change_to_stale_and_back_is_an_event() {
    let mut fixture = follow_scripted();
    fixture.say(Err(DiscoverError::new("first"))).await;
    assert_eq!(
        fixture.event().await,
        MeshEvent::DiscoveryStale {
            service: service(),
            age: None,
            cause: "first".into()
        }
    );
    let status = fixture.say(Err(DiscoverError::new("second"))).await;
    assert_eq!(status.error.as_deref(), Some("second"));
    assert!(fixture.is_quiet());
    let status = fixture.say(Ok(set(&["10.0.0.7:1", "10.0.0.8:1"]))).await;
    assert!(status.synced && status.error.is_none());
    assert_eq!(
        fixture.event().await,
        MeshEvent::DiscoverySynced {
            service: service(),
            endpoints: 2
        }
    );
    fixture.say(Ok(set(&[]))).await;
    assert!(fixture.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_again_at_growing_distances_of_30_s_at_most() {
    struct Failing(mpsc::UnboundedSender<Instant>);
    impl Discover for Failing {
        async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
            self.0.send(Instant::now()).expect("listened to");
            Err(DiscoverError::new("no"))
        }
    }
    let (tell, mut asked) = mpsc::unbounded_channel();
    let follower = Follower::start(service(), Failing(tell), &EventBus::default());
    let mut last = asked.recv().await.expect("asked");
    let mut distances = Vec::new();
    for _ in 0..40 {
        let now = asked.recv().await.expect("asked");
        distances.push(now - last);
        last = now;
    }
    drop(follower);
    assert!(distances[0] <= Duration::from_millis(101), "{distances:?}");
    let later = &distances[10..];
    assert!(
        later.iter().all(|d| *d <= Duration::from_millis(30_001)),
        "{later:?}"
    );
    assert!(later.iter().any(|d| *d > Duration::from_secs(5)), "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn the_source_is_followed_as_long_as_a_watch_is_left_and_no_longer() {
    let fixture = follow_scripted();
    let (say, mut watch) = (fixture.say.clone(), fixture.orders.watch());
    drop(fixture);
    say.send(Ok(set(&["10.0.0.7:1"]))).expect("followed");
    assert_eq!(watch.next().await.expect("known"), set(&["10.0.0.7:1"]));
    drop(watch);
    say.closed().await;
}
