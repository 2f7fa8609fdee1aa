//! What is counted of requests and attempts takes no memory, once their labels were met.

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use cap::Cap;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::context::{Direction, Target};
use mesh_core::{Assignment, Outcome, ServiceName, Version};
use mesh_telemetry::Telemetry;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// How many bytes this takes, whether they are given back or not.
fn taken(mut count: impl FnMut()) -> usize {
    count();
    let before = ALLOCATOR.total_allocated();
    (0..10_000).for_each(|_| count());
    ALLOCATOR.total_allocated() - before
}

// One test: what runs beside it would be counted as well.
#[test]
fn counting_takes_no_memory() {
    let telemetry = Telemetry::new();
    let service: ServiceName = "orders".parse().expect("a name");
    let v2: Version = "v2".parse().expect("a version");
    let route = telemetry.route(&Target::service(service.clone()), Direction::Inbound);
    let evidence = telemetry.evidence().service(&service);
    let took = Duration::from_millis(3);

    let request = Request::get("/orders/7").body(()).expect("a request");
    let requests = taken(|| drop(route.begin(&request).on_response(Response::new(Body::empty()))));
    assert_eq!(requests, 0, "requests");

    for (assignment, outcome) in [
        (Assignment::Drawn, Outcome::Success),
        (Assignment::Asked, Outcome::Failure),
        (Assignment::Kept(7), Outcome::Failure),
    ] {
        let attempts = taken(|| evidence.ended(Some(&v2), assignment, outcome, took));
        assert_eq!(attempts, 0, "{assignment:?} {outcome:?}");
    }
    let answered = taken(|| {
        let answer = Response::new(Body::empty());
        drop(Arc::clone(&evidence).answered(Some(&v2), Assignment::Drawn, took, answer));
    });
    assert_eq!(answered, 0, "answered");

    // That it would be seen.
    assert!(taken(|| drop(Box::new(7))) >= 10_000);
}
