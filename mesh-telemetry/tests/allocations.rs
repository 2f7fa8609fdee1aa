//! What is counted of requests and attempts takes no memory, once their labels were met. What is told of them takes some, however
//! much there is to tell.

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cap::Cap;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use mesh_core::body::Body;
use mesh_core::body_end::End;
use mesh_core::context::{Direction, Target};
use mesh_core::trace::SampleRatio;
use mesh_core::{Assignment, MeshContext, Outcome, RequestHead, ServiceName, Version};
use mesh_telemetry::Telemetry;
use mesh_telemetry::story::{Begun, Place, Teller, Telling};
use mesh_telemetry::trace::{Sampling, Tracer, span_queue};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// How many bytes this takes, whether they are given back or not.
fn taken(mut count: impl FnMut()) -> usize {
    count();
    let before = ALLOCATOR.total_allocated();
    (0..10_000).for_each(|_| count());
    ALLOCATOR.total_allocated() - before
}

/// The same of a request that is told to a tracer, and not sampled; with texts so long.
fn taken_by_telling(service: &ServiceName, length: usize) -> usize {
    let (queue, _spans) = span_queue(1, &Telemetry::new());
    // None of them is slow.
    let sampling = Sampling::new(SampleRatio::NEVER).slow(Duration::MAX);
    let teller = Teller::new().tracer(Some(Tracer::new(sampling, [queue])));
    let place = Place::new(teller, service.shared(), None);
    // As a server has it: what shares it takes no memory.
    let text = Bytes::from_owner("/".repeat(length));
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_maybe_shared(text.clone()).expect("a path");
    let agent = HeaderValue::from_maybe_shared(text).expect("a value");
    request.headers_mut().insert("user-agent", agent.clone());
    request.headers_mut().insert("host", agent);
    let context = MeshContext::new(Instant::now());
    taken(|| {
        let begun = Begun {
            head: RequestHead::of(&request),
            version: request.version(),
            context: &context,
            parent: None,
            listener: None,
        };
        let mut telling = Telling::of(place.begin(&begun, &mut fastrand::Rng::new()));
        telling.answered(StatusCode::OK, None);
        telling.ended(End::Complete(None), Instant::now());
    })
}

// One test: what runs beside it would be counted as well.
#[test]
fn counting_takes_no_memory_and_telling_copies_nothing() {
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

    let told = [10, 1000].map(|length| taken_by_telling(&service, length));
    assert_eq!(told[0], told[1], "nothing of a request is copied");

    // That it would be seen.
    assert!(taken(|| drop(Box::new(7))) >= 10_000);
}
