//! Through everything a service can be given at once: calls, tunnels, and large bodies are what they were.

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use e2e::{Connection, Proxy, listen, until};
use futures_util::{SinkExt, StreamExt, stream};
use http::Request;
use http::header::HOST;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use tokio::process::Command;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tonic::Code;
use tonic::transport::Endpoint;

#[path = "shared/echo.rs"]
mod echo;
#[path = "shared/raw.rs"]
mod raw;
#[path = "shared/web.rs"]
mod web;

use raw::Raw;
use web::{SIZE, text};

async fn proxy() -> Proxy {
    let (listener, web) = listen().await;
    tokio::spawn(async move { axum::serve(listener, web::app()).await });
    let (listener, calls) = listen().await;
    let app = Router::new().fallback_service(tower::service_fn(echo::answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let everything = r#"timeout: 30s, retry: { attempts: 2, on: [connect-failure, refused-stream, reset, 503], perTryTimeout: 10s },
      rateLimiting: { enabled: true, requestsPerSecond: 10000, burstSize: 1000, keyExtractor: client_ip },
      faultInjection: { delay: { percentage: 100, fixedDelay: 1 }, throttle: { percentage: 0.001, bytesPerSecond: 1 }, until: "2200-01-01T00:00:00Z" },
      compression: { enabled: true, minSize: 1024 }, outlierDetection: { consecutiveFailures: 3 },
      circuitBreaker: { consecutiveFailures: 2 }"#;
    let services = format!(
        r#"
    - {{ name: web, port: 1, hosts: [web], endpoints: ["{web}"], loadBalancing: {{ algorithm: p2c_ewma, slowStart: 1s }}, {everything} }}
    - {{ name: calls, port: 1, hosts: [calls], endpoints: ["{calls}"], protocol: http2, {everything} }}
    - {{ name: copies, port: 1, hosts: [copies], endpoints: ["{web}"] }}
  trafficManagement:
    rules:
      - id: web
        conditions: [ {{ type: host, operator: equals, value: web }} ]
        destinations: [ {{ service: web }} ]
        requestHeaders: {{ set: {{ x-rule: web }} }}
        responseHeaders: {{ set: {{ x-rule: web }} }}
        cors: {{ allowOrigins: ["*"] }}
        mirror: {{ service: copies, percentage: 100 }}"#
    );
    Proxy::start(&services).await
}

#[tokio::test]
async fn eight_mebibytes_come_down_compressed_and_go_up_and_down_streamed() {
    let proxy = proxy().await;
    let curl = Command::new("curl")
        .args([
            "-sS",
            "--compressed",
            "-H",
            "host: web",
            "-w",
            "%{stderr}%{http_code} %{size_download} %header{x-rule}",
        ])
        .arg(format!("http://{}/text", proxy.address))
        .output();
    let curl = curl.await.expect("curl runs");
    let told = String::from_utf8_lossy(&curl.stderr).into_owned();
    assert!(curl.stdout == text(), "{told}");
    let told: Vec<&str> = told.split(' ').collect();
    assert_eq!((told[0], told[2]), ("200", "web"));
    assert!(told[1].parse::<usize>().expect("a number") < SIZE / 2, "{told:?}");

    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    let pieces = stream::iter(vec![piece.clone(); SIZE / piece.len()]).map(Ok::<_, std::io::Error>);
    let request = Request::post("/echo")
        .header(HOST, "web")
        .body(Body::from_stream(pieces));
    let answer = connection
        .send(request.expect("a request"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    let echoed = answer.into_body().collect().await.expect("whole").to_bytes();
    assert!(
        echoed.len() == SIZE && echoed.iter().all(|byte| *byte == b'x'),
        "{}",
        echoed.len()
    );
    // The copy of the download was answered; that of the upload is longer than a copy may be, or as long.
    until("both copies are counted", async || {
        let copies = proxy.sum("service_mesh_mirrored_total", &[]).await;
        #[expect(clippy::float_cmp, reason = "a whole number")]
        (copies == 2.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_is_a_tunnel() {
    let proxy = proxy().await;
    let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(
        format!("ws://{}/ws", proxy.address),
    )
    .expect("a request");
    request.headers_mut().insert(HOST, "web".parse().expect("valid"));
    let (mut socket, response) = connect_async(request).await.expect("upgraded");
    assert_eq!(response.status(), 101);
    for message in [Message::text("hello"), Message::binary(vec![7; 1 << 20])] {
        socket.send(message.clone()).await.expect("open");
        assert_eq!(socket.next().await.expect("an echo").expect("open"), message);
    }
}

#[tokio::test]
async fn calls_stream_both_ways_and_their_status_is_theirs() {
    let proxy = proxy().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.address)).expect("a URI");
    let endpoint = endpoint.origin("http://calls".parse().expect("a URI"));
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.expect("listening"));
    let (unary, both) = (
        PathAndQuery::from_static("/test.Echo/Unary"),
        PathAndQuery::from_static("/test.Echo/Stream"),
    );
    let hello = tonic::Request::new(Bytes::from_static(b"hello"));
    client.ready().await.expect("connected");
    let answer = client.unary(hello, unary.clone(), Raw).await.expect("OK");
    assert_eq!(answer.into_inner(), "hello");
    let fail = tonic::Request::new(Bytes::from_static(b"fail"));
    client.ready().await.expect("connected");
    let status = client.unary(fail, unary, Raw).await.expect_err("asked for");
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "as asked"));

    let (send, messages) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let messages = stream::unfold(messages, async |mut messages| {
        Some((messages.recv().await?, messages))
    });
    client.ready().await.expect("connected");
    let answers = client.streaming(tonic::Request::new(messages), both, Raw).await;
    let mut answers = answers.expect("begun").into_inner();
    for size in 0..100 {
        let message = Bytes::from(vec![b'x'; 1000 * size]);
        send.send(message.clone()).expect("it listens");
        assert_eq!(answers.next().await.expect("an answer").expect("OK"), message);
    }
    drop(send);
    assert!(answers.next().await.is_none(), "it ended well");
}
