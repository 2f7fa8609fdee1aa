//! What counting a request costs. `cargo bench -p mesh-telemetry`

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use divan::Bencher;
use http::{Request, Response, StatusCode};
use mesh_core::body::Body;
use mesh_core::context::{Direction, Target};
use mesh_core::{Assignment, MeshContext, Outcome, PeerInfo, ServiceName, SpiffeId, Version};
use mesh_telemetry::labels::{MethodLabel, Protocol, RequestLabels, SourceId, StatusLabel};
use mesh_telemetry::{RouteMetrics, ServiceEvidence, Telemetry};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// Shows the allocations of a benchmark that makes any: none of `count`, `source`, `request` and `attempt…` may.
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

fn evidence(versions: &[&str]) -> (Arc<ServiceEvidence>, Vec<Version>) {
    let service = Telemetry::new()
        .evidence()
        .service(&ServiceName::new("sample-service").expect("valid"));
    let versions: Vec<Version> = versions.iter().map(|v| v.parse().expect("valid")).collect();
    service.know(versions.iter().map(Some));
    (service, versions)
}

/// An attempt that is over, with the clock reading.
#[divan::bench(sample_size = 10_000, threads = [1, 2])]
fn attempt(bencher: Bencher) {
    let (service, versions) = evidence(&["v1", "v2"]);
    let took = Duration::from_micros(700);
    bencher.bench(|| {
        service.ended(
            Some(black_box(&versions[1])),
            Assignment::Drawn,
            Outcome::Success,
            took,
        )
    });
}

/// One that failed, of a user that had failed before.
#[divan::bench(sample_size = 10_000)]
fn attempt_failed(bencher: Bencher) {
    let (service, versions) = evidence(&["v1", "v2"]);
    let (user, took) = (Assignment::Kept(7 << 50), Duration::from_micros(700));
    service.ended(Some(&versions[1]), user, Outcome::Failure, took);
    bencher.bench(|| service.ended(Some(black_box(&versions[1])), user, Outcome::Failure, took));
}

/// One that was answered, to the end of its body.
#[divan::bench(sample_size = 10_000)]
fn attempt_answered(bencher: Bencher) {
    let (service, versions) = evidence(&["v1", "v2"]);
    let took = Duration::from_micros(700);
    bencher
        .with_inputs(|| Response::new(Body::empty()))
        .bench_values(|response| {
            service.answered(Some(black_box(&versions[1])), Assignment::Drawn, took, response)
        });
}

/// A request through a layer that does nothing else, and its body to the end.
fn through<L, B>(bencher: Bencher, layer: L)
where
    L: Layer<Answers>,
    L::Service: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body,
{
    let mut service = layer.layer(Answers);
    bencher
        .with_inputs(|| Request::get("/orders/7").body(Body::empty()).expect("valid"))
        .bench_local_values(|request| {
            let mut answer = pin!(service.call(request));
            let mut cx = Context::from_waker(Waker::noop());
            match answer.as_mut().poll(&mut cx) {
                Poll::Ready(Ok(response)) => drop(response),
                _ => unreachable!("it is answered at once"),
            }
        });
}

/// Answers at once.
#[derive(Clone)]
struct Answers;

impl Service<Request<Body>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(Body::empty())))
    }
}

/// Nothing around it: to be taken off the next three.
#[divan::bench(sample_size = 1_000)]
fn layer_none(bencher: Bencher) {
    through(bencher, tower::layer::util::Identity::new());
}

/// All that is counted of a request.
#[divan::bench(sample_size = 1_000)]
fn layer_metrics(bencher: Bencher) {
    let telemetry = Telemetry::new();
    through(
        bencher,
        telemetry.layer(ServiceName::new("sample-service").expect("valid")),
    );
}

/// All that is counted of an attempt.
#[divan::bench(sample_size = 1_000)]
fn layer_evidence(bencher: Bencher) {
    let evidence = Telemetry::new().evidence();
    through(
        bencher,
        evidence.layer(&ServiceName::new("sample-service").expect("valid")),
    );
}

/// What tower-http's layer for traces costs when nobody subscribes.
#[divan::bench(sample_size = 1_000)]
fn layer_tower_http_trace(bencher: Bencher) {
    through(bencher, tower_http::trace::TraceLayer::new_for_http());
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
