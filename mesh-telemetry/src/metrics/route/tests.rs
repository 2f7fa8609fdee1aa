use super::*;
use crate::Telemetry;

fn route(telemetry: &Telemetry) -> Arc<RouteMetrics> {
    let target = Target::service(mesh_core::ServiceName::new("orders").expect("valid"));
    telemetry.route(&target, Direction::Inbound)
}

fn get_200(source: SourceId) -> RequestLabels {
    RequestLabels {
        source,
        method: MethodLabel::GET,
        protocol: Protocol::Http1,
        status: StatusLabel::of(StatusCode::OK),
        reason: None,
    }
}

#[test]
fn statuses_of_one_class_share_a_histogram() {
    let telemetry = Telemetry::new();
    let route = route(&telemetry);
    let before = route.durations().count();
    for status in [StatusCode::OK, StatusCode::CREATED, StatusCode::NO_CONTENT] {
        let status = StatusLabel::of(status);
        route.count(
            RequestLabels {
                status,
                ..get_200(SourceId::UNKNOWN)
            },
            Duration::ZERO,
        );
    }
    assert_eq!(route.durations().count(), before);
    assert_eq!(route.cells.iter().count(), 4);
}

#[test]
fn known_series_and_folded_ones_are_not_taken_from_the_budget() {
    let telemetry = Telemetry::builder().max_series(1).build();
    let route = route(&telemetry);
    assert!(!route.series.budget.is_spent());
    for source in ["a", "b", "c"] {
        route.count(get_200(route.source(source)), Duration::ZERO);
    }
    assert!(route.series.budget.is_spent());
    assert_eq!(route.budgeted.load(Ordering::Relaxed), 1);
}

#[test]
fn requests_under_way_are_counted_until_they_are_over() {
    let telemetry = Telemetry::new();
    let route = route(&telemetry);
    let first = route.begin(&Request::new(()));
    let second = route.begin(&Request::new(()));
    assert_eq!(route.in_flight(), 2);
    drop(first);
    assert_eq!(route.in_flight(), 1);
    drop(second);
    assert_eq!(route.in_flight(), 0);
}

/// Counts while nobody can write into the table; whether that came to an end.
fn counts_without_a_lock(route: &RouteMetrics, labels: RequestLabels) -> bool {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|threads| {
        let writers = route.cells.stop_writers();
        threads.spawn(move || {
            route.count(labels, Duration::ZERO);
            tell.send(()).expect("somebody waits");
        });
        let ended = told.recv_timeout(Duration::from_secs(5)).is_ok();
        drop(writers);
        ended
    })
}

#[test]
fn counting_what_was_seen_before_takes_no_lock() {
    let telemetry = Telemetry::new();
    let route = route(&telemetry);
    let labels = get_200(route.source("web"));
    route.count(labels, Duration::ZERO);
    assert!(counts_without_a_lock(&route, labels));
}

#[test]
fn counting_beyond_the_budget_takes_no_lock() {
    let telemetry = Telemetry::builder().max_series(1).build();
    let route = route(&telemetry);
    for source in ["a", "b"] {
        route.count(get_200(route.source(source)), Duration::ZERO);
    }
    assert!(counts_without_a_lock(&route, get_200(route.source("c"))));
}
