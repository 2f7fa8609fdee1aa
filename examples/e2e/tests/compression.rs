//! Compressed responses, as curl reads them.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use bytes::Bytes;
use e2e::{Connection, Proxy, serve};
use futures_util::{StreamExt as _, stream};
use http::Request;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderName};
use http_body_util::BodyExt as _;
use tokio::process::Command;
use tokio::time::timeout;

const SIZE: usize = 1 << 20;

fn text() -> Bytes {
    let lines = (0..).flat_map(|line: u64| format!("{line} {:x}\n", line.wrapping_mul(line)).into_bytes());
    lines.take(SIZE).collect()
}

async fn app() -> String {
    const JSON: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json")];
    let piece = |number: usize| Ok::<_, Infallible>(Bytes::from(format!("{number}\n")));
    // Never ends.
    let flowing = move || async move {
        let pieces = stream::iter(0..3).map(piece).chain(stream::pending());
        ([(CONTENT_TYPE, "text/plain")], Body::from_stream(pieces))
    };
    let events = || async {
        let events = stream::iter([Ok::<_, Infallible>(Event::default().data("x".repeat(5000)))]);
        Sse::new(events.chain(stream::pending()))
    };
    let app = Router::new()
        .route("/", get(|| async { (JSON, text()) }))
        .route("/short", get(|| async { (JSON, "{}") }))
        .route(
            "/image",
            get(|| async { ([(CONTENT_TYPE, "image/png")], text()) }),
        )
        .route("/flowing", get(flowing))
        .route("/events", get(events));
    serve(app).await.to_string()
}

async fn proxy() -> Proxy {
    let app = app().await;
    let services = format!(
        "[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{app}\"], compression: {{ minSize: 2KiB }} }}, \
         {{ name: plain, port: 1, hosts: [plain], endpoints: [\"{app}\"] }} ]"
    );
    Proxy::start(&services).await
}

/// What curl decodes, and what it says of it.
async fn curl(proxy: &Proxy, host: &str, arguments: &[&str], path: &str) -> (Vec<u8>, String) {
    let output = Command::new("curl")
        .args(["-s", "--max-time", "60", "-H", &format!("host: {host}")])
        .args([
            "-w",
            "%{stderr}%{size_download} %header{content-encoding} %header{vary}",
        ])
        .args(arguments)
        .arg(format!("http://{}{path}", proxy.address))
        .output()
        .await
        .expect("curl is installed");
    (
        output.stdout,
        String::from_utf8(output.stderr).expect("text").trim().to_owned(),
    )
}

#[tokio::test]
async fn curl_gets_what_it_would_have_got_in_fewer_bytes() {
    let proxy = proxy().await;
    let text = text();
    for (arguments, encoding) in [
        (&["--compressed"][..], "gzip"),
        (&["--compressed", "-H", "accept-encoding: gzip"], "gzip"),
        (
            &[
                "--compressed",
                "--http2-prior-knowledge",
                "-H",
                "accept-encoding: gzip",
            ],
            "gzip",
        ),
    ] {
        let (body, told) = curl(&proxy, "app", arguments, "/").await;
        assert!(body == text, "{arguments:?}: {told}");
        let (size, rest) = told.split_once(' ').expect("several");
        let size: usize = size.parse().expect("a number");
        assert!(size < SIZE / 2, "{size}");
        assert_eq!(rest, format!("{encoding} accept-encoding"));
    }
    let (body, told) = curl(&proxy, "app", &[], "/").await;
    assert!(body == text);
    assert_eq!(told, format!("{SIZE}  accept-encoding"));
    for (host, path) in [("app", "/short"), ("app", "/image"), ("plain", "/")] {
        let (_, told) = curl(&proxy, host, &["--compressed"], path).await;
        assert!(told.parse::<usize>().is_ok(), "{host}{path}: {told}");
    }
    let (_, told) = curl(&proxy, "app", &["--head", "-H", "accept-encoding: gzip"], "/").await;
    assert_eq!(told, "0", "the answer to HEAD is left as it is");
}

#[tokio::test]
async fn what_flows_is_not_held_back_and_events_are_left_alone() {
    let proxy = proxy().await;
    for (path, encoding, least) in [("/flowing", Some("gzip"), 1), ("/events", None, 5000)] {
        let mut connection = Connection::http1(proxy.address).await.expect("listening");
        let request = Request::get(path)
            .header(HOST, "app")
            .header(ACCEPT_ENCODING, "gzip");
        let request = request.body(Body::empty()).expect("a request");
        let answer = connection.send(request).await.expect("an answer");
        let told = answer.headers().get("content-encoding");
        assert_eq!(told.map(|value| value.to_str().expect("text")), encoding);
        let mut body = answer.into_body();
        let mut came = 0;
        while came < least {
            let frame = timeout(Duration::from_secs(10), body.frame()).await;
            let frame = frame
                .expect("it was held back")
                .expect("it goes on")
                .expect("it is well");
            came += frame.into_data().map_or(0, |data| data.len());
        }
    }
}
