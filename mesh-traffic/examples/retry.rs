//! Retries and hedging around a client: reads are tried again, orders are placed once. Run it with
//! `cargo run -p mesh-traffic --example retry`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{Method, Request, Response, StatusCode};
use mesh_core::body::Body;
use mesh_core::{BoxError, Error};
use mesh_traffic::retry::{RetryBudget, RetryOutcome};
use mesh_traffic::{HedgeLayer, HedgePolicy, RetryLayer, RetryPolicy};
use tokio::time::{Duration, Instant};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    // A service that fails every other time. In its place, a `mesh_lb::Balance` picks another endpoint for each try.
    let asked = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&asked);
    let orders = service_fn(move |_: Request<Body>| {
        let mut response = Response::new(Body::full("order 7"));
        if counting.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        std::future::ready(Ok::<_, Error>(response))
    });

    let mut policy = RetryPolicy::default();
    policy.per_try_timeout = Some(Duration::from_secs(1));
    policy.on.push("resource-exhausted".parse()?);
    // One budget for both, shared by all that call this service.
    let now = Instant::now();
    let budget = RetryBudget::new(Default::default(), now);
    let retries = Arc::new(AtomicU32::new(0));
    let made = Arc::clone(&retries);
    let client = ServiceBuilder::new()
        .layer(
            RetryLayer::new(policy, budget.clone()).observe(move |outcome: RetryOutcome| {
                made.fetch_add(u32::from(outcome.was_made()), Ordering::Relaxed);
            }),
        )
        .layer(HedgeLayer::new(HedgePolicy::default(), budget.clone(), now))
        .service(orders);

    let ask = async |method: Method| {
        let request = Request::builder()
            .method(method)
            .uri("/orders/7")
            .body(Body::empty())?;
        Ok::<_, BoxError>(client.clone().oneshot(request).await?.status())
    };
    assert_eq!(ask(Method::GET).await?, StatusCode::OK);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(ask(Method::POST).await?, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(asked.load(Ordering::Relaxed), 3, "it may have been placed");
    assert_eq!(retries.load(Ordering::Relaxed), 1);
    assert!(budget.remaining(Instant::now()) < 10);
    Ok(())
}
