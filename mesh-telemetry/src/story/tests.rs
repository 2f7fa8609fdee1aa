use std::io;
use std::sync::mpsc;
use std::time::Duration;

use http::{HeaderMap, Request, Response, StatusCode};
use mesh_core::body::Body;
use mesh_core::forwarded::parent_span;
use mesh_core::trace::{SampleRatio, SpanId, TraceId};
use mesh_core::tried::TriedEndpoints;
use mesh_core::{AttemptInfo, Endpoint, EndpointId, Error, PeerInfo, SpiffeId};

use super::*;
use crate::Telemetry;
use crate::access_log::{LineFormat, LineWriter};
use crate::trace::{Sampling, Span, SpanKind, Spans, span_queue};

fn tracer(ratio: SampleRatio) -> (Tracer, Spans) {
    let (queue, spans) = span_queue(100, &Telemetry::new());
    (Tracer::new(Sampling::new(ratio), [queue]), spans)
}

fn all(mut spans: Spans) -> Vec<Span> {
    std::iter::from_fn(|| spans.try_next()).collect()
}

fn parent(sampled: bool) -> SpanContext {
    SpanContext {
        trace: TraceId::new(7).expect("not zero"),
        span: SpanId::new(9).expect("not zero"),
        sampled,
    }
}

fn request() -> Request<Body> {
    let request = Request::get("/orders/7?token=secret")
        .header("host", "orders")
        .header("user-agent", "curl/8");
    request.body(Body::empty()).expect("valid")
}

fn begin(teller: &Teller, request: &Request<Body>, parent: Option<SpanContext>) -> Option<Arc<Story>> {
    let mut context = MeshContext::new(Instant::now());
    let identity = SpiffeId::of_service("cluster.local", "dept-barc", "frontend").expect("valid");
    context.peer = Some(Arc::new(PeerInfo::mtls(
        ([10, 0, 0, 1], 5).into(),
        identity,
        "ab",
        "01",
    )));
    let target = Target::service("orders".parse().expect("a name")).with_route(Some("rule".into()));
    let begun = Begun {
        head: RequestHead::of(request),
        version: request.version(),
        context: &context,
        parent,
        listener: Some(&"inbound".into()),
    };
    let place = Place::new(teller.clone(), "orders".into(), Some(target));
    place.begin(&begun, &mut fastrand::Rng::with_seed(7))
}

fn endpoint(port: u16) -> EndpointId {
    let address: std::net::SocketAddr = ([10, 0, 0, 7], port).into();
    Endpoint::new(address.into()).id().clone()
}

fn text(span: &Span, name: &str) -> String {
    let text = span.attribute(name).and_then(|value| value.text());
    text.unwrap_or_else(|| panic!("no {name} in {span:?}")).to_owned()
}

fn number(span: &Span, name: &str) -> Option<i64> {
    match span.attribute(name)? {
        crate::trace::Value::Number(number) => Some(*number),
        other => panic!("{other:?}"),
    }
}

/// A request that is answered at its second try.
fn tried_twice(story: &Arc<Story>) -> [HeaderMap; 2] {
    let mut sent = request();
    let first = story.begin_try(&mut sent, Instant::now());
    let tried = sent
        .extensions()
        .get::<TriedEndpoints>()
        .expect("put there")
        .clone();
    tried.add(&endpoint(1));
    first.failed(&Error::new(ErrorKind::UpstreamReset, "it broke"));
    let mut again = request();
    again.extensions_mut().insert(tried.clone());
    let second = story.begin_try(&mut again, Instant::now());
    tried.add(&endpoint(2));
    let answer = Response::new(());
    second.answered(&answer, &AttemptInfo::new(endpoint(2), None, 1));
    [sent.headers().clone(), again.headers().clone()]
}

#[test]
fn tries_are_siblings_and_the_request_goes_on_from_each() {
    let (tracer, spans) = tracer(SampleRatio::NEVER);
    let teller = Teller::new().tracer(Some(tracer));
    let story = begin(&teller, &request(), Some(parent(true))).expect("told");
    let first = story.goes_on_from().expect("a span is made");
    let [_, again] = tried_twice(&story);
    let mut telling = Telling::of(Some(Arc::clone(&story)));
    telling.answered(StatusCode::OK, None);
    telling.ended(End::Complete(None), Instant::now());
    drop(telling);

    let spans = all(spans);
    let [one, two, server] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(
        [one.kind, two.kind, server.kind],
        [SpanKind::Client, SpanKind::Client, SpanKind::Server]
    );
    assert_eq!(server.parent, Some(parent(true).span));
    assert!(spans.iter().all(|span| span.context.trace == parent(true).trace));
    assert_eq!([one.parent, two.parent], [Some(server.context.span); 2]);
    assert_eq!(first, one.context);
    assert_eq!(parent_span(&again), Some(two.context));
    assert!(one.failed && !two.failed && !server.failed);
    assert_eq!(text(one, "error.type"), "upstream_reset");
    assert_eq!(
        [text(one, "mesh.endpoint"), text(two, "mesh.endpoint")],
        ["10.0.0.7:1", "10.0.0.7:2"]
    );
    assert_eq!(
        [one, two].map(|span| number(span, "http.request.resend_count")),
        [None, Some(1)]
    );
    assert_eq!(number(server, "mesh.attempts"), Some(2));
    assert!(spans.iter().all(|span| span.attribute("mesh.kept").is_none()));
    assert_eq!(two.end, server.end, "it ends with the body that was passed on");
}

#[test]
fn a_span_says_who_asked_whom_for_what() {
    let (tracer, spans) = tracer(SampleRatio::ALWAYS);
    let story = begin(&Teller::new().tracer(Some(tracer)), &request(), None).expect("told");
    story.set_request_id(&HeaderValue::from_static("r-7"));
    tried_twice(&story);
    drop(Telling::of(Some(story)));
    let spans = all(spans);
    let (one, server) = (&spans[0], &spans[2]);
    assert_eq!(
        (server.parent, &*server.name, &*server.service),
        (None, "GET rule", "orders")
    );
    for (name, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/orders/7"),
        ("url.scheme", "https"),
        ("network.protocol.version", "1.1"),
        ("server.address", "orders"),
        ("network.peer.address", "10.0.0.1"),
        ("client.address", "10.0.0.1"),
        ("user_agent.original", "curl/8"),
        ("peer.service", "frontend"),
        (
            "mesh.peer_identity",
            "spiffe://cluster.local/ns/dept-barc/sa/frontend",
        ),
        ("mesh.target_service", "orders"),
        ("mesh.route", "rule"),
        ("mesh.direction", "inbound"),
        ("mesh.listener", "inbound"),
        ("mesh.request_id", "r-7"),
    ] {
        assert_eq!(text(server, name), value, "{name}");
    }
    assert_eq!(text(one, "peer.service"), "orders");
    assert_eq!(text(one, "network.peer.address"), "10.0.0.7");
    assert_eq!(number(one, "server.port"), Some(1));
    assert_eq!(
        number(server, "http.response.status_code"),
        Some(499),
        "nobody waited for it"
    );
    let secret = |span: &Span| {
        span.attributes
            .iter()
            .any(|(_, value)| value.text().is_some_and(|text| text.contains("secret")))
    };
    assert!(!spans.iter().any(secret));
}

#[test]
fn of_a_trace_that_is_not_sampled_only_trouble_is_kept() {
    for (status, kept) in [(200, None), (404, None), (503, Some("error"))] {
        let (tracer, spans) = tracer(SampleRatio::ALWAYS);
        let story = begin(
            &Teller::new().tracer(Some(tracer)),
            &request(),
            Some(parent(false)),
        );
        tried_twice(story.as_ref().expect("told"));
        let mut telling = Telling::of(story);
        telling.answered(StatusCode::from_u16(status).expect("a status"), None);
        telling.ended(End::Complete(None), Instant::now());
        drop(telling);
        let spans = all(spans);
        assert_eq!(spans.len(), if kept.is_some() { 3 } else { 0 }, "{status}");
        for span in &spans {
            assert!(!span.context.sampled);
            assert_eq!(Some(text(span, "mesh.kept").as_str()), kept);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_is_kept() {
    let (tracer, spans) = tracer(SampleRatio::NEVER);
    let story = begin(&Teller::new().tracer(Some(tracer)), &request(), None);
    let mut telling = Telling::of(story);
    tokio::time::advance(Sampling::SLOW).await;
    telling.answered(StatusCode::OK, None);
    telling.ended(End::Complete(None), Instant::now());
    drop(telling);
    let spans = all(spans);
    assert_eq!(spans.len(), 1);
    assert_eq!(text(&spans[0], "mesh.kept"), "slow");
    let took = spans[0].end.duration_since(spans[0].start);
    assert_eq!(took.ok(), Some(Sampling::SLOW));
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_dropped_was_late_after_its_deadline_and_given_up_before() {
    for (waits, error) in [(1, "given_up"), (5, "timeout")] {
        let (tracer, spans) = tracer(SampleRatio::ALWAYS);
        let story = begin(&Teller::new().tracer(Some(tracer)), &request(), None).expect("told");
        let mut sent = request();
        let mut context = MeshContext::new(Instant::now());
        context.deadline = Some(Instant::now() + Duration::from_secs(5));
        sent.extensions_mut().insert(context);
        let tried = story.begin_try(&mut sent, Instant::now());
        sent.extensions()
            .get::<TriedEndpoints>()
            .expect("put there")
            .add(&endpoint(1));
        tokio::time::advance(Duration::from_secs(waits)).await;
        drop(tried);
        drop(Telling::of(Some(story)));
        assert_eq!(text(&all(spans)[0], "error.type"), error);
    }
}

#[test]
fn a_try_that_found_no_endpoint_is_none() {
    let (tracer, spans) = tracer(SampleRatio::ALWAYS);
    let story = begin(&Teller::new().tracer(Some(tracer)), &request(), None).expect("told");
    let tried = story.begin_try(&mut request(), Instant::now());
    tried.failed(&Error::new(ErrorKind::NoHealthyEndpoint, "there is none"));
    let mut telling = Telling::of(Some(story));
    telling.answered(
        StatusCode::SERVICE_UNAVAILABLE,
        Some(ErrorKind::NoHealthyEndpoint),
    );
    drop(telling);
    let spans = all(spans);
    assert_eq!(spans.len(), 1);
    assert_eq!(text(&spans[0], "error.type"), "no_healthy_endpoint");
}

#[test]
fn a_grpc_call_has_its_service_method_and_status() {
    let (tracer, spans) = tracer(SampleRatio::ALWAYS);
    let mut request = request();
    *request.uri_mut() = "/shop.Orders/Get".parse().expect("a path");
    let grpc = HeaderValue::from_static("application/grpc");
    request.headers_mut().insert("content-type", grpc);
    let story = begin(&Teller::new().tracer(Some(tracer)), &request, None);
    let mut telling = Telling::of(story);
    telling.answered(StatusCode::OK, None);
    telling.ended(End::Complete(Some(GrpcCode::UNAVAILABLE)), Instant::now());
    drop(telling);
    let span = &all(spans)[0];
    assert_eq!((&*span.name, span.failed), ("shop.Orders/Get", true));
    assert_eq!(
        [text(span, "rpc.service"), text(span, "rpc.method")],
        ["shop.Orders", "Get"]
    );
    assert_eq!(number(span, "rpc.grpc.status_code"), Some(14));
}

/// A log whose lines are received.
struct Lines(mpsc::Sender<String>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        self.0.send(text).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log() -> (AccessLog, mpsc::Receiver<String>) {
    let (give, lines) = mpsc::channel();
    let (queue, _writer) = LineWriter::start(Lines(give), &Telemetry::new()).expect("a thread");
    (AccessLog::new(queue, LineFormat::Json), lines)
}

#[test]
fn a_line_tells_of_the_request_and_nothing_secret() {
    let (log, lines) = log();
    let (tracer, mut spans) = tracer(SampleRatio::ALWAYS);
    let teller = Teller::new().access_log(Some(log)).tracer(Some(tracer));
    let mut forged = request();
    let agent = HeaderValue::from_bytes(b"a\xffb\"},{\"\tx\\").expect("a value");
    forged.headers_mut().insert("user-agent", agent);
    for secret in ["authorization", "cookie"] {
        let value = HeaderValue::from_static("secret");
        forged.headers_mut().insert(secret, value);
    }
    let story = begin(&teller, &forged, None).expect("told");
    story.set_request_id(&HeaderValue::from_static("r-7"));
    tried_twice(&story);
    let mut telling = Telling::of(Some(story));
    telling.answered(StatusCode::BAD_GATEWAY, Some(ErrorKind::UpstreamReset));
    mesh_core::body_end::OnEnd::on_data(&mut telling, 12);
    telling.ended(End::Complete(None), Instant::now());
    drop(telling);
    let line = lines.recv().expect("a line");
    assert!(
        !line.contains("secret") && line.matches('\n').count() == 1,
        "{line}"
    );
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let server = std::iter::from_fn(|| spans.try_next()).last().expect("a span");
    for (key, value) in [
        ("source", "frontend".into()),
        ("target", "orders".into()),
        ("route", "rule".into()),
        ("path", "/orders/7".into()),
        ("status", 502.into()),
        ("reason", "upstream_reset".into()),
        ("attempts", 2.into()),
        ("endpoint", "10.0.0.7:2".into()),
        ("bytes_out", 12.into()),
        ("body", "complete".into()),
        ("request_id", "r-7".into()),
        ("trace_id", server.context.trace.to_string().into()),
        ("span_id", server.context.span.to_string().into()),
        ("user_agent", "a\u{fffd}b\"},{\"\tx\\".into()),
        ("version", serde_json::Value::Null),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
}

#[test]
fn the_query_is_logged_only_if_asked_for() {
    let (log, lines) = log();
    let teller = Teller::new().access_log(Some(log.query(true)));
    drop(Telling::of(begin(&teller, &request(), None)));
    assert!(
        lines
            .recv()
            .expect("a line")
            .contains("\"path\":\"/orders/7?token=secret\"")
    );
}

#[test]
fn what_is_not_chosen_has_no_story() {
    assert!(begin(&Teller::new(), &request(), None).is_none());
    let (log, _lines) = log();
    let teller = Teller::new().access_log(Some(log.sample(SampleRatio::NEVER)));
    assert!(begin(&teller, &request(), None).is_none());
}

#[test]
fn a_request_that_is_only_logged_stays_a_part_of_the_span_it_came_from() {
    let (log, _lines) = log();
    let teller = Teller::new().access_log(Some(log));
    let story = begin(&teller, &request(), Some(parent(true))).expect("told");
    assert_eq!((story.span(), story.goes_on_from()), (parent(true), None));
    let story = begin(&teller, &request(), None).expect("told");
    assert_eq!(story.goes_on_from(), Some(story.span()));
}
