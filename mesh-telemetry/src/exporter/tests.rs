use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

use super::*;

fn pages<R: Into<Readiness>>(
    telemetry: Telemetry,
    ready: impl Fn() -> R + Send + Sync + 'static,
) -> Arc<Pages> {
    Arc::new(Pages {
        telemetry,
        ready: Box::new(move || ready().into()),
        rendering: Semaphore::new(1),
    })
}

/// A connection to a server in a task of its own.
fn connect(pages: &Arc<Pages>) -> DuplexStream {
    let (client, server) = duplex(1024 * 1024);
    tokio::spawn(serve_connection(server, Arc::clone(pages)));
    client
}

async fn ask(pages: &Arc<Pages>, head: &str) -> String {
    let mut client = connect(pages);
    let request = format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    client
        .write_all(request.as_bytes())
        .await
        .expect("the server reads");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("text");
    answer
}

#[tokio::test]
async fn the_page_is_served_in_the_text_format() {
    let pages = pages(Telemetry::new(), || true);
    let answer = ask(&pages, "GET /metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\nservice_mesh_build_info{version="), "{answer}");
}

#[tokio::test]
async fn the_names_of_opentelemetry_are_a_page_of_their_own_and_others_are_refused() {
    let telemetry = Telemetry::new();
    let target = mesh_core::context::Target::service("orders".parse().expect("a name"));
    let orders = telemetry.route(&target, mesh_core::context::Direction::Inbound);
    orders
        .begin(&Request::get("/").body(()).expect("a request"))
        .answered(StatusCode::OK, None);
    let pages = pages(telemetry, || true);
    let answer = ask(&pages, "GET /metrics?names=otel").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("\nhttp_server_request_duration_seconds_count{"),
        "{answer}"
    );
    assert!(!answer.contains("service_mesh_"), "{answer}");
    let answer = ask(&pages, "GET /metrics?names=statsd").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let pages = pages(Telemetry::new(), || true);
    for path in ["/metrics", "/healthz", "/readyz"] {
        let answer = ask(&pages, &format!("HEAD {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("content-length: ") && !answer.contains("content-length: 0"),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_query_is_no_part_of_the_path() {
    let pages = pages(Telemetry::new(), || true);
    assert!(
        ask(&pages, "GET /healthz?verbose=1")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn readiness_is_asked_each_time() {
    let ready = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&ready);
    let pages = pages(Telemetry::new(), move || asked.load(Ordering::Relaxed));
    assert!(ask(&pages, "GET /readyz").await.starts_with("HTTP/1.1 503 "));
    assert!(
        ask(&pages, "GET /healthz").await.starts_with("HTTP/1.1 200 "),
        "alive all the same"
    );
    ready.store(true, Ordering::Relaxed);
    assert!(ask(&pages, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
    ready.store(false, Ordering::Relaxed);
    assert!(
        ask(&pages, "GET /readyz").await.starts_with("HTTP/1.1 503 "),
        "it drains"
    );
}

#[tokio::test]
async fn nothing_can_be_changed_through_this_port() {
    let pages = pages(Telemetry::new(), || true);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        for path in ["/metrics", "/healthz", "/readyz"] {
            let answer = ask(&pages, &format!("{method} {path}")).await;
            assert!(answer.starts_with("HTTP/1.1 405 "), "{method} {path}: {answer}");
            assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
        }
    }
}

#[tokio::test]
async fn another_path_is_not_found() {
    let pages = pages(Telemetry::new(), || true);
    for path in ["/", "/metrics/", "/Metrics", "/api/v1/config", "/readyz/x"] {
        assert!(
            ask(&pages, &format!("GET {path}"))
                .await
                .starts_with("HTTP/1.1 404 "),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_hook_that_panics_costs_one_page_and_not_the_port() {
    let telemetry = Telemetry::new();
    let guard = telemetry.before_scrape(|| std::panic::resume_unwind(Box::new("scripted")));
    let pages = pages(telemetry, || true);
    assert!(ask(&pages, "GET /metrics").await.starts_with("HTTP/1.1 500 "));
    drop(guard);
    assert!(ask(&pages, "GET /metrics").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_in_time_ends_the_connection() {
    let pages = pages(Telemetry::new(), || true);
    let mut client = connect(&pages);
    client
        .write_all(b"GET /metrics HTT")
        .await
        .expect("the server reads");
    let begun = Instant::now();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("closed");
    let took = begun.elapsed();
    assert!(took >= HEAD && took < HEAD + Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_ends_the_connection() {
    let pages = pages(Telemetry::new(), || true);
    let (mut client, server) = duplex(64);
    let served = tokio::spawn(serve_connection(server, Arc::clone(&pages)));
    client
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("the server reads");
    let begun = Instant::now();
    served.await.expect("ends");
    assert_eq!(begun.elapsed().as_secs(), (CONNECTION + HEAD).as_secs());
}

#[tokio::test]
async fn of_too_many_connections_the_oldest_is_cut() {
    let mut connections = Connections::default();
    let mut ends = Vec::new();
    for _ in 0..=CONNECTIONS {
        let (held, end) = tokio::sync::oneshot::channel::<()>();
        connections.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        ends.push(end);
    }
    let mut ends = ends.into_iter();
    let oldest = timeout(Duration::from_secs(10), ends.next().expect("the oldest")).await;
    assert!(oldest.is_ok_and(|end| end.is_err()), "it was dropped");
    assert!(ends.all(|mut end| end.try_recv() == Err(TryRecvError::Empty)));
    assert_eq!(connections.oldest_first.len(), CONNECTIONS);
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_its_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let serving = tokio::spawn(serve_metrics(listener, Telemetry::new(), || true));
    let mut client = tokio::net::TcpStream::connect(address).await.expect("listening");
    client
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("open");
    let mut first = [0; 15];
    client.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    serving.abort();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("closed");
}

#[tokio::test]
async fn who_is_degraded_takes_traffic_and_says_why() {
    let pages = pages(Telemetry::new(), || {
        Readiness::Degraded("no space is left".into())
    });
    let answer = ask(&pages, "GET /readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.ends_with("ready, but degraded: no space is left\n"),
        "{answer}"
    );
}
