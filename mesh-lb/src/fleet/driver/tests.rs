use std::sync::Arc;

use mesh_core::EndpointSet;
use mesh_core::discovery::{Discover, DiscoverError};
use tokio::time::{Instant, sleep};

use crate::fleet::FleetPolicy;
use crate::fleet::tests::{SECOND, endpoint, fleet, set, told, weights};

/// Answers once, and is counted as long as it lives.
struct Once(
    Option<EndpointSet>,
    #[expect(dead_code, reason = "counted")] Arc<()>,
);

impl Discover for Once {
    async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
        match self.0.take() {
            Some(set) => Ok(set),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_no_longer_followed_is_no_longer_asked() {
    let (fleet, _) = fleet(1..=1, FleetPolicy::default(), Instant::now());
    let lives = Arc::new(());
    let source = |ports| Once(Some(set(ports)), Arc::clone(&lives));
    let follow = |source| {
        let fleet = fleet.clone();
        tokio::spawn(async move { fleet.follow(source).await })
    };
    let first = follow(source(1..=2));
    sleep(SECOND).await;
    assert_eq!(fleet.endpoints().endpoints.len(), 2);
    // Another takes its place before it is gone.
    let second = follow(source(1..=3));
    sleep(SECOND).await;
    first.abort();
    sleep(SECOND).await;
    assert_eq!(Arc::strong_count(&lives), 2);
    assert!(fleet.discovery().is_some_and(|discovery| discovery.synced));

    second.abort();
    sleep(SECOND).await;
    assert_eq!(Arc::strong_count(&lives), 1, "it goes on asking");
    assert!(fleet.discovery().is_none());
    assert_eq!(fleet.endpoints().endpoints.len(), 3, "what was known is kept");
}

#[test]
fn when_nobody_asks_any_more_what_was_answered_is_forgotten() {
    let now = Instant::now();
    let (fleet, mut events) = fleet(1..=4, FleetPolicy::default(), now);
    fleet.report(endpoint(2).id(), Err("GET /health answered 503".into()), now);
    fleet.tick(now);
    assert_eq!(weights(&fleet), [1, 0, 1, 1]);
    fleet.forget_health(now);
    fleet.tick(now);
    assert_eq!(weights(&fleet), [1, 1, 1, 1]);
    assert_eq!(
        told(&mut events).last().map(String::as_str),
        Some("10.0.0.1:2 of orders is healthy: nobody asks it any more")
    );
}
