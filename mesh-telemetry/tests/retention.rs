//! How long series stay on the page.

use std::time::Duration;

use http::StatusCode;
use mesh_core::ServiceName;
use mesh_core::context::{Direction, Target};
use mesh_telemetry::Telemetry;
use mesh_telemetry::labels::{MethodLabel, Protocol, RequestLabels, SourceId, StatusLabel};

#[path = "support/exposition.rs"]
mod exposition;

use exposition::Page;

const REQUESTS: &str = "service_mesh_requests_total";
const DURATION: &str = "service_mesh_request_duration_seconds";
const CODES: &str = "http_requests_total";

fn target() -> Target {
    Target::service(ServiceName::new("sample-service").expect("valid"))
}

fn page(telemetry: &Telemetry) -> Page {
    Page::read(&telemetry.render())
}

fn labels(source: SourceId, status: u16) -> RequestLabels {
    RequestLabels {
        source,
        method: MethodLabel::GET,
        protocol: Protocol::Http1,
        status: StatusLabel::of(StatusCode::from_u16(status).expect("valid")),
        reason: None,
    }
}

#[tokio::test(start_paused = true)]
async fn the_series_of_a_target_that_is_gone_leave_the_page_after_the_retention() {
    let retention = Duration::from_secs(600);
    let telemetry = Telemetry::builder().retention(retention).max_series(1).build();
    let old = telemetry.route(
        &target().with_version(Some("v1".parse().expect("valid"))),
        Direction::Inbound,
    );
    let kept = telemetry.route(&target(), Direction::Inbound);
    let service = telemetry.service(&target().service);
    old.count(labels(SourceId::UNKNOWN, 404), Duration::ZERO);
    drop((old, service));

    assert_eq!(page(&telemetry).sum(REQUESTS, &[("version", "v1")]), 1.0);
    tokio::time::advance(retention / 2).await;
    assert_eq!(page(&telemetry).sum(REQUESTS, &[("version", "v1")]), 1.0);
    tokio::time::advance(retention / 2).await;
    let after = page(&telemetry);
    assert!(after.samples(REQUESTS, &[("version", "v1")]).is_empty());
    assert!(
        after
            .samples(&format!("{DURATION}_count"), &[("version", "v1")])
            .is_empty()
    );
    assert!(after.samples("service_mesh_circuit_breaker_open", &[]).is_empty());
    assert_eq!(
        after.sum(REQUESTS, &[("version", "stable")]),
        0.0,
        "what is held stays"
    );

    // The version was held by its route; its own time began with the route's end.
    tokio::time::advance(retention).await;
    assert!(page(&telemetry).samples(CODES, &[("version", "v1")]).is_empty());

    // What it had of the budget is free again.
    kept.count(labels(SourceId::UNKNOWN, 404), Duration::ZERO);
    assert_eq!(page(&telemetry).sum(REQUESTS, &[("status", "404")]), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_held_counts_on_however_rarely_it_is_used() {
    let telemetry = Telemetry::builder().retention(Duration::ZERO).build();
    let route = telemetry.route(&target(), Direction::Inbound);
    for count in 1..=5 {
        route.count(labels(SourceId::UNKNOWN, 200), Duration::ZERO);
        for _ in 0..3 {
            let page = page(&telemetry);
            assert_eq!(page.sum(REQUESTS, &[]), f64::from(count));
            assert_eq!(page.sum(CODES, &[]), f64::from(count));
            tokio::time::advance(Duration::from_secs(86_400)).await;
        }
    }
}

#[test]
fn a_target_that_comes_back_in_time_counts_on() {
    let telemetry = Telemetry::new();
    for count in 1..=3 {
        let route = telemetry.route(&target(), Direction::Inbound);
        route.count(labels(SourceId::UNKNOWN, 200), Duration::ZERO);
        drop(route);
        assert_eq!(page(&telemetry).sum(REQUESTS, &[]), f64::from(count));
    }
}

#[test]
fn scrapes_beside_traffic_lose_no_count() {
    const EACH: u32 = 20_000;
    let telemetry = Telemetry::builder().retention(Duration::ZERO).build();
    let route = telemetry.route(&target(), Direction::Inbound);
    std::thread::scope(|threads| {
        for thread in 0..2 {
            let (telemetry, route) = (&telemetry, &route);
            threads.spawn(move || {
                for n in 0..EACH {
                    let source = telemetry.source(if thread == 0 { "a" } else { "b" });
                    route.count(labels(source, 200 + (n / 500) as u16), Duration::ZERO);
                }
            });
        }
        for _ in 0..20 {
            page(&telemetry);
        }
    });
    let page = page(&telemetry);
    for name in [REQUESTS, CODES, "service_mesh_request_duration_seconds_count"] {
        assert_eq!(page.sum(name, &[]), f64::from(2 * EACH), "{name}");
    }
}
