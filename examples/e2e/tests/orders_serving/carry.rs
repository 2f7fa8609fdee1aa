//! What a request carries, inside of whatever finds it out.

use std::convert::Infallible;

use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::carry::{self, CarryLayer};
use mesh_traffic::DeadlineLayer;
use tower::{Layer, Service, service_fn};

use crate::{SECOND, ask, edge, request, status, within};

/// Answers 200 to what carries a deadline, else 500.
fn carries()
-> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone {
    service_fn(async |_: Request<Body>| {
        let deadline = carry::current().and_then(|carried| carried.deadline());
        let mut response = Response::new(Body::empty());
        *response.status_mut() = if deadline.is_some() { 200 } else { 500 }
            .try_into()
            .expect("a status");
        Ok(response)
    })
}

#[tokio::test]
async fn what_is_carried_from_outside_of_a_deadline_or_of_rules_knows_no_deadline() {
    let (carry, limit) = (CarryLayer::new, || DeadlineLayer::at_most(SECOND));
    let right = limit().layer(carry().layer(carries()));
    assert_eq!(status(&right, request("/")).await, 200);
    let wrong = carry().layer(limit().layer(carries()));
    assert_eq!(status(&wrong, request("/")).await, 500);

    let right = within(SECOND).layer(carry().layer(carries()));
    assert_eq!(status(&right, request("/")).await, 200);
    let wrong = carry().layer(within(SECOND).layer(carries()));
    assert_eq!(status(&wrong, request("/")).await, 500);
}

#[tokio::test]
async fn what_is_carried_from_outside_of_the_edge_does_not_know_that_a_request_is_a_retry() {
    let attempts = || {
        service_fn(async |_: Request<Body>| {
            let carried = carry::current().expect("in a request");
            Ok::<_, Infallible>(Response::new(Body::full(carried.attempt().to_string())))
        })
    };
    let retry = || {
        let mut request = request("/");
        request.headers_mut().insert("x-mesh-attempt", 2.into());
        request
    };
    let right = edge().layer(CarryLayer::new().layer(attempts()));
    assert_eq!(ask(&right, retry()).await, (200, "2".to_owned()));
    let wrong = CarryLayer::new().layer(edge().layer(attempts()));
    assert_eq!(ask(&wrong, retry()).await, (200, "0".to_owned()));
}
