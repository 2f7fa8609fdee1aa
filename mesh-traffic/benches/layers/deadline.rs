use std::convert::Infallible;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use divan::Bencher;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_traffic::DeadlineLayer;
use tower::timeout::TimeoutLayer;
use tower::{Layer, service_fn};
use tower_resilience::timelimiter::{FixedTimeout, TimeLimiterLayer};

use super::asked::{ask, at_once};

const LIMIT: Duration = Duration::from_secs(3600);

pub(crate) fn time_limiter() -> TimeLimiterLayer<FixedTimeout> {
    TimeLimiterLayer::builder().timeout_duration(LIMIT).build()
}

/// Not there when it is asked for the first time, so that a timer is needed.
async fn later(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut asked = false;
    poll_fn(|_| match std::mem::replace(&mut asked, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
    at_once(request).await
}

#[divan::bench]
fn deadline_of_an_answer_that_is_there(bencher: Bencher) {
    ask(bencher, DeadlineLayer::at_most(LIMIT).layer(service_fn(at_once)));
}

#[divan::bench]
fn deadline_of_an_answer_that_is_there_tower(bencher: Bencher) {
    ask(bencher, TimeoutLayer::new(LIMIT).layer(service_fn(at_once)));
}

#[divan::bench]
fn deadline_of_an_answer_that_is_there_tower_resilience(bencher: Bencher) {
    ask(bencher, time_limiter().layer(service_fn(at_once)));
}

#[divan::bench]
fn deadline_of_an_answer_to_come(bencher: Bencher) {
    ask(bencher, DeadlineLayer::at_most(LIMIT).layer(service_fn(later)));
}

#[divan::bench]
fn deadline_of_an_answer_to_come_tower(bencher: Bencher) {
    ask(bencher, TimeoutLayer::new(LIMIT).layer(service_fn(later)));
}

#[divan::bench]
fn deadline_of_an_answer_to_come_tower_resilience(bencher: Bencher) {
    ask(bencher, time_limiter().layer(service_fn(later)));
}
