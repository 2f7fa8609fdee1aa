//! What fails and is tried again, as clients and endpoints see it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::any;
use bytes::Bytes;
use e2e::{Connection, Proxy, listen, serve};
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

/// Answers 503 to every other request, and counts them.
async fn every_other() -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let app = Router::new().fallback(any(move |request: Request<Body>| {
        let number = counting.fetch_add(1, Ordering::SeqCst);
        async move {
            let attempt = request.headers().get("x-mesh-attempt").cloned();
            let body = request.into_body().collect().await.expect("whole").to_bytes();
            let status = match number % 2 {
                0 => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::OK,
            };
            let attempt = attempt.map(|attempt| attempt.to_str().expect("text").to_owned());
            let said = format!("{} of {} bytes", attempt.unwrap_or_default(), body.len());
            (status, said)
        }
    }));
    (serve(app).await, asked)
}

fn services(endpoints: &[SocketAddr], retry: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    let endpoints = endpoints.join(", ");
    format!("[ {{ name: app, port: 1, hosts: [\"*\"], endpoints: [{endpoints}], {retry} }} ]")
}

async fn ask(connection: &mut Connection, request: http::request::Builder, body: Vec<u8>) -> (u16, String) {
    let request = request
        .header(HOST, "app")
        .body(Body::from(body))
        .expect("a request");
    let answer = connection.send(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("whole").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn a_get_that_fails_once_succeeds_and_a_post_is_sent_once() {
    let (app, asked) = every_other().await;
    let proxy = Proxy::start(&services(&[app], "retry: { attempts: 2 }")).await;
    let mut connection = Connection::http1(proxy.address).await.expect("it listens");
    for _ in 0..3 {
        let answer = ask(&mut connection, Request::get("/"), vec![]).await;
        assert_eq!(answer, (200, "1 of 0 bytes".to_owned()));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6);

    let (status, _) = ask(&mut connection, Request::post("/"), b"order".to_vec()).await;
    assert_eq!((status, asked.load(Ordering::SeqCst)), (503, 7));
    // It is the turn of a good answer, so that the next one fails at first.
    let (status, _) = ask(&mut connection, Request::post("/"), b"order".to_vec()).await;
    assert_eq!((status, asked.load(Ordering::SeqCst)), (200, 8));

    let keyed = Request::post("/").header("idempotency-key", "8e03978e");
    let answer = ask(&mut connection, keyed, vec![b'x'; 60_000]).await;
    assert_eq!(answer, (200, "1 of 60000 bytes".to_owned()));
    let long = ask(&mut connection, Request::put("/"), vec![b'x'; 70_000]).await;
    assert_eq!(long, (503, " of 70000 bytes".to_owned()), "too long to be kept");

    for (outcome, expected) in [
        ("success", 4.0),
        ("not_replayable", 1.0),
        ("attempts_exhausted", 0.0),
    ] {
        let counted = proxy
            .sum("service_mesh_retries_total", &[("outcome", outcome)])
            .await;
        assert_eq!(counted, expected, "{outcome}");
    }
    // Each try is an attempt, and each request a request.
    assert_eq!(proxy.sum("service_mesh_attempts_total", &[]).await, 11.0);
    assert_eq!(proxy.sum("service_mesh_requests_total", &[]).await, 7.0);
}

#[tokio::test]
async fn without_retries_in_the_configuration_a_failure_is_handed_on() {
    let (app, asked) = every_other().await;
    let proxy = Proxy::start(&services(&[app], "timeout: 5s")).await;
    let mut connection = Connection::http1(proxy.address).await.expect("it listens");
    let (status, _) = ask(&mut connection, Request::get("/"), vec![]).await;
    assert_eq!((status, asked.load(Ordering::SeqCst)), (503, 1));
}

#[tokio::test]
async fn when_all_tries_fail_the_answer_says_how_many_there_were() {
    let app = Router::new().fallback(any(|| async { StatusCode::SERVICE_UNAVAILABLE }));
    let proxy = Proxy::start(&services(&[serve(app).await], "retry: { attempts: 2 }")).await;
    let mut connection = Connection::http1(proxy.address).await.expect("it listens");
    let request = Request::get("/")
        .header(HOST, "app")
        .body(Body::empty())
        .expect("a request");
    let answer = connection.send(request).await.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["x-mesh-attempt"], "3");
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_made_again_elsewhere() {
    // Accepts, and never answers.
    let (silent, address) = listen().await;
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            held.push(connection);
        }
    });
    let well = serve(Router::new().fallback(any(|| async { "hello" }))).await;
    let retry = "retry: { attempts: 1, perTryTimeout: 200ms }, loadBalancing: { algorithm: round_robin }";
    let proxy = Proxy::start(&services(&[address, well], retry)).await;
    let mut connection = Connection::http1(proxy.address).await.expect("it listens");
    for _ in 0..4 {
        let (status, body) = ask(&mut connection, Request::get("/"), vec![]).await;
        assert_eq!((status, body.as_str()), (200, "hello"));
    }
    holding.abort();
}

#[tokio::test]
async fn the_second_try_goes_to_another_endpoint() {
    let ill = serve(Router::new().fallback(any(|| async { StatusCode::BAD_GATEWAY }))).await;
    let well = serve(Router::new().fallback(any(|| async { "hello" }))).await;
    // By chance alone one in four would meet the ill one twice. It is not ejected meanwhile.
    let keys = "retry: { attempts: 1, budget: { percent: 100 } }, loadBalancing: { algorithm: random }, \
                outlierDetection: { enabled: false }";
    let proxy = Proxy::start(&services(&[ill, well], keys)).await;
    let mut connection = Connection::http1(proxy.address).await.expect("it listens");
    for _ in 0..40 {
        let (status, _) = ask(&mut connection, Request::get("/"), vec![]).await;
        assert_eq!(status, 200);
    }
    assert!(proxy.sum("service_mesh_attempts_total", &[]).await > 40.0);
}

/// A service of gRPC that is unavailable for every other call, and says so in trailers.
async fn unavailable_at_first() -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let app = Router::new().fallback(any(move |request: Request<Body>| {
        let number = counting.fetch_add(1, Ordering::SeqCst);
        async move {
            let message = request.into_body().collect().await.expect("whole").to_bytes();
            let (message, status) = match number % 2 {
                0 => (Bytes::new(), "14"),
                _ => (message, "0"),
            };
            let status = HeaderValue::from_static(status);
            let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), status)]);
            let body = Full::new(message).with_trailers(std::future::ready(Some(Ok(trailers))));
            let answer = http::Response::builder().header("content-type", "application/grpc");
            answer.body(Body::new(body)).expect("an answer")
        }
    }));
    (serve(app).await, asked)
}

#[tokio::test]
async fn a_grpc_call_whose_failure_is_in_trailers_is_made_again() {
    let (app, asked) = unavailable_at_first().await;
    let keys = "protocol: http2, retry: { on: [unavailable], idempotent: true }";
    let proxy = Proxy::start(&services(&[app], keys)).await;
    let mut connection = Connection::http2(proxy.address).await.expect("it listens");
    for calls in 1..=3 {
        let request = Request::post("/test.Echo/Unary").header(HOST, "app");
        let request = request.header("content-type", "application/grpc");
        let request = request.body(Body::from("message")).expect("a request");
        let answer = connection.send(request).await.expect("an answer");
        let whole = answer.into_body().collect().await.expect("whole");
        assert_eq!(whole.trailers().expect("there")["grpc-status"], "0");
        assert_eq!(whole.to_bytes(), "message");
        assert_eq!(asked.load(Ordering::SeqCst), 2 * calls);
    }
}

/// Answers on every connection, and resets all of them now and then, whatever is under way.
async fn resetting(every: Duration) -> (SocketAddr, Arc<AtomicUsize>) {
    let (listener, address) = listen().await;
    let resets = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&resets);
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        let mut ticks = interval(every);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (connection, _) = accepted.expect("a connection");
                    connections.spawn(answering(connection, Arc::clone(&counting)));
                }
                _ = ticks.tick() => {
                    // Dropped with linger 0: a reset.
                    connections.abort_all();
                    while connections.join_next().await.is_some() {}
                }
            }
        }
    });
    (address, resets)
}

async fn answering(mut connection: TcpStream, resets: Arc<AtomicUsize>) {
    /// A connection that is given up while a request is under way is counted.
    struct UnderWay(Arc<AtomicUsize>, AtomicBool);
    impl Drop for UnderWay {
        fn drop(&mut self) {
            if self.1.load(Ordering::SeqCst) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    connection.set_zero_linger().expect("an open socket");
    let under_way = UnderWay(resets, AtomicBool::new(false));
    let mut read = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match connection.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => read.extend_from_slice(&buffer[..n]),
        }
        if read.ends_with(b"\r\n\r\n") {
            read.clear();
            under_way.1.store(true, Ordering::SeqCst);
            // Long enough for a reset to meet some requests.
            tokio::time::sleep(Duration::from_millis(5)).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
            if connection.write_all(answer).await.is_err() {
                return;
            }
            under_way.1.store(false, Ordering::SeqCst);
        }
    }
}

#[tokio::test]
async fn connections_that_are_reset_every_half_second_fail_no_get() {
    let half = Duration::from_millis(500);
    let (first, resets) = resetting(half).await;
    let (second, _) = resetting(half).await;
    let proxy = Proxy::start(&services(&[first, second], "retry: { attempts: 2 }")).await;
    let until = Instant::now() + Duration::from_secs(5);
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let address = proxy.address;
        clients.spawn(async move {
            let mut connection = Connection::http1(address).await.expect("it listens");
            let (mut asked, mut failed) = (0, Vec::new());
            while Instant::now() < until {
                let (status, body) = ask(&mut connection, Request::get("/"), vec![]).await;
                asked += 1;
                if status != 200 {
                    failed.push((status, body));
                }
            }
            (asked, failed)
        });
    }
    let mut asked = 0;
    while let Some(ended) = clients.join_next().await {
        let (some, failed) = ended.expect("no panic");
        assert_eq!(failed, [], "of {some}");
        asked += some;
    }
    assert!(asked > 1000, "{asked}");
    assert!(
        resets.load(Ordering::SeqCst) > 5,
        "{resets:?} requests met a reset"
    );
}
