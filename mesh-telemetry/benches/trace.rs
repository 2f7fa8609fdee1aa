//! What telling of a request costs, beside tower-http's `TraceLayer`. `cargo bench -p mesh-telemetry --bench trace`
//!
//! Each bench is one request through a layer around a service that answers at once. `nothing` is the service without a
//! layer, to be taken off. Samples are short, so that the memory of a request is as warm as it is behind a server.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, Uri};
use mesh_core::body::Body;
use mesh_core::trace::SampleRatio;
use mesh_core::{MeshContext, PeerInfo, SpiffeId};
use mesh_telemetry::Telemetry;
use mesh_telemetry::access_log::{AccessLog, LineFormat, LineWriter};
use mesh_telemetry::story::Teller;
use mesh_telemetry::trace::{AttemptLayer, Sampling, Spans, TraceLayer, Tracer, span_queue};
use tokio::time::Instant;
use tower::{Layer, Service};
use tower_http::trace::DefaultOnResponse;
use tracing::Level;

/// That of the proxy.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

#[derive(Clone)]
struct App;

impl Service<Request<Body>> for App {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        drop(request);
        ready(Ok(Response::new(Body::empty())))
    }
}

const PATH: &str = "/orders/7?currency=eur";

/// The fields of a browser, with a trace.
const FIELDS: [(&str, &str); 6] = [
    ("host", "orders"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ("x-request-id", "1b671a64-40d5-491e-99b0-da01ff1f3341"),
    ("x-trace-id", "0af7651916cd43dd8448eb211c80319c"),
    ("x-span-id", "b7ad6b7169203331"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    ),
];

/// As it comes from a server: with a peer, and its head in one piece of memory that all of its parts share.
fn request(peer: &Arc<PeerInfo>) -> Request<Body> {
    let mut context = MeshContext::new(Instant::now());
    context.peer = Some(Arc::clone(peer));
    let head: String = FIELDS.iter().map(|(_, value)| *value).collect();
    let mut rest = Bytes::from_owner(PATH.to_owned() + &head);
    let uri = Uri::from_maybe_shared(rest.split_to(PATH.len())).expect("a path");
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri;
    for (name, value) in FIELDS {
        let value = HeaderValue::from_maybe_shared(rest.split_to(value.len())).expect("a value");
        request.headers_mut().insert(name, value);
    }
    request.extensions_mut().insert(context);
    request
}

fn peer() -> Arc<PeerInfo> {
    let identity = SpiffeId::of_service("cluster.local", "dept-barc", "frontend").expect("valid");
    Arc::new(PeerInfo::mtls(([127, 0, 0, 1], 1).into(), identity, "00", "01"))
}

fn through<S, B>(bencher: Bencher, service: &S)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Sync,
    B: http_body::Body,
{
    let peer = peer();
    let mut service = service.clone();
    bencher
        .with_inputs(|| request(&peer))
        .bench_local_values(|request| {
            let answer = service.call(request).now_or_never();
            drop(
                answer
                    .and_then(Result::ok)
                    .filter(|answer| !answer.body().is_end_stream()),
            );
        });
}

fn tracer(ratio: SampleRatio, room: usize) -> (Tracer, Spans) {
    let (queue, spans) = span_queue(room, &Telemetry::new());
    // No request is slow, however many are made before the first is sent.
    let sampling = Sampling::new(ratio).slow(Duration::from_secs(3600));
    (Tracer::new(sampling, [queue]), spans)
}

fn layer(teller: Teller) -> TraceLayer {
    TraceLayer::new(teller, "orders".parse().expect("a name"))
}

#[divan::bench(sample_size = 100, sample_count = 300)]
fn nothing(bencher: Bencher) {
    through(bencher, &App);
}

/// Nobody is told.
#[divan::bench(sample_size = 100, sample_count = 300)]
fn silent(bencher: Bencher) {
    through(bencher, &layer(Teller::new()).layer(App));
}

/// The trace is not sampled: a span may still be made of it, if it fails.
#[divan::bench(sample_size = 100, sample_count = 300)]
fn not_sampled(bencher: Bencher) {
    let (tracer, _spans) = tracer(SampleRatio::NEVER, 1);
    through(bencher, &layer(Teller::new().tracer(Some(tracer))).layer(App));
}

/// A span of each, which finds no room.
#[divan::bench(sample_size = 100, sample_count = 300)]
fn slow_enough_to_be_kept(bencher: Bencher) {
    let (queue, _spans) = span_queue(1, &Telemetry::new());
    let sampling = Sampling::new(SampleRatio::NEVER).slow(Duration::ZERO);
    let tracer = Tracer::new(sampling, [queue]);
    through(bencher, &layer(Teller::new().tracer(Some(tracer))).layer(App));
}

/// A try of a client whose trace is not sampled.
#[divan::bench(sample_size = 100, sample_count = 300)]
fn attempt_not_sampled(bencher: Bencher) {
    let (tracer, _spans) = tracer(SampleRatio::NEVER, 1);
    let layer = AttemptLayer::new(tracer, &"frontend".parse().expect("a name"));
    through(bencher, &layer.layer(App));
}

/// A line of each, as JSON.
#[divan::bench(sample_size = 100, sample_count = 300)]
fn access_log(bencher: Bencher) {
    let (queue, _writer) = LineWriter::start(io::sink(), &Telemetry::new()).expect("a thread");
    let log = AccessLog::new(queue, LineFormat::Json);
    through(bencher, &layer(Teller::new().access_log(Some(log))).layer(App));
}

/// tower-http's layer while nobody listens.
#[divan::bench(sample_size = 100, sample_count = 300)]
fn tower_http_silent(bencher: Bencher) {
    through(bencher, &tower_http::trace::TraceLayer::new_for_http().layer(App));
}

/// tower-http's layer, with a line of each, as JSON.
#[divan::bench(sample_size = 100, sample_count = 300)]
fn tower_http_log(bencher: Bencher) {
    let log = tracing_subscriber::fmt().json().with_writer(io::sink).finish();
    let layer = tower_http::trace::TraceLayer::new_for_http()
        .make_span_with(tower_http::trace::DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    tracing::subscriber::with_default(log, || through(bencher, &layer.layer(App)));
}
