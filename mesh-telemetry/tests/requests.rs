//! A request is counted once, however it ends.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use mesh_core::context::Direction;
use mesh_core::{BoxError, Error, ErrorKind, MeshContext, PeerInfo, ServiceName, SpiffeId};
use mesh_telemetry::{RequestRecord, Telemetry};
use proptest::prelude::*;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

#[path = "support/exposition.rs"]
mod exposition;

use exposition::Page;

const REQUESTS: &str = "service_mesh_requests_total";
const COUNT: &str = "service_mesh_request_duration_seconds_count";
const SUM: &str = "service_mesh_request_duration_seconds_sum";

fn orders() -> ServiceName {
    ServiceName::new("orders").expect("valid")
}

fn page(telemetry: &Telemetry) -> Page {
    Page::read(&telemetry.render())
}

/// The series of requests that were counted, as (status, reason).
fn counted(telemetry: &Telemetry) -> Vec<(String, String)> {
    let page = page(telemetry);
    let requests = page.samples(REQUESTS, &[]);
    let total: f64 = requests.iter().map(|(_, value)| value).sum();
    assert_eq!(
        total,
        page.sum("http_requests_total", &[]),
        "http_requests_total agrees"
    );
    assert_eq!(total, page.sum(COUNT, &[]), "the histogram agrees");
    assert_eq!(
        page.sum("service_mesh_requests_in_flight", &[]),
        0.0,
        "nothing is under way"
    );
    let seen = requests.into_iter().filter(|(_, value)| *value > 0.0);
    seen.flat_map(|(labels, value)| {
        let one = (labels["status"].clone(), labels["reason"].clone());
        std::iter::repeat_n(one, value as usize)
    })
    .collect()
}

fn one(status: &str, reason: &str) -> Vec<(String, String)> {
    vec![(status.to_owned(), reason.to_owned())]
}

/// What a scripted service does, in polls.
#[derive(Clone, Debug)]
struct Script {
    head_after: usize,
    answer: Answer,
    frames: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Answer {
    Status(u16),
    Error,
    MeshError(ErrorKind),
    BoxedMeshError(ErrorKind),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    Pending,
    Data,
    Trailers,
    Error,
}

struct Scripted(Script);

impl Service<Request<()>> for Scripted {
    type Response = Response<Pieces>;
    type Error = BoxError;
    type Future = Head;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Head {
        Head(self.0.clone())
    }
}

struct Head(Script);

impl Future for Head {
    type Output = Result<Response<Pieces>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(left) = self.0.head_after.checked_sub(1) {
            self.0.head_after = left;
            return Poll::Pending;
        }
        let mesh_error = |kind| Error::new(kind, "scripted");
        Poll::Ready(match self.0.answer {
            Answer::Status(status) => {
                let mut response = Response::new(Pieces(self.0.frames.clone().into_iter()));
                *response.status_mut() = StatusCode::from_u16(status).expect("valid");
                Ok(response)
            }
            Answer::Error => Err("not of the mesh".into()),
            Answer::MeshError(kind) => Err(mesh_error(kind).into()),
            Answer::BoxedMeshError(kind) => Err(Box::new(mesh_error(kind))),
        })
    }
}

struct Pieces(std::vec::IntoIter<Piece>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.0.next() {
            Some(Piece::Pending) => Poll::Pending,
            Some(Piece::Data) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x"))))),
            Some(Piece::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            Some(Piece::Error) => Poll::Ready(Some(Err("broken".into()))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}

fn script() -> impl Strategy<Value = Script> {
    let kind = prop::sample::select(ErrorKind::ALL.to_vec());
    let answer = prop_oneof![
        4 => (100u16..1000).prop_map(Answer::Status),
        1 => Just(Answer::Error),
        1 => kind.clone().prop_map(Answer::MeshError),
        1 => kind.prop_map(Answer::BoxedMeshError),
    ];
    let piece = prop::sample::select(vec![Piece::Pending, Piece::Data, Piece::Trailers, Piece::Error]);
    (0usize..4, answer, prop::collection::vec(piece, 0..6)).prop_map(|(head_after, answer, frames)| Script {
        head_after,
        answer,
        frames,
    })
}

/// What is counted when the request is polled `polls` times and then dropped.
fn expected(script: &Script, polls: usize) -> (String, String) {
    if polls <= script.head_after {
        return ("499".to_owned(), String::new());
    }
    match script.answer {
        Answer::Status(status @ 100..=599) => (status.to_string(), String::new()),
        Answer::Status(_) => ("other".to_owned(), String::new()),
        Answer::Error => ("500".to_owned(), String::new()),
        Answer::MeshError(kind) | Answer::BoxedMeshError(kind) => {
            (kind.http_status().as_str().to_owned(), kind.code().to_owned())
        }
    }
}

proptest! {
    #[test]
    fn a_request_dropped_at_any_point_is_counted_once(script in script(), polls in 0usize..14) {
        let telemetry = Telemetry::new();
        let mut service = telemetry.layer(orders()).layer(Scripted(script.clone()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut left = polls;
        {
            let mut head = pin!(service.call(Request::new(())));
            let mut answered = None;
            while left > 0 && answered.is_none() {
                left -= 1;
                if let Poll::Ready(result) = head.as_mut().poll(&mut cx) {
                    answered = Some(result);
                }
            }
            if let Some(Ok(response)) = answered {
                let mut body = pin!(response.into_body());
                // A reader that stops at the end or at an error, or whose patience ends before.
                while left > 0 {
                    left -= 1;
                    match body.as_mut().poll_frame(&mut cx) {
                        Poll::Ready(None | Some(Err(_))) => break,
                        Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
                    }
                }
            }
        }
        prop_assert_eq!(counted(&telemetry), vec![expected(&script, polls)]);
    }
}

fn begin(telemetry: &Telemetry) -> RequestRecord {
    let target = mesh_core::context::Target::service(orders());
    telemetry
        .route(&target, Direction::Inbound)
        .begin(&Request::new(()))
}

#[tokio::test(start_paused = true)]
async fn the_duration_runs_from_receipt_to_the_end_of_the_body() {
    let telemetry = Telemetry::new();
    let received = Instant::now();
    tokio::time::advance(Duration::from_millis(100)).await;

    let script = Script {
        head_after: 0,
        answer: Answer::Status(200),
        frames: vec![Piece::Data, Piece::Data],
    };
    let mut service = telemetry.layer(orders()).layer(Scripted(script));
    let mut request = Request::new(());
    request.extensions_mut().insert(MeshContext::new(received));
    let response = service.call(request).await.expect("scripted");

    let mut body = pin!(response.into_body());
    tokio::time::advance(Duration::from_millis(200)).await;
    poll_fn(|cx| body.as_mut().poll_frame(cx))
        .await
        .expect("first")
        .expect("data");
    assert_eq!(page(&telemetry).sum("service_mesh_requests_in_flight", &[]), 1.0);
    assert_eq!(page(&telemetry).sum(REQUESTS, &[]), 0.0, "it is not over yet");

    tokio::time::advance(Duration::from_millis(400)).await;
    poll_fn(|cx| body.as_mut().poll_frame(cx))
        .await
        .expect("last")
        .expect("data");
    assert_eq!(counted(&telemetry), one("200", ""));
    assert_eq!(page(&telemetry).sum(SUM, &[]), 0.7);
}

#[test]
fn a_body_that_is_empty_ends_its_request_at_the_head() {
    let telemetry = Telemetry::new();
    let response = begin(&telemetry).on_response(Response::new(mesh_core::body::Body::empty()));
    assert_eq!(counted(&telemetry), one("200", ""));
    drop(response);
    assert_eq!(counted(&telemetry), one("200", ""));
}

#[test]
fn a_refusal_of_the_mesh_is_counted_with_its_reason() {
    let telemetry = Telemetry::new();
    let error = Error::new(ErrorKind::RateLimited, "scripted");
    let refusal = mesh_core::reject::reject::<mesh_core::body::Body>(&error, false);
    drop(begin(&telemetry).on_response(refusal));
    assert_eq!(counted(&telemetry), one("429", "rate_limited"));
}

#[test]
fn a_grpc_refusal_is_counted_with_its_http_status_and_its_reason() {
    let telemetry = Telemetry::new();
    let error = Error::new(ErrorKind::CircuitOpen, "scripted");
    let refusal = mesh_core::reject::reject::<mesh_core::body::Body>(&error, true);
    drop(begin(&telemetry).on_response(refusal));
    assert_eq!(counted(&telemetry), one("200", "circuit_open"));
}

#[test]
fn a_failure_without_a_response_is_counted_by_its_error() {
    let telemetry = Telemetry::new();
    let error = Error::new(ErrorKind::FaultInjected, "scripted").with_status(StatusCode::IM_A_TEAPOT);
    begin(&telemetry).failed(&error);
    assert_eq!(counted(&telemetry), one("418", "fault_injected"));
}

#[test]
fn a_handler_that_panics_is_counted_as_500() {
    let telemetry = Telemetry::new();
    let handled = std::thread::scope(|threads| {
        let handler = threads.spawn(|| {
            let _record = begin(&telemetry);
            std::panic::resume_unwind(Box::new("scripted"));
        });
        handler.join()
    });
    assert!(handled.is_err());
    assert_eq!(counted(&telemetry), one("500", ""));
}

#[test]
fn source_and_direction_come_from_the_context_and_from_no_header() {
    let telemetry = Telemetry::new();
    let script = Script {
        head_after: 0,
        answer: Answer::Status(200),
        frames: vec![],
    };
    let mut service = telemetry.layer(orders()).layer(Scripted(script));
    let mut call = |context: Option<MeshContext>| {
        let mut request = Request::get("/")
            .header("x-source-service", "forged")
            .body(())
            .expect("valid");
        if let Some(context) = context {
            request.extensions_mut().insert(context);
        }
        let answered = pin!(service.call(request)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(answered.is_ready());
    };
    let identity: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/web"
        .parse()
        .expect("valid");
    let peer = PeerInfo::mtls("127.0.0.1:1".parse().expect("valid"), identity, "00", "01");
    let mut inbound = MeshContext::new(Instant::now());
    inbound.peer = Some(Arc::new(peer));
    let mut outbound = MeshContext::new(Instant::now());
    outbound.direction = Direction::Outbound;
    outbound.own_service = Some(ServiceName::new("cart").expect("valid"));
    call(None);
    call(Some(inbound));
    call(Some(outbound));

    let page = page(&telemetry);
    for (source, direction) in [("unknown", "inbound"), ("web", "inbound"), ("cart", "outbound")] {
        assert_eq!(
            page.sum(REQUESTS, &[("source_service", source), ("direction", direction)]),
            1.0,
            "{source}"
        );
    }
    assert!(page.samples(REQUESTS, &[("source_service", "forged")]).is_empty());
}

#[tokio::test]
async fn an_axum_router_takes_the_layer_as_it_is() {
    let telemetry = Telemetry::new();
    let app: Router = Router::new()
        .route("/", get(|| async { "hello" }))
        .layer(telemetry.layer(orders()).with_route(Some("api".into())));
    let mut app = app.into_service::<axum::body::Body>();
    for path in ["/", "/nothing"] {
        let request = Request::get(path).body(axum::body::Body::empty()).expect("valid");
        let response: Result<_, Infallible> = app.call(request).await;
        drop(response);
    }
    let page = page(&telemetry);
    assert_eq!(page.sum(REQUESTS, &[("status", "200"), ("route", "api")]), 1.0);
    assert_eq!(page.sum(REQUESTS, &[("status", "404"), ("route", "api")]), 1.0);
}

#[test]
fn a_request_refused_before_it_had_a_target_is_counted_as_one_for_the_unknown() {
    let telemetry = Telemetry::new();
    let error = Error::new(ErrorKind::NoRoute, "scripted");
    telemetry
        .unrouted(Direction::Inbound)
        .begin(&Request::new(()))
        .failed(&error);
    assert_eq!(
        page(&telemetry).sum(REQUESTS, &[("target_service", "unknown"), ("reason", "no_route")]),
        1.0
    );
}
