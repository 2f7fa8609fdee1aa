//! The page as Prometheus sees it.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use mesh_core::body::Body;
use mesh_core::context::{Direction, Target};
use mesh_core::{ErrorKind, MeshContext, ServiceName};
use mesh_telemetry::Telemetry;
use mesh_telemetry::labels::{MethodLabel, Protocol, RequestLabels, SourceId, StatusLabel};
use mesh_telemetry::metrics::{CanaryFigures, CanaryStatus, EDGES, Remaining};

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

#[test]
fn known_series_start_at_0() {
    let telemetry = Telemetry::new();
    let _route = telemetry.route(&target(), Direction::Inbound);
    let _service = telemetry.service(&target().service);
    let page = page(&telemetry);
    let target = [("target_service", "sample-service")];
    for (name, with) in [
        (REQUESTS, &target[..]),
        ("service_mesh_request_duration_seconds_count", &target),
        ("service_mesh_requests_in_flight", &target),
        (
            CODES,
            &[
                ("service", "sample-service"),
                ("version", "stable"),
                ("code", "500"),
            ],
        ),
        ("service_mesh_attempts_total", &target),
        ("service_mesh_endpoints", &target),
        ("service_mesh_circuit_breaker_open", &target),
        ("service_mesh_retries_total", &[]),
        ("service_mesh_rate_limited_total", &[]),
        ("service_mesh_faults_injected_total", &[]),
        ("service_mesh_mirrored_total", &[]),
        ("service_mesh_config_reloads_total", &[]),
        ("service_mesh_events_total", &[]),
    ] {
        assert_eq!(page.sum(name, with), 0.0, "{name}");
    }
    assert_eq!(
        page.sum("service_mesh_build_info", &[("version", mesh_core::VERSION)]),
        1.0
    );
}

#[test]
fn every_family_has_a_help_text() {
    let telemetry = Telemetry::new();
    let _route = telemetry.route(&target(), Direction::Inbound);
    let _service = telemetry.service(&target().service);
    let identity = telemetry.identity(&target().service);
    let left = Remaining {
        days: 1.0,
        lifetime: Duration::from_secs(86_400),
    };
    identity.set_leaf(left);
    identity.set_ca(left);
    identity.set_crl_age(Duration::ZERO);
    let canary = telemetry.canary(&target().service);
    let version = "v2".parse().expect("valid");
    canary.set(&version, &CanaryFigures::new(CanaryStatus::Pending));
    canary.decided("begin", "ready");
    let page = page(&telemetry);
    assert_eq!(page.families.len(), 41);
    for (name, family) in &page.families {
        assert!(
            family.help.as_ref().is_some_and(|help| help.ends_with('.')),
            "{name}"
        );
    }
}

#[test]
fn the_labels_and_edges_are_those_of_the_contract() {
    let telemetry = Telemetry::new();
    let target = target()
        .with_version(Some("v2".parse().expect("valid")))
        .with_route(Some("api-v2".into()));
    let route = telemetry.route(&target, Direction::Outbound);
    let source = route.source("web");
    let labels = RequestLabels {
        reason: Some(ErrorKind::UpstreamReset),
        ..labels(source, 502)
    };
    route.count(labels, Duration::from_millis(30));
    let page = page(&telemetry);

    let counted: Vec<_> = page
        .samples(REQUESTS, &[])
        .into_iter()
        .filter(|(_, value)| *value > 0.0)
        .collect();
    let expected = [
        ("direction", "outbound"),
        ("method", "GET"),
        ("protocol", "http1"),
        ("reason", "upstream_reset"),
        ("route", "api-v2"),
        ("source_service", "web"),
        ("status", "502"),
        ("target_service", "sample-service"),
        ("version", "v2"),
    ];
    let pairs: Vec<_> = counted[0]
        .0
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!((counted.len(), pairs), (1, expected.to_vec()));

    let with = [
        ("status", "5xx"),
        ("source_service", "web"),
        ("version", "v2"),
        ("reason", "upstream_reset"),
    ];
    let bucket = "service_mesh_request_duration_seconds_bucket";
    let mut edges: Vec<f64> = page
        .samples(bucket, &with)
        .iter()
        .filter(|(labels, _)| labels["le"] != "+Inf")
        .map(|(labels, _)| labels["le"].parse().expect("a number"))
        .collect();
    edges.sort_by(f64::total_cmp);
    assert_eq!(edges, EDGES);
    assert_eq!(
        page.sum(bucket, &[with[0], with[1], with[3], ("le", "0.025")]),
        0.0
    );
    assert_eq!(
        page.sum(bucket, &[with[0], with[1], with[3], ("le", "0.05")]),
        1.0
    );

    let code = [
        ("service", "sample-service"),
        ("version", "v2"),
        ("code", "502"),
        ("job", "sample-service-v2"),
    ];
    assert_eq!(page.sum(CODES, &code), 1.0);
}

#[test]
fn a_hundred_thousand_methods_and_sources_make_few_series() {
    let telemetry = Telemetry::new();
    let route = telemetry.route(&target(), Direction::Inbound);
    for n in 0..100_000_u32 {
        let method = Method::from_bytes(format!("M{n}").as_bytes()).expect("a token");
        let labels = RequestLabels {
            source: telemetry.source(&format!("source-{n}")),
            method: MethodLabel::of(if n % 2 == 0 { &method } else { &Method::POST }),
            protocol: [Protocol::Http1, Protocol::Http2, Protocol::Grpc][n as usize % 3],
            ..labels(SourceId::UNKNOWN, 100 + (n % 500) as u16)
        };
        route.count(labels, Duration::from_millis(u64::from(n % 100)));
    }
    let page = page(&telemetry);
    // The budget, the two known ones, and the classes everything else is folded into.
    let series = page.samples(REQUESTS, &[]).len();
    assert!((1000..=1000 + 2 + 5).contains(&series), "{series}");
    assert!(page.samples(&format!("{DURATION}_count"), &[]).len() <= series);
    assert!(page.samples(CODES, &[]).len() <= 505);
    assert_eq!(page.sum(REQUESTS, &[]), 100_000.0);
    assert_eq!(page.sum(CODES, &[]), 100_000.0);
    assert_eq!(page.sum(&format!("{DURATION}_count"), &[]), 100_000.0);
    // What is folded keeps its class, so that queries for 5.. see it.
    let failures: f64 = page
        .samples(REQUESTS, &[])
        .iter()
        .filter(|(labels, _)| labels["status"].starts_with('5'))
        .map(|(_, value)| value)
        .sum();
    assert_eq!(failures, 20_000.0);
}

#[test]
fn only_the_first_sources_are_told_apart() {
    let telemetry = Telemetry::builder().max_sources(3).build();
    let route = telemetry.route(&target(), Direction::Inbound);
    for source in [
        "a",
        "b",
        "c",
        "d",
        "e",
        "a",
        "unknown",
        "bad name",
        "",
        &"x".repeat(64),
        "other",
    ] {
        route.count(labels(telemetry.source(source), 200), Duration::ZERO);
    }
    let page = page(&telemetry);
    for (source, count) in [
        ("a", 2.0),
        ("b", 1.0),
        ("c", 1.0),
        ("unknown", 1.0),
        ("other", 6.0),
    ] {
        assert_eq!(
            page.sum(REQUESTS, &[("source_service", source)]),
            count,
            "{source}"
        );
    }
}

#[test]
fn a_route_whose_id_is_no_plain_text_spoils_no_page() {
    let telemetry = Telemetry::new();
    let long = "ä".repeat(1000);
    let routes: Vec<_> = ["say \"hi\"\\\n", "say _hi___", "back\\slash\\", &long]
        .into_iter()
        .map(|id| telemetry.route(&target().with_route(Some(id.into())), Direction::Inbound))
        .collect();
    assert!(
        Arc::ptr_eq(&routes[0], &routes[1]),
        "what prints the same is the same"
    );
    for route in &routes {
        route.count(labels(SourceId::UNKNOWN, 200), Duration::ZERO);
    }
    let page = page(&telemetry);
    assert_eq!(page.sum(REQUESTS, &[("route", "say _hi___")]), 2.0);
    assert_eq!(page.sum(REQUESTS, &[("route", "back_slash_")]), 1.0);
    assert_eq!(page.sum(REQUESTS, &[("route", &"ä".repeat(128))]), 1.0);
}

#[test]
fn metrics_of_the_application_stand_on_the_same_page() {
    let telemetry = Telemetry::new();
    metrics::with_local_recorder(&telemetry.recorder(), || {
        metrics::describe_counter!("orders_placed_total", "Orders placed.");
        metrics::counter!("orders_placed_total", "note" => "a \"quoted\" one").increment(3);
        metrics::gauge!("orders_open").set(2.5);
        metrics::histogram!("order_value_eur").record(12.0);
        metrics::histogram!("pick_seconds").record(0.3);
    });
    let page = page(&telemetry);
    assert_eq!(
        page.sum("orders_placed_total", &[("note", "a \"quoted\" one")]),
        3.0
    );
    assert_eq!(page.sum("orders_open", &[]), 2.5);
    assert_eq!(page.families["order_value_eur"].kind, "summary");
    assert_eq!(page.families["pick_seconds"].kind, "histogram");
    assert_eq!(page.sum("pick_seconds_bucket", &[("le", "0.5")]), 1.0);
}

#[test]
fn an_application_cannot_break_the_page_with_a_name_of_the_mesh() {
    let telemetry = Telemetry::new();
    let route = telemetry.route(&target(), Direction::Inbound);
    metrics::with_local_recorder(&telemetry.recorder(), || {
        metrics::counter!("http_requests_total").increment(1);
        metrics::gauge!("service.mesh.requests.total").set(1.0);
        metrics::histogram!("service_mesh_request_duration_seconds").record(1.0);
        metrics::counter!("service_mesh_request_duration_seconds_count").increment(1);
    });
    route.count(labels(SourceId::UNKNOWN, 200), Duration::ZERO);
    let page = page(&telemetry);
    assert_eq!(page.sum(REQUESTS, &[]), 1.0);
    assert_eq!(page.sum(CODES, &[]), 1.0);
    assert_eq!(page.sum(&format!("{DURATION}_count"), &[]), 1.0);
}

#[test]
fn a_hook_is_called_at_each_scrape_until_its_guard_is_dropped() {
    let telemetry = Telemetry::new();
    let days = metrics::with_local_recorder(&telemetry.recorder(), || metrics::gauge!("expiry_days"));
    let left = std::sync::atomic::AtomicU32::new(90);
    let guard = telemetry.before_scrape(move || {
        days.set(f64::from(left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed)));
    });
    assert_eq!(page(&telemetry).sum("expiry_days", &[]), 90.0);
    assert_eq!(page(&telemetry).sum("expiry_days", &[]), 89.0);
    drop(guard);
    assert_eq!(page(&telemetry).sum("expiry_days", &[]), 89.0);
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let telemetry = Telemetry::new();
    let route = telemetry.route(
        &target().with_route(Some("all \"of\" them".into())),
        Direction::Inbound,
    );
    let _service = telemetry.service(&target().service);
    let mut request = Request::get("/").body(()).expect("valid");
    request
        .extensions_mut()
        .insert(MeshContext::new(tokio::time::Instant::now()));
    drop(route.begin(&request).on_response(Response::new(Body::empty())));
    let text = telemetry.render();
    Page::read(&text);

    use std::io::{ErrorKind, Write};
    use std::process::{Command, Stdio};
    let named = std::env::var_os("PROMTOOL");
    let spawned = Command::new(named.as_deref().unwrap_or_else(|| "promtool".as_ref()))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        // Not on this machine: the reader above has checked the page.
        Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => return,
        Err(error) => panic!("promtool does not start: {error}"),
    };
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(text.as_bytes())
        .expect("promtool reads");
    let done = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{said}");
}
