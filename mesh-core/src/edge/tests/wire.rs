//! What hyper makes of bytes before the edge sees them: the edge builds on it.

use std::convert::Infallible;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// Sends bytes to a server behind which the edge stands. Each request that is admitted whole is answered with
/// 200 and its target, host and body, one that the edge refuses with its status.
async fn answers(bytes: &[u8]) -> String {
    let (mut near, far) = duplex(1 << 20);
    let answer = |request: Request<Incoming>| async move {
        let (mut parts, body) = request.into_parts();
        let admitted = admit(&mut parts, &EdgePolicy::default());
        let answer = match (admitted, body.collect().await) {
            (Ok(_), Ok(body)) => {
                let host = parts.headers[HOST].to_str().expect("ASCII");
                let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                Response::new(Full::<Bytes>::from(format!("<{} {host} {body}>", parts.uri)))
            }
            (Ok(_), Err(_)) => Response::builder()
                .status(400)
                .body(Full::default())
                .expect("valid"),
            (Err(error), _) => Response::builder()
                .status(error.http_status())
                .header("connection", "close")
                .body(Full::default())
                .expect("valid"),
        };
        Ok::<_, Infallible>(answer)
    };
    let mut server = hyper::server::conn::http1::Builder::new();
    // The client says at once that it sends no more, and still wants its answers.
    let server = server
        .half_close(true)
        .serve_connection(TokioIo::new(far), service_fn(answer));
    let client = async {
        near.write_all(bytes).await.expect("there is room");
        near.shutdown().await.expect("open");
        let mut got = Vec::new();
        near.read_to_end(&mut got).await.expect("readable");
        String::from_utf8_lossy(&got).into_owned()
    };
    // The server's error is the client's malformed bytes.
    let (_, got) = tokio::join!(server, client);
    got
}

fn is_refused(answers: &str) -> bool {
    answers.is_empty() || answers.starts_with("HTTP/1.1 4") || answers.starts_with("HTTP/1.1 5")
}

#[tokio::test]
async fn a_head_with_odd_bytes_never_gets_in() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{7f}b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{1}b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\nhello",
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/4.7\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ?x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "CONNECT a:22 HTTP/1.1\r\nHost: a:22\r\n\r\n",
        "GET /\u{1}a HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let got = answers(head.as_bytes()).await;
        assert!(is_refused(&got), "{head:?}: {got}");
    }
}

#[tokio::test]
async fn a_body_that_ends_in_two_ways_never_gets_in() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 0",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 5, 6",
        "Content-Length: 5, 5",
        "Content-Length:",
        "Content-Length: 18446744073709551621",
        "Transfer-Encoding: xchunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
    ] {
        let got = answers(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nhello").as_bytes()).await;
        assert!(is_refused(&got), "{fields:?}: {got}");
    }
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(is_refused(&answers(old.as_bytes()).await));
}

#[tokio::test]
async fn broken_chunks_never_get_in() {
    for body in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhel",
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let got = answers(format!("{head}{body}").as_bytes()).await;
        assert!(is_refused(&got), "{body:?}: {got}");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_falls_and_nothing_behind_is_believed() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let got =
            answers(format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n{smuggled}").as_bytes())
                .await;
        assert!(got.contains("</x a >") && !got.contains("smuggled"), "{got}");
    }
}

#[tokio::test]
async fn a_fragment_is_cut() {
    let got = answers(b"GET /a?b#/../deny HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(got.contains("</a?b a >"), "{got}");
    let got = answers(b"GET http://b#/deny HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(got.contains("</ b >"), "{got}");
}

#[tokio::test]
async fn well_formed_requests_get_in_one_after_the_other() {
    let got = answers(
        b"POST /x/../a HTTP/1.1\r\nHost: A.\r\nContent-Length: 2\r\n\r\nhi\
          GET http://B:80/c HTTP/1.1\r\nHost: x\r\n\r\n\
          OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        got.contains("</a a hi>") && got.contains("</c b:80 >") && got.contains("<* a >"),
        "{got}"
    );
}
