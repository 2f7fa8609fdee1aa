//! A service that keeps failing gets a rest, as a client sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use e2e::{Connection, Proxy, listen, serve, until};
use http::header::{HOST, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A service that fails while it is told to.
#[derive(Clone)]
struct App {
    address: SocketAddr,
    fails: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl App {
    async fn failing() -> Self {
        let (fails, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (failing, asking) = (Arc::clone(&fails), Arc::clone(&asked));
        let answer = move || async move {
            asking.fetch_add(1, Ordering::SeqCst);
            match failing.load(Ordering::SeqCst) {
                true => StatusCode::INTERNAL_SERVER_ERROR,
                false => StatusCode::OK,
            }
        };
        let app = Router::new()
            .route("/", get(answer))
            .route("/late", post(|_: Bytes| async {}))
            .route("/never", post(|_: Bytes| std::future::pending::<()>()));
        let address = serve(app).await;
        Self {
            address,
            fails,
            asked,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn services(endpoints: &[SocketAddr], keys: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "[ {{ name: app, port: 1, hosts: [app], endpoints: [{}], {keys} }} ]",
        endpoints.join(", ")
    )
}

async fn ask(connection: &mut Connection) -> (u16, HeaderMap, String) {
    let request = Request::get("/").header(HOST, "app").body(Body::empty());
    let answer = connection
        .send(request.expect("a request"))
        .await
        .expect("an answer");
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let body = String::from_utf8(body.into()).expect("text");
    (head.status.as_u16(), head.headers, body)
}

async fn statuses(connection: &mut Connection, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(ask(connection).await.0);
    }
    statuses
}

async fn is_open(proxy: &Proxy) -> bool {
    let labels = [("target_service", "app")];
    proxy.sum("service_mesh_circuit_breaker_open", &labels).await == 1.0
}

#[tokio::test]
async fn after_five_failures_a_service_rests_and_the_refusal_says_why_and_until_when() {
    let app = App::failing().await;
    let proxy = Proxy::start(&services(&[app.address], "protocol: http1")).await;
    assert!(!is_open(&proxy).await);
    // Not all at one worker, which all share it.
    for _ in 0..5 {
        let mut connection = Connection::http1(proxy.address).await.expect("listening");
        assert_eq!(ask(&mut connection).await.0, 500);
    }
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    let (status, headers, body) = ask(&mut connection).await;
    assert_eq!(
        (status, &headers["x-mesh-error"]),
        (503, &"circuit_open".parse().expect("a value"))
    );
    let seconds: u64 = headers[RETRY_AFTER]
        .to_str()
        .expect("text")
        .parse()
        .expect("a number");
    assert!((25..=30).contains(&seconds), "{seconds}");
    for told in [
        "the circuit breaker of app is open, since ",
        ", after 5 consecutive failures; it tries again in ",
    ] {
        assert!(body.contains(told), "{body}");
    }
    assert_eq!(app.asked(), 5, "nobody asked it any more");
    assert!(is_open(&proxy).await);
    let refused = [("reason", "circuit_open"), ("status", "503")];
    until("the refusal is counted", async || {
        (proxy.sum("service_mesh_requests_total", &refused).await == 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_service_that_is_well_again_is_let_in_by_its_trials() {
    let app = App::failing().await;
    let keys = "circuitBreaker: { openFor: 300ms, halfOpenRequests: 2 }";
    let proxy = Proxy::start(&services(&[app.address], keys)).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    assert_eq!(statuses(&mut connection, 6).await, [500, 500, 500, 500, 500, 503]);
    tokio::time::sleep(Duration::from_millis(310)).await;
    // The trial fails, and it rests again.
    assert_eq!(statuses(&mut connection, 2).await, [500, 503]);
    app.fails.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(310)).await;
    assert_eq!(statuses(&mut connection, 2).await, [200, 200]);
    until("it is closed", async || (!is_open(&proxy).await).then_some(())).await;
}

#[tokio::test]
async fn it_goes_on_resting_after_a_reload_that_does_not_concern_it_and_not_after_one_that_does() {
    let app = App::failing().await;
    let generation = |number: u32, keys: &str| {
        let rule = format!(
            "\n  trafficManagement: {{ rules: [ {{ id: g, conditions: [ {{ type: path, operator: equals, value: /g }} ], \
             respond: {{ status: {number} }} }} ] }}\n"
        );
        services(&[app.address], keys) + &rule
    };
    let proxy = Proxy::start(&generation(201, "timeout: 15s")).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    statuses(&mut connection, 5).await;
    for (number, keys, status) in [
        (202, "timeout: 14s, outlierDetection: { interval: 9s }", 503),
        (203, "circuitBreaker: { consecutiveFailures: 6 }", 500),
        (204, "circuitBreaker: { enabled: false }", 500),
    ] {
        proxy.configure(&generation(number, keys)).await;
        until("the new configuration is in use", async || {
            let request = Request::get("/g").header(HOST, "app").body(Body::empty());
            let answer = connection
                .send(request.expect("a request"))
                .await
                .expect("an answer");
            (u32::from(answer.status().as_u16()) == number).then_some(())
        })
        .await;
        assert_eq!(ask(&mut connection).await.0, status, "{keys}");
        assert_eq!(is_open(&proxy).await, status == 503, "{keys}");
    }
    assert_eq!(statuses(&mut connection, 20).await, [500; 20], "it has none");
}

#[tokio::test]
async fn one_bad_endpoint_of_two_is_ejected_and_the_service_goes_on() {
    let (bad, well) = (App::failing().await, App::failing().await);
    well.fails.store(false, Ordering::SeqCst);
    // All requests of one client go to one endpoint, until that is ejected.
    for endpoints in [[bad.address, well.address], [well.address, bad.address]] {
        let keys = "loadBalancing: { algorithm: ring_hash, hashKey: 'header:host' }";
        let proxy = Proxy::start(&services(&endpoints, keys)).await;
        let mut connection = Connection::http1(proxy.address).await.expect("listening");
        let statuses = statuses(&mut connection, 20).await;
        assert!(!statuses.contains(&503), "{statuses:?}");
        assert!(!is_open(&proxy).await);
    }
    assert!(bad.asked() <= 10, "{}", bad.asked());
}

#[tokio::test]
async fn a_service_of_which_all_endpoints_fail_rests() {
    let (a, b) = (App::failing().await, App::failing().await);
    let keys = "loadBalancing: { algorithm: round_robin }";
    let proxy = Proxy::start(&services(&[a.address, b.address], keys)).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    assert_eq!(statuses(&mut connection, 6).await, [500, 500, 500, 500, 500, 503]);
}

#[tokio::test]
async fn what_the_mesh_refuses_by_itself_opens_nothing() {
    let app = App::failing().await;
    app.fails.store(false, Ordering::SeqCst);
    let keys = "faultInjection: { abort: { percentage: 100, httpStatus: 500 } }";
    let proxy = Proxy::start(&services(&[app.address], keys)).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    assert_eq!(statuses(&mut connection, 10).await, [500; 10]);
    assert!(!is_open(&proxy).await);
}

#[tokio::test]
async fn nobody_listening_is_a_failure_too() {
    let (listener, address) = listen().await;
    drop(listener);
    let keys =
        "circuitBreaker: { consecutiveFailures: 1 }, loadBalancing: { healthCheck: { enabled: false } }";
    let proxy = Proxy::start(&services(&[address], keys)).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    assert_eq!(statuses(&mut connection, 2).await, [502, 503]);
    assert!(is_open(&proxy).await);
}

#[tokio::test]
async fn a_client_that_is_slow_itself_does_not_open_it_for_others() {
    let app = App::failing().await;
    app.fails.store(false, Ordering::SeqCst);
    let keys = "timeout: 100ms, circuitBreaker: { consecutiveFailures: 2 }";
    let proxy = Proxy::start(&services(&[app.address], keys)).await;
    for _ in 0..3 {
        let mut client = TcpStream::connect(proxy.address).await.expect("listening");
        let beginning = b"POST /late HTTP/1.1\r\nhost: app\r\ncontent-length: 100\r\n\r\nhello";
        client.write_all(beginning).await.expect("it reads");
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(10), client.read_buf(&mut answer));
        read.await.expect("in time").expect("an answer");
        assert!(
            answer.starts_with(b"HTTP/1.1 504"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert!(!is_open(&proxy).await);
    // Whoever sends all there is and gets no answer has a case.
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    for expected in [504, 504, 503] {
        let request = Request::post("/never")
            .header(HOST, "app")
            .body(Body::from("all of it"));
        let answer = connection
            .send(request.expect("a request"))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), expected);
        answer.into_body().collect().await.expect("whole");
    }
}
