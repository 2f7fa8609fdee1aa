//! Concurrency, inside of what refuses and outside of the deadline.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::testkit::Step;
use mesh_tls::authorize::Rule as Allowance;
use mesh_traffic::concurrency::{ConcurrencyLimit, Waiting};
use mesh_traffic::{ConcurrencyLayer, DeadlineLayer, RateLimitLayer};
use tokio::time::{advance, timeout};
use tower::{Layer, Service, ServiceExt};

use crate::{SECOND, authorize, of, one, request, scripted, status};

async fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::ZERO, future).await.ok()
}

fn at_once(limit: u32) -> ConcurrencyLayer {
    ConcurrencyLayer::new(
        ConcurrencyLimit::fixed(limit).expect("a limit"),
        Waiting::default(),
    )
}

#[tokio::test(start_paused = true)]
async fn concurrency_outside_of_authorization_lets_those_without_permission_wait_in_line() {
    let policy = || authorize([Allowance::allow("frontend").from(["spiffe://mesh/ns/shop/sa/frontend"])]);
    let (hangs, _calls) = scripted([Step::Hang, Step::Hang]);
    let right = policy().layer(at_once(1).layer(hangs.clone()));
    let mut first = Box::pin(right.clone().oneshot(request("/")));
    assert!(now_or_never(&mut first).await.is_none());
    assert_eq!(now_or_never(status(&right, of("printer", "/"))).await, Some(403));
    let wrong = at_once(1).layer(policy().layer(hangs));
    let mut first = Box::pin(wrong.clone().oneshot(request("/")));
    assert!(now_or_never(&mut first).await.is_none());
    assert_eq!(now_or_never(status(&wrong, of("printer", "/"))).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_inside_of_concurrency_lets_wait_what_it_refuses() {
    let limit = || RateLimitLayer::new(one());
    let (hangs, _calls) = scripted([Step::Hang, Step::Hang]);
    let right = limit().layer(at_once(1).layer(hangs.clone()));
    let mut first = Box::pin(right.clone().oneshot(request("/")));
    assert!(now_or_never(&mut first).await.is_none());
    assert_eq!(now_or_never(status(&right, request("/"))).await, Some(429));
    drop(first);
    let places = at_once(1);
    let wrong = places.layer(limit().layer(hangs));
    let mut first = Box::pin(wrong.clone().oneshot(request("/")));
    assert!(now_or_never(&mut first).await.is_none());
    let mut second = Box::pin(status(&wrong, request("/")));
    assert!(now_or_never(&mut second).await.is_none());
    assert_eq!(places.limiter().waiting(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_outside_of_concurrency_sends_on_what_got_its_turn_too_late() {
    let limit = || DeadlineLayer::at_most(SECOND);
    // A process that is so busy that nobody looks after a request from before its turn comes until after its deadline.
    async fn late<S, B>(service: S) -> u16
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    {
        let Some(Ok(first)) = now_or_never(service.clone().oneshot(request("/"))).await else {
            panic!("there is room for one");
        };
        let mut second = Box::pin(service.oneshot(request("/")));
        assert!(now_or_never(&mut second).await.is_none(), "it waits in line");
        drop(first);
        advance(2 * SECOND).await;
        let Ok(second) = second.await;
        second.status().as_u16()
    }
    let (inner, calls) = scripted([Step::Answer(()), Step::Answer(())]);
    assert_eq!(late(at_once(1).layer(limit().layer(inner))).await, 504);
    assert_eq!(calls.count(), 1, "the second was not asked");
    let (inner, calls) = scripted([Step::Answer(()), Step::Answer(())]);
    assert_eq!(late(limit().layer(at_once(1).layer(inner))).await, 200);
    assert_eq!(calls.count(), 2);
}
