//! What counting a request costs, beside axum-otel-metrics: the same requests, answered at once. `cargo bench` in this folder.
//!
//! Both measure a request's duration by method and status, in a histogram of 14 or 15 buckets. Ours counts by source, version, route,
//! protocol, direction and reason as well, and waits for the end of the body. The other one also keeps the sizes of bodies, and
//! how many requests are under way.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum_otel_metrics::HttpMetricsLayerBuilder;
use divan::{AllocProfiler, Bencher};
use http::{Request, Response};
use mesh_core::ServiceName;
use mesh_core::body::Body;
use mesh_telemetry::Telemetry;
use mimalloc::MiMalloc;
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use tower::layer::util::Identity;
use tower::{Layer, Service};

#[global_allocator]
static ALLOCATIONS: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

fn main() {
    divan::main();
}

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

fn through<L, B>(bencher: Bencher, layer: L)
where
    L: Layer<Answers>,
    L::Service: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body,
{
    let mut service = layer.layer(Answers);
    let request = || {
        Request::get("/orders/7")
            .header("host", "orders")
            .body(Body::empty())
            .expect("valid")
    };
    bencher.with_inputs(request).bench_local_values(|request| {
        let mut answer = pin!(service.call(request));
        let mut cx = Context::from_waker(Waker::noop());
        match answer.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(response)) => drop(response),
            _ => unreachable!("it is answered at once"),
        }
    });
}

/// Nothing around it: to be taken off the others.
#[divan::bench(sample_size = 100)]
fn nothing(bencher: Bencher) {
    through(bencher, Identity::new());
}

#[divan::bench(sample_size = 100)]
fn ours(bencher: Bencher) {
    let telemetry = Telemetry::new();
    through(bencher, telemetry.layer(ServiceName::new("orders").expect("valid")));
}

#[divan::bench(sample_size = 100)]
fn axum_otel_metrics(bencher: Bencher) {
    let exporter = InMemoryMetricExporter::default();
    // Not while it is measured.
    let reader = PeriodicReader::builder(exporter).with_interval(Duration::from_secs(3600));
    let provider = SdkMeterProvider::builder().with_reader(reader.build()).build();
    through(bencher, HttpMetricsLayerBuilder::new().with_provider(provider).build());
}
