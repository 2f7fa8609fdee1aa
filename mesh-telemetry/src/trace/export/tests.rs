use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_core::Endpoint;
use mesh_core::connect::Connected;
use mesh_core::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1 as proto;
use parking_lot::Mutex;
use prost::Message;
use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::trace::{SpanKind, Value};

mod headers;

/// What a collector does with a request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Takes,
    Rejects(i64),
    Status(u16),
    Grpc(&'static str),
    Never,
}

/// A collector in memory, over HTTP/1.1 or HTTP/2.
#[derive(Clone)]
struct Collector(Arc<Mutex<State>>);

struct State {
    /// Nobody listens.
    away: bool,
    answer: Answer,
    requests: usize,
    taken: Vec<ExportTraceServiceRequest>,
    heads: Vec<(String, HeaderMap)>,
    connections: usize,
}

impl Collector {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            away: false,
            answer: Answer::Takes,
            requests: 0,
            taken: Vec::new(),
            heads: Vec::new(),
            connections: 0,
        })))
    }

    fn answers(&self, answer: Answer) {
        self.0.lock().answer = answer;
    }

    fn is_away(&self, away: bool) {
        self.0.lock().away = away;
    }

    fn spans(&self) -> usize {
        let state = self.0.lock();
        let of = |request: &ExportTraceServiceRequest| -> usize {
            let scopes = request
                .resource_spans
                .iter()
                .flat_map(|resource| &resource.scope_spans);
            scopes.map(|scope| scope.spans.len()).sum()
        };
        state.taken.iter().map(of).sum()
    }

    async fn serve(self, io: DuplexStream) {
        let service = service_fn(move |request| {
            let collector = self.clone();
            async move { collector.answer(request).await }
        });
        let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        // A client that goes away is part of the tests.
        let _ = server.serve_connection(TokioIo::new(io), service).await;
    }

    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
        let (head, body) = request.into_parts();
        let grpc = head.headers["content-type"] == "application/grpc";
        let body = body.collect().await.expect("whole").to_bytes();
        let message = if grpc { framed(&body) } else { body };
        let request = ExportTraceServiceRequest::decode(message).expect("a message");
        let answer = {
            let mut state = self.0.lock();
            state.requests += 1;
            state.heads.push((head.uri.path().to_owned(), head.headers));
            if matches!(state.answer, Answer::Takes | Answer::Rejects(_)) {
                state.taken.push(request);
            }
            state.answer
        };
        let mut told = ExportTraceServiceResponse::default();
        let (status, code) = match answer {
            Answer::Takes => (200, "0"),
            Answer::Rejects(rejected_spans) => {
                told.partial_success = Some(ExportTracePartialSuccess {
                    rejected_spans,
                    ..ExportTracePartialSuccess::default()
                });
                (200, "0")
            }
            Answer::Status(status) => (status, "0"),
            Answer::Grpc(code) => (200, code),
            Answer::Never => return std::future::pending().await,
        };
        let mut frames = vec![Ok(Frame::data(Bytes::from(told.encode_to_vec())))];
        if grpc {
            let mut framed = vec![0];
            framed.extend_from_slice(&u32::try_from(told.encoded_len()).expect("short").to_be_bytes());
            framed.extend_from_slice(&told.encode_to_vec());
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(code));
            frames = vec![Ok(Frame::data(framed.into())), Ok(Frame::trailers(trailers))];
        }
        let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        Ok(response)
    }
}

fn framed(body: &Bytes) -> Bytes {
    let length = u32::from_be_bytes(body[1..5].try_into().expect("four bytes")) as usize;
    assert_eq!(
        (body[0], body.len()),
        (0, 5 + length),
        "one message that is not compressed"
    );
    body.slice(5..)
}

impl Connect for Collector {
    type Io = DuplexStream;

    async fn connect(&self, _: &Endpoint) -> io::Result<Connected<DuplexStream>> {
        let away = {
            let mut state = self.0.lock();
            state.connections += 1;
            state.away
        };
        if away {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (here, there) = duplex(64 * 1024);
        tokio::spawn(self.clone().serve(there));
        Ok(Connected::new(here))
    }
}

fn span(number: u64) -> Span {
    Span {
        context: SpanContext {
            trace: TraceId::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736).expect("not zero"),
            span: SpanId::new(number).expect("not zero"),
            sampled: true,
        },
        parent: SpanId::new(77),
        kind: SpanKind::Client,
        name: "GET".into(),
        service: if number.is_multiple_of(2) {
            "orders"
        } else {
            "stock"
        }
        .into(),
        start: UNIX_EPOCH + Duration::from_nanos(1_000_000_001),
        end: UNIX_EPOCH + Duration::from_nanos(2_000_000_002),
        failed: number == 1,
        attributes: vec![
            ("url.path", Value::from("/orders/7")),
            ("http.response.status_code", Value::Number(200)),
        ],
    }
}

fn http() -> Destination {
    Destination::otlp_http("http://collector:4318").expect("an address")
}

fn grpc() -> Destination {
    Destination::otlp_grpc("http://collector:4317").expect("an address")
}

fn start(to: Destination, collector: &Collector) -> (SpanQueue, Exporter, Telemetry) {
    let telemetry = Telemetry::new();
    let exporter = Exporter::to(to).connect(collector.clone()).namespace("dept-barc");
    let (queue, exporter) = exporter.start(&telemetry);
    (queue, exporter, telemetry)
}

fn counted(telemetry: &Telemetry, outcome: &str) -> usize {
    let page = telemetry.render();
    let line = format!("service_mesh_spans_total{{outcome=\"{outcome}\"}} ");
    let count = page.lines().find_map(|counted| counted.strip_prefix(&line));
    count
        .and_then(|count| count.parse().ok())
        .expect("it is on the page")
}

async fn counts(telemetry: &Telemetry, expected: [usize; 3]) {
    let outcomes = ["exported", "dropped", "failed"];
    for _ in 0..600 {
        if outcomes.map(|outcome| counted(telemetry, outcome)) == expected {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
    let found = outcomes.map(|outcome| counted(telemetry, outcome));
    panic!("exported, dropped, failed: {found:?} in place of {expected:?}");
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[tokio::test(start_paused = true)]
async fn spans_come_as_the_messages_of_otlp() {
    for (to, path, kind) in [
        (http(), "/v1/traces", "application/x-protobuf"),
        (
            grpc(),
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            "application/grpc",
        ),
    ] {
        let collector = Collector::new();
        let (queue, exporter, telemetry) = start(to, &collector);
        (1..=3).for_each(|number| queue.give(span(number)));
        counts(&telemetry, [3, 0, 0]).await;
        queue.give(span(4));
        assert!(exporter.close(soon()).await);
        counts(&telemetry, [4, 0, 0]).await;
        let state = collector.0.lock();
        assert_eq!(
            (state.connections, state.requests),
            (1, 2),
            "a connection is kept"
        );
        assert_eq!(
            (state.heads[0].0.as_str(), &state.heads[0].1["content-type"]),
            (path, &HeaderValue::from_static(kind))
        );
        let [stock, orders] = &state.taken[0].resource_spans[..] else {
            panic!("{:?}", state.taken[0]);
        };
        let resource = format!("{:?}", stock.resource);
        assert!(
            resource.contains("service.name") && resource.contains("stock") && resource.contains("dept-barc")
        );
        assert_eq!(orders.scope_spans[0].spans.len(), 1);
        let sent = &stock.scope_spans[0].spans[0];
        assert_eq!(
            sent.trace_id,
            0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()
        );
        assert_eq!(
            (&*sent.span_id, &*sent.parent_span_id),
            (&1_u64.to_be_bytes()[..], &77_u64.to_be_bytes()[..])
        );
        assert_eq!((sent.name.as_str(), sent.flags), ("GET", 1));
        assert_eq!(sent.kind(), proto::span::SpanKind::Client);
        assert_eq!(
            (sent.start_time_unix_nano, sent.end_time_unix_nano),
            (1_000_000_001, 2_000_000_002)
        );
        assert_eq!(
            sent.status.as_ref().map(proto::Status::code),
            Some(proto::status::StatusCode::Error)
        );
        assert_eq!(sent.attributes.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_away_costs_what_finds_no_room_and_is_asked_again() {
    let collector = Collector::new();
    collector.is_away(true);
    let (queue, _exporter, telemetry) = start(http(), &collector);
    // Once it has a batch and waits, only the room of the queue is left.
    (0..BATCH).for_each(|n| queue.give(span(n as u64 + 1)));
    sleep(Duration::from_secs(2)).await;
    (0..ROOM + 100).for_each(|n| queue.give(span(n as u64 + 1)));
    assert_eq!(counted(&telemetry, "dropped"), 100);
    collector.is_away(false);
    counts(&telemetry, [BATCH + ROOM, 100, 0]).await;
    assert_eq!(collector.spans(), BATCH + ROOM);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_up_after_a_minute() {
    for answer in [Answer::Never, Answer::Status(503), Answer::Status(429)] {
        let collector = Collector::new();
        collector.answers(answer);
        let (queue, _exporter, telemetry) = start(http(), &collector);
        let began = Instant::now();
        queue.give(span(1));
        counts(&telemetry, [0, 0, 1]).await;
        assert!(began.elapsed() < GIVE_UP + PATIENCE + LINGER * 2, "{answer:?}");
        assert!(collector.0.lock().requests > 1, "{answer:?}: it is asked again");
        collector.answers(Answer::Takes);
        queue.give(span(2));
        counts(&telemetry, [1, 0, 1]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_sent_again() {
    for (to, answer) in [
        (http(), Answer::Status(400)),
        (grpc(), Answer::Grpc("3")),
        (grpc(), Answer::Status(404)),
    ] {
        let collector = Collector::new();
        collector.answers(answer);
        let (queue, _exporter, telemetry) = start(to, &collector);
        queue.give(span(1));
        counts(&telemetry, [0, 0, 1]).await;
        assert_eq!(collector.0.lock().requests, 1, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_grpc_collector_cannot_take_now_is_sent_again() {
    let collector = Collector::new();
    collector.answers(Answer::Grpc("14"));
    let (queue, _exporter, telemetry) = start(grpc(), &collector);
    queue.give(span(1));
    while collector.0.lock().requests < 2 {
        sleep(Duration::from_secs(1)).await;
    }
    collector.answers(Answer::Takes);
    counts(&telemetry, [1, 0, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn spans_that_are_rejected_are_counted_as_failed() {
    for to in [http(), grpc()] {
        let collector = Collector::new();
        collector.answers(Answer::Rejects(2));
        let (queue, _exporter, telemetry) = start(to, &collector);
        (1..=3).for_each(|number| queue.give(span(number)));
        counts(&telemetry, [1, 0, 2]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn closing_waits_no_longer_than_it_may() {
    let collector = Collector::new();
    collector.answers(Answer::Never);
    let (queue, exporter, _) = start(http(), &collector);
    queue.give(span(1));
    let began = Instant::now();
    assert!(!exporter.close(soon()).await);
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn an_exporter_ends_when_nobody_can_give_it_spans_any_more() {
    let collector = Collector::new();
    let (queue, exporter, telemetry) = start(http(), &collector);
    queue.give(span(1));
    drop(queue);
    counts(&telemetry, [1, 0, 0]).await;
    while !exporter.is_finished() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_address_that_is_none_is_refused_with_what_is_wrong() {
    for (url, why) in [
        ("collector:4318", "begin with http"),
        ("ftp://collector", "begin with http"),
        ("http://user:password@collector", "password"),
        ("http://", "no address"),
    ] {
        let error = Destination::otlp_http(url).expect_err(url).to_string();
        assert!(error.contains(why), "{error}");
    }
    let shown = |url| Destination::otlp_http(url).map(|to| to.to_string());
    assert_eq!(
        shown("http://[::1]:4318/").as_deref(),
        Ok("http://[::1]:4318/v1/traces")
    );
    assert_eq!(
        shown("http://a/otel/v1/traces").as_deref(),
        Ok("http://a/otel/v1/traces")
    );
}
