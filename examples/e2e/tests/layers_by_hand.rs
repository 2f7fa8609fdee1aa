//! Through every layer there is, as who embeds the mesh puts them together: both stacks of docs/layers.md, whole, over
//! mutual TLS. Calls, tunnels and large bodies are what they were.
//!
//! What layers do with a request for an upgrade, as to WebSocket: the edge lets WebSocket through and no other; what
//! refuses refuses it like any request; mirrors do not copy it, hedges send it once, and retries again only if it was
//! certainly not seen. To all that count, it is over with the head of its answer (101), and a deadline ends there. What
//! goes through the tunnel none of them sees, but the server, which bounds how long it stands still, and `Balance`, to
//! which it is in flight until it is dropped.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use e2e::until;
use futures_util::{SinkExt, Stream, StreamExt, stream};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::TokioIo;
use mesh_core::body::Body;
use mesh_core::connect::HttpProtocol;
use mesh_core::{BoxError, MeshContext};
use mesh_telemetry::trace::{Span, SpanKind};
use mesh_traffic::hedge::HedgeOutcome;
use mesh_traffic::mirror::Ending;
use mesh_traffic::retry::RetryOutcome;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tower::ServiceExt;

#[path = "shared/echo.rs"]
mod echo;
#[path = "layers_by_hand/grpc.rs"]
mod grpc;
#[path = "shared/raw.rs"]
mod raw;
#[path = "shared/redis.rs"]
mod redis;
#[path = "shared/stacks.rs"]
mod stacks;
#[path = "shared/web.rs"]
mod web;

use stacks::{AT_ONCE, Calling, Client, Served};
use web::{SIZE, text};

/// A piece of a body that is streamed.
const PIECE: usize = 32 << 10;

/// What opens for as many requests as it is told.
type Gate = Arc<Semaphore>;

fn closed() -> Gate {
    Arc::new(Semaphore::new(0))
}

async fn pass(gate: &Gate) {
    gate.acquire().await.expect("never closed").forget();
}

fn pieces() -> impl Stream<Item = Bytes> + Send + 'static {
    stream::iter(
        (0..SIZE)
            .step_by(PIECE)
            .map(|at| text().slice(at..(at + PIECE).min(SIZE))),
    )
}

/// A body of pieces, and how many bytes of it were taken.
fn counted() -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&taken);
    let pieces = pieces().map(move |piece| {
        counting.fetch_add(piece.len(), Ordering::Relaxed);
        Ok::<_, BoxError>(Frame::data(piece))
    });
    (Body::new(StreamBody::new(pieces)), taken)
}

fn ask(path: &str) -> http::request::Builder {
    Request::builder().uri(path).header("host", "app")
}

async fn send(client: &Client, request: http::request::Builder, body: Body) -> Response<Body> {
    let request = request.body(body).expect("a request");
    client.clone().oneshot(request).await.expect("an answer")
}

async fn whole(response: Response<Body>) -> Bytes {
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.expect("whole").to_bytes()
}

/// Answers where there was a try before, and asks for one where there was none.
async fn flaky(Extension(context): Extension<MeshContext>) -> StatusCode {
    match context.attempt {
        0 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}

/// The same, but that the first is never answered.
async fn slow(Extension(context): Extension<MeshContext>) {
    if context.attempt == 0 {
        std::future::pending().await
    }
}

async fn served() -> Served {
    let app = web::app().route("/ping", get(async || ()));
    Served::start(app.route("/flaky", get(flaky)).route("/slow", get(slow))).await
}

/// Asks until it is known what takes long.
async fn measured(calling: &Calling) {
    until("enough was measured", async || {
        whole(send(&calling.client, ask("/ping"), Body::empty()).await).await;
        calling.hedges.delay(Instant::now())
    })
    .await;
}

/// Nothing is left under way, and no layer was left out.
async fn is_over(served: &Served, calling: &Calling) {
    until("nothing is under way", async || {
        let page = served.telemetry.render();
        let in_flight = e2e::Series::all(&page)
            .into_iter()
            .filter(|series| series.is("service_mesh_requests_in_flight", &[]))
            .any(|series| series.value > 0.0);
        let over = served.concurrency.in_flight() == 0
            && !in_flight
            && calling.balance.fleet().in_flight(&served.endpoint()) == 0
            && calling.mirror.counts().in_flight() == 0;
        over.then_some(())
    })
    .await;
    assert_eq!(
        (served.shared_limit.alone(), served.shared_limit.limited()),
        (0, 0)
    );
    let page = served.telemetry.render();
    let asked = e2e::Series::all(&page)
        .into_iter()
        .filter(|series| series.is("service_mesh_requests_total", &[("source_service", "frontend")]));
    assert!(asked.map(|series| series.value).sum::<f64>() > 0.0, "{page}");
    let mut told = served.spans.lock().expect("nobody panicked");
    let spans: Vec<_> = std::iter::from_fn(|| told.try_next()).collect();
    let try_of = |span: &Span| {
        let is_it = |other: &&Span| Some(other.context.span) == span.parent;
        spans.iter().find(is_it).map(|other| other.kind)
    };
    let mut served = spans.iter().filter(|span| span.kind == SpanKind::Server);
    assert!(
        served.any(|span| try_of(span) == Some(SpanKind::Client)),
        "{spans:#?}"
    );
}

#[tokio::test]
async fn what_fails_once_is_tried_again_and_what_hangs_gets_company_in_both_protocols() {
    let served = served().await;
    for protocol in [HttpProtocol::Http1, HttpProtocol::Http2] {
        let calling = served.calling(protocol).await;
        // Before anything is measured, nothing is sent twice but after a failure.
        whole(send(&calling.client, ask("/flaky"), Body::empty()).await).await;
        assert_eq!(*calling.retried.lock().expect("free"), [RetryOutcome::Success]);
        measured(&calling).await;
        calling.hedged.lock().expect("free").clear();
        whole(send(&calling.client, ask("/slow"), Body::empty()).await).await;
        assert_eq!(*calling.hedged.lock().expect("free"), [HedgeOutcome::Won]);
        is_over(&served, &calling).await;
        assert!(calling.mirror.counts().of(Ending::Answered) > 0);
    }
}

#[tokio::test]
async fn eight_mebibytes_come_down_compressed() {
    let served = served().await;
    for protocol in [HttpProtocol::Http1, HttpProtocol::Http2] {
        let calling = served.calling(protocol).await;
        let request = ask("/text").header(ACCEPT_ENCODING, "gzip");
        let response = send(&calling.client, request, Body::empty()).await;
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        let compressed = whole(response).await;
        assert!(compressed.len() < SIZE / 2, "{}", compressed.len());
        let mut plain = Vec::with_capacity(SIZE);
        let mut decoder = flate2::read::GzDecoder::new(&*compressed);
        decoder.read_to_end(&mut plain).expect("it is gzip");
        assert!(plain == text(), "{}", plain.len());
        is_over(&served, &calling).await;
    }
}

#[tokio::test]
async fn eight_mebibytes_go_up_and_down_streamed_in_both_protocols() {
    let served = served().await;
    for protocol in [HttpProtocol::Http1, HttpProtocol::Http2] {
        let calling = served.calling(protocol).await;
        // What takes long is not sent twice while it is read.
        measured(&calling).await;
        let (body, taken) = counted();
        let echoed = send(&calling.client, ask("/echo").method("POST"), body).await;
        let echoed = whole(echoed).await;
        assert!(echoed == text(), "{}", echoed.len());
        assert_eq!(taken.load(Ordering::Relaxed), SIZE);
        is_over(&served, &calling).await;
    }
}

#[tokio::test]
async fn who_does_not_read_holds_back_who_sends_in_both_directions() {
    let gate = closed();
    let (opened, (down, sent)) = (Arc::clone(&gate), counted());
    let down = Arc::new(std::sync::Mutex::new(Some(down)));
    let app = Router::new()
        .route(
            "/up",
            post(|asked: axum::extract::Request| async move {
                pass(&opened).await;
                asked.into_body()
            }),
        )
        .route(
            "/down",
            get(move || async move {
                let down = down.lock().expect("free").take();
                axum::body::Body::new(down.expect("asked once"))
            }),
        )
        .route("/ping", get(async || ()));
    let served = Served::start(app).await;
    let calling = served.calling(HttpProtocol::Http2).await;
    // On the same connection: when so many were answered, whoever could go on has gone on.
    let pings = async || {
        for _ in 0..200 {
            whole(send(&calling.client, ask("/ping"), Body::empty()).await).await;
        }
    };
    let (body, taken) = counted();
    let client = calling.client.clone();
    let up = tokio::spawn(async move { whole(send(&client, ask("/up").method("POST"), body).await).await });
    until("it is begun", async || {
        (taken.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    pings().await;
    let held = taken.load(Ordering::Relaxed);
    assert!(held < SIZE / 2, "{held} bytes went up, and nobody read");
    gate.add_permits(1);
    let up = up.await.expect("no panic");
    assert!(up == text(), "{}", up.len());

    let response = send(&calling.client, ask("/down"), Body::empty()).await;
    pings().await;
    let held = sent.load(Ordering::Relaxed);
    assert!(held < SIZE / 2, "{held} bytes came down, and nobody read");
    let down = whole(response).await;
    assert!(down == text(), "{}", down.len());
    is_over(&served, &calling).await;
}

#[tokio::test]
async fn who_waits_in_line_is_answered_when_there_is_room() {
    let gate = closed();
    let opened = Arc::clone(&gate);
    let app = Router::new().route(
        "/held",
        get(|| async move {
            pass(&opened).await;
            text()
        }),
    );
    let served = Served::start(app).await;
    let calling = served.calling(HttpProtocol::Http2).await;
    let asked: Vec<_> = (0..2 * AT_ONCE)
        .map(|_| {
            let client = calling.client.clone();
            tokio::spawn(async move { whole(send(&client, ask("/held"), Body::empty()).await).await })
        })
        .collect();
    until("half of them wait", async || {
        (served.concurrency.waiting() == AT_ONCE).then_some(())
    })
    .await;
    assert_eq!(served.concurrency.in_flight(), AT_ONCE);
    gate.add_permits(2 * AT_ONCE as usize);
    for answer in asked {
        assert!(answer.await.expect("no panic") == text());
    }
    is_over(&served, &calling).await;
}

#[tokio::test]
async fn a_web_socket_goes_through_both_stacks_and_is_sent_once() {
    let served = served().await;
    let calling = served.calling(HttpProtocol::Http1).await;
    measured(&calling).await;
    let copied = calling.mirror.counts();
    calling.hedged.lock().expect("free").clear();
    let request = ask("/ws")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key());
    let mut response = send(&calling.client, request, Body::empty()).await;
    assert_eq!(response.status(), 101);
    let upgraded = hyper::upgrade::on(&mut response).await.expect("upgraded");
    drop(response);
    let config = WebSocketConfig::default().max_frame_size(Some(SIZE));
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
    // To those that count requests it is over; to who sends it is not.
    until("it is over at the service", async || {
        (served.concurrency.in_flight() == 0).then_some(())
    })
    .await;
    assert_eq!(calling.balance.fleet().in_flight(&served.endpoint()), 1);
    for message in [Message::text("hello"), Message::binary(text())] {
        socket.send(message.clone()).await.expect("open");
        let echoed = socket.next().await.expect("an echo").expect("open");
        assert!(echoed == message, "{} bytes", echoed.len());
    }
    socket.close(None).await.expect("open");
    while let Some(Ok(_)) = socket.next().await {}
    drop(socket);
    assert_eq!(*calling.hedged.lock().expect("free"), []);
    is_over(&served, &calling).await;
    let answered = |counts: mesh_traffic::mirror::MirrorCounts| counts.of(Ending::Answered);
    assert!(answered(calling.mirror.counts()) <= answered(copied) + copied.in_flight() as u64);
}

#[tokio::test]
async fn an_upgrade_that_the_service_does_not_know_is_an_answer_like_any_other() {
    let served = served().await;
    let calling = served.calling(HttpProtocol::Http1).await;
    let request = ask("/text")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let answer = whole(send(&calling.client, request, Body::empty()).await).await;
    assert!(answer == text(), "{}", answer.len());
    is_over(&served, &calling).await;
}
