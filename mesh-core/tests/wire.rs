//! What becomes of bytes on the wire between the server and a service that admits requests as the proxy does.
//!
//! hyper reads the wire. These tests hold down what it refuses, what it repairs and what it lets through, so
//! that another version of it cannot change that unseen.
#![cfg(feature = "http")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{Request, Response};
use http_body_util::BodyExt;
use mesh_core::BoxError;
use mesh_core::body::Body;
use mesh_core::drain::drain;
use mesh_core::edge::{EdgePolicy, admit};
use mesh_core::reject::{RejectBody, reject};
use mesh_core::serve::{ServeLimits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A request that the service got whole.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    target: String,
    body: String,
}

/// What became of the bytes.
#[derive(Debug)]
struct Exchange {
    got: Vec<Got>,
    answer: String,
}

impl Exchange {
    fn targets(&self) -> Vec<&str> {
        self.got.iter().map(|got| got.target.as_str()).collect()
    }

    fn statuses(&self) -> Vec<&str> {
        let heads = self.answer.split("HTTP/1.1 ").skip(1);
        heads
            .filter_map(|head| head.get(..3))
            .filter(|status| *status != "100")
            .collect()
    }

    /// Nothing got in, not even what came behind, and the client was told so or cut off.
    fn is_refused(&self) -> bool {
        self.got.is_empty() && self.statuses().iter().all(|status| status.starts_with('4'))
    }
}

async fn answer(
    request: Request<Body>,
    got: Arc<Mutex<Vec<Got>>>,
) -> Result<Response<RejectBody<Body>>, BoxError> {
    let (mut parts, body) = request.into_parts();
    if let Err(error) = admit(&mut parts, &EdgePolicy::default()) {
        let mut refusal = reject(&error, false);
        refusal
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        return Ok(refusal);
    }
    let both = parts.headers.contains_key(TRANSFER_ENCODING) && parts.headers.contains_key(CONTENT_LENGTH);
    assert!(!both, "a request with two framings was admitted: {parts:?}");
    let body = body.collect().await?.to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    got.lock().expect("no panic").push(Got {
        target: parts.uri.to_string(),
        body,
    });
    Ok(Response::new(RejectBody::inner(Body::full("ok"))))
}

/// Sends bytes, and behind them a plain request that asks for the end of the connection, then reads to the end.
async fn send(bytes: &[u8]) -> Exchange {
    const BEHIND: &[u8] = b"GET /behind HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    exchange(&[bytes, BEHIND].concat(), false).await
}

/// Sends bytes and reads until the server closes the connection. That it does is part of every test.
async fn exchange(bytes: &[u8], hang_up: bool) -> Exchange {
    let got = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (trigger, watcher) = drain();
    let mut limits = ServeLimits::default();
    limits.request_head = Duration::from_secs(30);
    let service = {
        let got = Arc::clone(&got);
        tower::service_fn(move |request| answer(request, Arc::clone(&got)))
    };
    let server = tokio::spawn(
        Server::new()
            .limits(limits)
            .drain(watcher)
            .serve(listener, service),
    );
    let (mut read, mut write) = TcpStream::connect(address)
        .await
        .expect("it listens")
        .into_split();
    let bytes = bytes.to_vec();
    let writer = tokio::spawn(async move {
        // The server may hang up in the middle, which is an answer, too.
        let written = write.write_all(&bytes).await;
        if hang_up && written.is_ok() {
            write.shutdown().await.expect("the connection is open");
        }
        write
    });
    let mut answer = Vec::new();
    let read_to_end = timeout(Duration::from_secs(10), read.read_to_end(&mut answer)).await;
    let shown = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        read_to_end.is_ok(),
        "the connection was not closed within 10 s; so far it said {shown:?}"
    );
    drop(writer.await.expect("no panic"));
    trigger.start();
    server.await.expect("no panic");
    let got = got.lock().expect("no panic").clone();
    Exchange { got, answer: shown }
}

fn head(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

fn post(fields: &str, body: &str) -> Vec<u8> {
    [head("POST /main HTTP/1.1", fields), body.as_bytes().to_vec()].concat()
}

fn chunked(body: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", body)
}

#[tokio::test]
async fn well_formed_requests_are_served_one_after_the_other() {
    let exchange = send(&chunked("5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nx-t: 1\r\n\r\n")).await;
    assert_eq!(exchange.targets(), ["/main", "/behind"], "{exchange:?}");
    assert_eq!(exchange.got[0].body, "hello!");
    assert_eq!(exchange.statuses(), ["200", "200"]);
}

#[tokio::test]
async fn lines_that_end_in_lf_alone_are_read_as_one_request() {
    let exchange = send(b"GET /main HTTP/1.1\nHost: a\nX-A: b\n\n").await;
    assert_eq!(exchange.targets(), ["/main", "/behind"], "{exchange:?}");
}

#[tokio::test]
async fn empty_lines_in_front_of_a_request_are_skipped() {
    let exchange = send(b"\r\n\r\nGET /main HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(exchange.targets(), ["/main", "/behind"], "{exchange:?}");
}

#[tokio::test]
async fn a_folded_field_is_refused() {
    for fields in [
        "X-A: b\r\n c\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "X-A: b\r\n\tTransfer-Encoding: chunked\r\n",
    ] {
        let exchange = send(&post(fields, "0\r\n\r\n")).await;
        assert!(exchange.is_refused(), "{fields:?}: {exchange:?}");
    }
    let exchange =
        send(b"POST /main HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n\r\n0\r\n\r\n").await;
    assert!(exchange.is_refused(), "{exchange:?}");
}

#[tokio::test]
async fn a_field_name_that_is_no_token_is_refused() {
    for field in [
        "Transfer-Encoding : chunked",
        "Bad Name: x",
        ": x",
        "X-A",
        "X\0A: b",
        "X-\u{e9}: b",
        "\u{b}X: y",
    ] {
        let exchange = send(&post(&format!("{field}\r\n"), "0\r\n\r\n")).await;
        assert!(exchange.is_refused(), "{field:?}: {exchange:?}");
    }
}

#[tokio::test]
async fn a_control_byte_in_a_value_is_refused() {
    for byte in ["\0", "\r", "\u{1}", "\u{b}", "\u{7f}"] {
        let exchange = send(&head("GET /main HTTP/1.1", &format!("X-A: b{byte}c\r\n"))).await;
        assert!(exchange.is_refused(), "{byte:?}: {exchange:?}");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_falls_and_the_connection_ends() {
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let exchange = send(&post(fields, "2\r\nhi\r\n0\r\n\r\n")).await;
        assert_eq!(
            exchange.got,
            [Got {
                target: "/main".into(),
                body: "hi".into()
            }],
            "{fields:?}: {exchange:?}"
        );
    }
}

#[tokio::test]
async fn a_length_that_is_not_one_number_is_refused() {
    for length in [
        "+2",
        "-1",
        "0x2",
        "2, 3",
        "2,",
        "",
        " ",
        "2 2",
        "18446744073709551618",
        "99999999999999999999999",
    ] {
        let exchange = send(&post(&format!("Content-Length: {length}\r\n"), "hi")).await;
        assert!(exchange.is_refused(), "{length:?}: {exchange:?}");
    }
    let exchange = send(&post("Content-Length: 2\r\nContent-Length: 3\r\n", "hi!")).await;
    assert!(exchange.is_refused(), "{exchange:?}");
    // Two that say the same are one.
    let exchange = send(&post("Content-Length: 2\r\nContent-Length: 2\r\n", "hi")).await;
    assert_eq!(exchange.targets(), ["/main", "/behind"], "{exchange:?}");
}

#[tokio::test]
async fn another_transfer_coding_than_chunked_is_refused() {
    for coding in [
        "xchunked",
        "chunked, identity",
        "identity",
        "gzip, chunked",
        "chunked, chunked",
        "\u{b}chunked",
        "chunked;q=1",
        "",
    ] {
        let exchange = send(&post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n")).await;
        assert!(exchange.is_refused(), "{coding:?}: {exchange:?}");
        let exchange = send(&post(
            &format!("Content-Length: 5\r\nTransfer-Encoding: {coding}\r\n"),
            "0\r\n\r\n",
        ))
        .await;
        assert!(exchange.is_refused(), "{coding:?}: {exchange:?}");
    }
    for (first, second) in [
        ("chunked", "chunked"),
        ("identity", "chunked"),
        ("chunked", "identity"),
    ] {
        let fields = format!("Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}\r\n");
        let exchange = send(&post(&fields, "0\r\n\r\n")).await;
        assert!(exchange.is_refused(), "{fields:?}: {exchange:?}");
    }
}

#[tokio::test]
async fn chunks_in_http_1_0_are_refused() {
    for fields in [
        "Transfer-Encoding: chunked\r\n",
        "Connection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let request = [head("POST /main HTTP/1.0", fields), b"0\r\n\r\n".to_vec()].concat();
        let exchange = send(&request).await;
        assert!(exchange.is_refused(), "{fields:?}: {exchange:?}");
    }
}

#[tokio::test]
async fn a_malformed_chunk_is_never_part_of_a_whole_request() {
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nx : y\r\n\r\n",
    ] {
        let exchange = send(&chunked(body)).await;
        assert!(exchange.is_refused(), "{body:?}: {exchange:?}");
    }
}

#[tokio::test]
async fn a_request_line_of_another_form_is_refused() {
    for line in [
        "GET /main HTTP/1.10",
        "GET /main HTTP/4.7",
        "GET /main HTTP/2.0",
        "GET /main",
        "GET /main http/1.1",
        "GET /admin? HTTP/1.1 /main HTTP/1.1",
        "GET /main\u{1} HTTP/1.1",
        "GET main HTTP/1.1",
        "GET main/x HTTP/1.1",
        "GET ?main HTTP/1.1",
        "G{T /main HTTP/1.1",
        "/main HTTP/1.1",
        "CONNECT a:22 HTTP/1.1",
        "TRACE /main HTTP/1.1",
    ] {
        let exchange = send(&head(line, "")).await;
        assert!(exchange.is_refused(), "{line:?}: {exchange:?}");
    }
}

#[tokio::test]
async fn a_fragment_is_cut_off_the_target() {
    let exchange = send(&head("GET /main?x#/../deny HTTP/1.1", "")).await;
    assert_eq!(exchange.targets(), ["/main?x", "/behind"], "{exchange:?}");
}

#[tokio::test]
async fn a_request_with_no_host_or_several_is_refused() {
    for fields in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: a, b\r\n",
        "Host: u@a\r\n",
        "Host:\r\n",
    ] {
        let exchange = send(format!("GET /main HTTP/1.1\r\n{fields}\r\n").as_bytes()).await;
        assert!(exchange.is_refused(), "{fields:?}: {exchange:?}");
    }
}

#[tokio::test]
async fn a_head_of_a_mebibyte_is_refused() {
    let fields: String = (0..128)
        .map(|i| format!("X-{i}: {}\r\n", "v".repeat(8000)))
        .collect();
    let exchange = exchange(&head("GET /main HTTP/1.1", &fields), false).await;
    assert!(exchange.is_refused(), "{exchange:?}");
}

#[tokio::test]
async fn ten_thousand_fields_are_refused() {
    let fields: String = (0..10_000).map(|i| format!("X-{i}: 1\r\n")).collect();
    let exchange = exchange(&head("GET /main HTTP/1.1", &fields), false).await;
    assert!(exchange.is_refused(), "{exchange:?}");
}

#[tokio::test]
async fn a_target_beyond_its_limit_is_refused() {
    for (length, status) in [(17 * 1024, Some("414")), (100_000, None)] {
        let exchange = exchange(&head(&format!("GET /{} HTTP/1.1", "u".repeat(length)), ""), false).await;
        assert!(exchange.is_refused(), "{exchange:?}");
        if let Some(status) = status {
            assert_eq!(exchange.statuses(), [status]);
        }
    }
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_not_read_as_a_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let fields = format!("Content-Length: {}\r\n", smuggled.len());
    let request = [
        head("POST /a%2fb HTTP/1.1", &fields),
        smuggled.as_bytes().to_vec(),
    ]
    .concat();
    let exchange = send(&request).await;
    assert!(exchange.is_refused(), "{exchange:?}");
    assert_eq!(exchange.statuses(), ["400"]);
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_whole_request() {
    for request in [
        post("Content-Length: 50\r\n", "short"),
        chunked("5\r\nhel"),
        chunked("5\r\nhello\r\n"),
    ] {
        let exchange = exchange(&request, true).await;
        assert!(exchange.is_refused(), "{exchange:?}");
    }
}
