//! Bodies far larger than the proxy's memory.

use std::time::Duration;

use axum::body::Body;
use e2e::{Connection, LIMIT, Proxy, serve};
use http::header::{CONTENT_LENGTH, HOST};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use sample_service::{Instance, Pattern, router};
use tokio::time::timeout;

const SIZE: u64 = 1 << 30;
const MOST_MEMORY: u64 = 64 << 20;

/// Two gibibytes through three unoptimized processes on a busy machine.
const MOST_TIME: Duration = LIMIT.saturating_mul(6);

async fn proxy() -> Proxy {
    let app = serve(router(Instance {
        name: "a".into(),
        version: "v1".into(),
    }))
    .await;
    Proxy::start(&format!(
        "[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{app}\"] }} ]"
    ))
    .await
}

fn little(proxy: &Proxy) {
    let peak = proxy.peak_memory();
    assert!(peak < MOST_MEMORY, "the proxy held {} MiB", peak >> 20);
}

async fn down(mut connection: Connection) {
    let request = Request::get(format!("/bytes/{SIZE}")).header(HOST, "app");
    let answer = connection
        .send(request.body(Body::empty()).expect("a request"))
        .await
        .expect("served");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[CONTENT_LENGTH], SIZE.to_string());
    let (mut body, mut received) = (answer.into_body(), Pattern::default());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.expect("no error").into_data() {
            assert!(
                received.check(&data),
                "other bytes than were sent, after {}",
                received.checked()
            );
        }
    }
    assert_eq!(received.checked(), SIZE);
}

async fn up(mut connection: Connection) {
    let request = Request::post("/sink").header(HOST, "app");
    let request = request
        .body(Body::from_stream(Pattern::stream(SIZE)))
        .expect("a request");
    let answer = connection.send(request).await.expect("served");
    assert_eq!(answer.status(), StatusCode::OK);
    let counted = answer
        .into_body()
        .collect()
        .await
        .expect("a whole body")
        .to_bytes();
    assert_eq!(counted, format!("{SIZE}\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_passes_both_ways_over_http1_in_little_memory() {
    let proxy = proxy().await;
    let both = async {
        down(Connection::http1(proxy.address).await.expect("listening")).await;
        up(Connection::http1(proxy.address).await.expect("listening")).await;
    };
    timeout(MOST_TIME, both).await.expect("in time");
    little(&proxy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_passes_both_ways_over_http2_in_little_memory() {
    let proxy = proxy().await;
    let both = async {
        down(Connection::http2(proxy.address).await.expect("listening")).await;
        up(Connection::http2(proxy.address).await.expect("listening")).await;
    };
    timeout(MOST_TIME, both).await.expect("in time");
    little(&proxy);
}
