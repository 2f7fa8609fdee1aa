//! What counting a request costs. `cargo bench -p mesh-telemetry`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use http::{Request, Response, StatusCode};
use mesh_core::body::Body;
use mesh_core::context::{Direction, Target};
use mesh_core::{MeshContext, PeerInfo, ServiceName, SpiffeId};
use mesh_telemetry::labels::{MethodLabel, Protocol, RequestLabels, SourceId, StatusLabel};
use mesh_telemetry::{RouteMetrics, Telemetry};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::Instant;

/// Shows the allocations of a benchmark that makes any: none of `count`, `source` and `request` may.
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn route(telemetry: &Telemetry) -> Arc<RouteMetrics> {
    let service = ServiceName::new("sample-service").expect("valid");
    telemetry.route(&Target::service(service), Direction::Inbound)
}

fn labels(source: SourceId, method: MethodLabel) -> RequestLabels {
    RequestLabels {
        source,
        method,
        protocol: Protocol::Http1,
        status: StatusLabel::of(StatusCode::OK),
        reason: None,
    }
}

/// Two counters and the histogram, of labels seen before.
#[divan::bench(sample_size = 10_000, threads = [1, 2])]
fn count(bencher: Bencher) {
    let telemetry = Telemetry::new();
    let route = route(&telemetry);
    let labels = labels(route.source("frontend"), MethodLabel::GET);
    bencher.bench(|| route.count(black_box(labels), black_box(Duration::from_micros(700))));
}

/// The same in a table of 800 combinations.
#[divan::bench(sample_size = 10_000)]
fn count_among_800(bencher: Bencher) {
    let telemetry = Telemetry::new();
    let route = route(&telemetry);
    let methods = [
        "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let all: Vec<RequestLabels> = (0..100)
        .flat_map(|n| {
            let source = route.source(&format!("frontend-{n}"));
            methods.map(|m| labels(source, MethodLabel::of(&m.parse().expect("a method"))))
        })
        .collect();
    let mut next = all.iter().cycle();
    bencher.bench_local(|| {
        route.count(
            *next.next().expect("endless"),
            black_box(Duration::from_micros(700)),
        );
    });
}

/// Beyond the budget: what a flood of made-up labels costs.
#[divan::bench(sample_size = 10_000)]
fn count_folded(bencher: Bencher) {
    let telemetry = Telemetry::builder().max_series(0).build();
    let route = route(&telemetry);
    let labels = labels(SourceId::UNKNOWN, MethodLabel::OTHER);
    bencher.bench(|| route.count(black_box(labels), black_box(Duration::from_micros(700))));
}

/// The label of a source seen before.
#[divan::bench(sample_size = 10_000, args = ["unknown", "frontend", "a-service-with-a-name-of-some-length"])]
fn source(bencher: Bencher, name: &str) {
    let telemetry = Telemetry::new();
    telemetry.source(name);
    bencher.bench(|| telemetry.source(black_box(name)));
}

/// A request from head to end, with the clock reading at its end and an `Arc` of the route; the head itself
/// and the context are made outside.
#[divan::bench(sample_size = 10_000)]
fn request(bencher: Bencher) {
    let telemetry = Telemetry::new();
    let route = route(&telemetry);
    let identity: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/frontend"
        .parse()
        .expect("valid");
    let mut context = MeshContext::new(Instant::now());
    let address = "127.0.0.1:1".parse().expect("valid");
    context.peer = Some(Arc::new(PeerInfo::mtls(address, identity, "00", "01")));
    let mut request = Request::get("/").body(()).expect("valid");
    request.extensions_mut().insert(context);
    bencher
        .with_inputs(|| Response::new(Body::empty()))
        .bench_values(|response| route.begin(black_box(&request)).on_response(response));
}

/// The clock reading alone, to be taken off `request`.
#[divan::bench(sample_size = 10_000)]
fn clock() -> Instant {
    Instant::now()
}

/// The exporter's histogram with a cached handle, emptied now and then as an upkeep does.
#[divan::bench(sample_size = 10_000)]
fn exporter_histogram(bencher: Bencher) {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&mesh_telemetry::metrics::EDGES)
        .expect("there are edges")
        .build_recorder();
    let handle = recorder.handle();
    let histogram = metrics::with_local_recorder(&recorder, || metrics::histogram!("x_seconds"));
    let mut left = 0_u32;
    bencher.bench_local(|| {
        histogram.record(black_box(0.000_7));
        left = left.checked_sub(1).unwrap_or_else(|| {
            handle.run_upkeep();
            100_000
        });
    });
}

/// A counter of the exporter with a cached handle.
#[divan::bench(sample_size = 10_000)]
fn exporter_counter(bencher: Bencher) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counter = metrics::with_local_recorder(&recorder, || metrics::counter!("x_total"));
    bencher.bench_local(|| counter.increment(black_box(1)));
}

/// The page of a full budget.
#[divan::bench(sample_count = 20)]
fn render_1000(bencher: Bencher) {
    let telemetry = Telemetry::new();
    let route = route(&telemetry);
    for n in 0..100 {
        let source = route.source(&format!("frontend-{n}"));
        for status in 200..210 {
            let status = StatusLabel::of(StatusCode::from_u16(status).expect("valid"));
            route.count(
                RequestLabels {
                    status,
                    ..labels(source, MethodLabel::GET)
                },
                Duration::ZERO,
            );
        }
    }
    bencher.bench_local(|| telemetry.render());
}
