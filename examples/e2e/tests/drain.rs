//! The end of the proxy while requests are in flight.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::get;
use e2e::{Connection, Proxy, listen, serve, until};
use http::header::{CONNECTION, HOST};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

const HTTP1: usize = 64;
const HTTP2: usize = 4;
const STREAMS: usize = 16;

/// How many requests the upstream holds, and whether it may answer them.
struct Gate {
    held: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            held: watch::Sender::new(0),
            open: watch::Sender::new(false),
        })
    }

    /// Answers, so many milliseconds after the gate is opened.
    fn app(self: &Arc<Self>) -> Router {
        let gate = Arc::clone(self);
        let hold = move |Path(ms): Path<u64>| async move {
            gate.held.send_modify(|held| *held += 1);
            gate.open
                .subscribe()
                .wait_for(|open| *open)
                .await
                .expect("the gate stays");
            tokio::time::sleep(Duration::from_millis(ms)).await;
            format!("after {ms}")
        };
        Router::new()
            .route("/held/{ms}", get(hold))
            .route("/", get(async || "at once"))
    }
}

fn request(path: &str) -> Request<Body> {
    Request::get(path)
        .header(HOST, "app")
        .body(Body::empty())
        .expect("a request")
}

/// Asks several times at once, then for an answer that takes its time, and returns whether that one closes
/// the connection.
async fn client(mut connection: Connection, ms: u64) -> (bool, Connection) {
    for _ in 0..20 {
        let answer = connection.send(request("/")).await.expect("the proxy serves");
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.into_body().collect().await.expect("a whole body");
        assert_eq!(body.to_bytes(), "at once");
    }
    let answer = connection
        .send(request(&format!("/held/{ms}")))
        .await
        .expect("it is in flight, so it is answered");
    assert_eq!(answer.status(), StatusCode::OK);
    let closes = answer
        .headers()
        .get(CONNECTION)
        .is_some_and(|value| value == "close");
    let body = answer.into_body().collect().await.expect("a whole body");
    assert_eq!(body.to_bytes(), format!("after {ms}"));
    (closes, connection)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_flight_is_lost_by_a_stop_and_the_exit_is_clean() {
    let gate = Gate::new();
    let upstream = serve(gate.app()).await;
    let mut proxy = Proxy::start(&format!(
        "[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{upstream}\"] }} ]"
    ))
    .await;

    let all = HTTP1 + HTTP2 * STREAMS;
    let mut slowness = (0..all).map(|n| (200 + n * 800 / all) as u64);
    let (mut http1, mut http2) = (JoinSet::new(), JoinSet::new());
    for ms in slowness.by_ref().take(HTTP1) {
        http1.spawn(client(
            Connection::http1(proxy.address).await.expect("listening"),
            ms,
        ));
    }
    for _ in 0..HTTP2 {
        let connection = Connection::http2(proxy.address).await.expect("listening");
        for (stream, ms) in connection.streams(STREAMS).into_iter().zip(slowness.by_ref()) {
            http2.spawn(client(stream, ms));
        }
    }
    until("all requests are in flight", async || {
        (*gate.held.borrow() == all).then_some(())
    })
    .await;

    proxy.signal("TERM").await;
    until("new connections are refused", async || {
        TcpStream::connect(proxy.address).await.is_err().then_some(())
    })
    .await;
    let ready = proxy
        .page("/readyz")
        .await
        .expect("metrics are served to the end");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    gate.open.send_replace(true);

    let closed = async |connection: &Connection| {
        until("the connection is closed", async || {
            connection.is_closed().then_some(())
        })
        .await;
    };
    while let Some(ended) = http1.join_next().await {
        let (closes, connection) = ended.expect("answered whole");
        assert!(
            closes,
            "an HTTP/1.1 answer did not say that its connection closes"
        );
        closed(&connection).await;
    }
    while let Some(ended) = http2.join_next().await {
        closed(&ended.expect("answered whole").1).await;
    }
    assert_eq!(proxy.ended().await.code(), Some(0));
}

/// Stops a proxy while a request waits, and whether that was cut.
async fn stopped_amid_a_request(proxy: &mut Proxy, gate: &Gate) -> bool {
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    let cut = tokio::spawn(async move { connection.send(request("/held/0")).await });
    until("the request is in flight", async || {
        (*gate.held.borrow() == 1).then_some(())
    })
    .await;
    proxy.signal("TERM").await;
    assert_eq!(proxy.ended().await.code(), Some(1));
    cut.await.expect("no panic").is_err()
}

#[tokio::test]
async fn what_is_in_flight_beyond_the_limit_is_cut_and_the_exit_tells_it() {
    let gate = Gate::new();
    let upstream = serve(gate.app()).await;
    let mut proxy = Proxy::start_with(
        &["--drain-timeout", "100ms"],
        &format!("[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{upstream}\"] }} ]"),
    )
    .await;
    let cut = stopped_amid_a_request(&mut proxy, &gate).await;
    assert!(cut, "the upstream never answered");
}

#[tokio::test]
async fn who_reads_events_is_told_of_the_drain_to_its_end() {
    let gate = Gate::new();
    let upstream = serve(gate.app()).await;
    let admin = listen().await.1;
    let mut proxy = Proxy::start_with(
        &["--drain-timeout", "100ms"],
        &format!(
            "[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{upstream}\"] }} ]\n  \
             admin: {{ bind: \"{admin}\" }}"
        ),
    )
    .await;
    let mut events = TcpStream::connect(admin).await.expect("listening");
    let ask = format!("GET /api/v1/events HTTP/1.1\r\nhost: {admin}\r\n\r\n");
    events.write_all(ask.as_bytes()).await.expect("sent");
    let mut first = [0];
    events.read_exact(&mut first).await.expect("answered");
    let cut = stopped_amid_a_request(&mut proxy, &gate).await;
    let mut told = Vec::new();
    // It is cut at the end of the process.
    let _end = events.read_to_end(&mut told).await;
    let told = String::from_utf8(told).expect("text");
    let at = |event: &str| told.find(event).unwrap_or_else(|| panic!("no {event} in {told}"));
    assert!(at("event: drain_started\n") < at("event: drain_finished\n"));
    assert!(
        told.contains("\"in_flight\":1.0") && told.contains("\"cut_off\":1.0"),
        "{told}"
    );
    assert!(cut, "the upstream never answered");
}
