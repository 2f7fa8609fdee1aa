//! Compression around a service, read again by decoders that are not its encoders.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use flate2::write::GzDecoder;
use http::{HeaderMap, Method, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::testkit::NotReadyClone;
use mesh_traffic::CompressionLayer;
use mesh_traffic::compression::{Accepted, CompressedBody, CompressionRule};
use tokio::sync::mpsc;
use tower::{Layer, Service, ServiceExt, service_fn};

const SIZE: usize = 8 << 20;

/// Text that repeats itself only in part.
fn text(size: usize) -> Bytes {
    let mut text = Vec::with_capacity(size + 64);
    let mut seed = 1_u64;
    while text.len() < size {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.extend_from_slice(
            format!("{{ \"sample\": {}, \"read\": \"{seed:x}\" }}\n", seed % 97).as_bytes(),
        );
    }
    text.truncate(size);
    text.into()
}

fn accepted(accepts: &str) -> Accepted {
    let fields = HeaderMap::from_iter([(http::header::ACCEPT_ENCODING, accepts.parse().expect("a value"))]);
    Accepted::of(&Method::GET, &fields).expect("not HEAD")
}

fn response(fields: &[(&str, &str)], body: Body) -> Response<Body> {
    let response = fields
        .iter()
        .fold(Response::builder(), |response, (name, value)| {
            response.header(*name, *value)
        });
    response.body(body).expect("a response")
}

fn compressed(accepts: &str, response: Response<Body>) -> Response<CompressedBody<Body>> {
    CompressionRule::default().compress(&accepted(accepts), response)
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes)
        .read_to_end(&mut text)
        .expect("well-formed");
    text
}

/// Frames that come one after another, perhaps each after a pause.
struct Frames {
    left: VecDeque<Result<Frame<Bytes>, &'static str>>,
    pauses: bool,
    paused: bool,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.paused = self.pauses && !self.paused;
        if self.paused {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.left.pop_front())
    }
}

fn paused(frames: impl IntoIterator<Item = Result<Frame<Bytes>, &'static str>>) -> Body {
    Body::new(Frames {
        left: frames.into_iter().collect(),
        pauses: true,
        paused: false,
    })
}

#[tokio::test]
async fn eight_mebibytes_are_the_same_once_they_are_decoded() {
    let text = text(SIZE);
    // In one piece; in pieces; in pieces with pauses.
    let pieces = || {
        text.chunks(70_001)
            .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
    };
    let whole = Body::full(text.clone());
    let flowing = Body::new(Frames {
        left: pieces().collect(),
        pauses: false,
        paused: false,
    });
    for (name, body) in [
        ("whole", whole),
        ("flowing", flowing),
        ("paused", paused(pieces())),
    ] {
        let fields = [("content-type", "application/json"), ("accept-ranges", "bytes")];
        let response = compressed("gzip", response(&fields, body));
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert!(!response.headers().contains_key("accept-ranges"));
        let sent = response.into_body().collect().await.expect("whole").to_bytes();
        assert!(sent.len() < SIZE / 2, "{name}: {}", sent.len());
        assert!(decoded(&sent) == text, "{name}");
    }
}

/// Frames that are sent while the body is read.
struct Sent(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[tokio::test]
async fn each_piece_of_a_stream_arrives_before_the_next_is_there() {
    let (send, pieces) = mpsc::unbounded_channel();
    let fields = [("content-type", "application/x-ndjson")];
    let response = compressed("gzip", response(&fields, Body::new(Sent(pieces))));
    let mut body = std::pin::pin!(response.into_body());
    let mut client = GzDecoder::new(Vec::new());
    let mut expected = Vec::new();
    for number in 0..20 {
        let piece = format!("{{ \"event\": {number} }}\n");
        expected.extend_from_slice(piece.as_bytes());
        send.send(piece.into()).expect("it is read");
        let cx = &mut Context::from_waker(Waker::noop());
        while let Poll::Ready(frame) = body.as_mut().poll_frame(cx) {
            let data = frame.expect("not over").expect("no error").into_data();
            client.write_all(&data.expect("data")).expect("well-formed");
        }
        client.flush().expect("well-formed");
        assert_eq!(
            String::from_utf8_lossy(client.get_ref()),
            String::from_utf8_lossy(&expected)
        );
    }
}

#[tokio::test]
async fn what_must_stay_as_it_is_or_gains_nothing_is_left_alone() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    let long = || Body::full(text(2000));
    let alone: [(&str, Response<Body>); 16] = [
        ("encoded", response(&[JSON, ("content-encoding", "br")], long())),
        (
            "identity",
            response(&[JSON, ("content-encoding", "identity")], long()),
        ),
        (
            "no-transform",
            response(&[JSON, ("cache-control", "public, No-Transform")], long()),
        ),
        (
            "a range",
            response(&[JSON, ("content-range", "bytes 0-1999/5000")], long()),
        ),
        (
            "content-digest",
            response(&[JSON, ("content-digest", "sha-256=:AA==:")], long()),
        ),
        (
            "repr-digest",
            response(&[JSON, ("repr-digest", "sha-256=:AA==:")], long()),
        ),
        ("content-md5", response(&[JSON, ("content-md5", "AA==")], long())),
        (
            "events",
            response(&[("content-type", "text/event-stream")], long()),
        ),
        ("gRPC", response(&[("content-type", "application/grpc")], long())),
        ("an image", response(&[("content-type", "image/png")], long())),
        ("unknown", response(&[], long())),
        ("short", response(&[JSON], Body::full(text(1023)))),
        (
            "said to be short",
            response(
                &[JSON, ("content-length", "1023")],
                paused([Ok(Frame::data(text(1023)))]),
            ),
        ),
        ("empty", response(&[JSON], Body::empty())),
        ("a part", status(206, response(&[JSON], long()))),
        (
            "not modified",
            status(304, response(&[JSON, ("etag", "\"1\"")], paused([]))),
        ),
    ];
    for (name, response) in alone {
        let fields = response.headers().clone();
        let response = compressed("gzip, br", response);
        assert_eq!(*response.headers(), fields, "{name}");
        response.into_body().collect().await.expect("whole");
    }
    let response = compressed("gzip, br", response(&[JSON], Body::full(text(1024))));
    assert_eq!(response.headers()["content-encoding"], "gzip");
}

fn status(status: u16, mut response: Response<Body>) -> Response<Body> {
    *response.status_mut() = status.try_into().expect("a status");
    response
}

#[tokio::test]
async fn the_client_chooses_and_caches_are_told_that_it_does() {
    for (accepts, encoding) in [
        ("gzip", Some("gzip")),
        ("br, gzip;q=0.1", Some("gzip")),
        ("GZIP", Some("gzip")),
        ("gzip;q=0", None),
        ("identity", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("br, deflate, zstd", None),
        ("gzip;q=nonsense", None),
        ("", None),
    ] {
        let fields = [
            ("content-type", "text/html"),
            ("vary", "origin"),
            ("etag", "\"v1\""),
        ];
        let response = compressed(accepts, response(&fields, Body::full(text(5000))));
        let fields = response.headers();
        let told = fields
            .get("content-encoding")
            .map(|value| value.to_str().expect("text"));
        assert_eq!(told, encoding, "{accepts}");
        let vary: Vec<_> = fields.get_all("vary").iter().collect();
        assert_eq!(vary, ["origin", "accept-encoding"], "{accepts}");
        let tag = if encoding.is_some() { "W/\"v1\"" } else { "\"v1\"" };
        assert_eq!(fields["etag"], tag, "{accepts}");
        let sent = response.into_body().collect().await.expect("whole").to_bytes();
        let got = encoding.map_or_else(|| sent.to_vec(), |_| decoded(&sent));
        assert!(got == text(5000), "{accepts}");
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_passed_off_as_whole_and_trailers_come_last() {
    let fields = [("content-type", "text/plain")];
    let broken = paused([Ok(Frame::data(text(5000))), Err("the connection broke")]);
    let response_of = |body| compressed("gzip", response(&fields, body));
    let error = response_of(broken)
        .into_body()
        .collect()
        .await
        .expect_err("it broke");
    assert_eq!(error.to_string(), "the connection broke");

    let trailers = HeaderMap::from_iter([("x-sum".parse().expect("a name"), "7".parse().expect("a value"))]);
    let whole = paused([Ok(Frame::data(text(5000))), Ok(Frame::trailers(trailers.clone()))]);
    let collected = response_of(whole).into_body().collect().await.expect("whole");
    assert_eq!(collected.trailers(), Some(&trailers));
    assert!(decoded(&collected.to_bytes()) == text(5000));
}

#[tokio::test]
async fn the_length_of_head_is_that_of_the_plain_body() {
    let inner = service_fn(async |_: Request<Body>| {
        let fields = [("content-type", "text/html"), ("content-length", "5000")];
        Ok::<_, Infallible>(response(&fields, paused([])))
    });
    let request = Request::head("/")
        .header("accept-encoding", "gzip")
        .body(Body::empty());
    let service = CompressionLayer::default().layer(inner);
    let answer = service
        .oneshot(request.expect("a request"))
        .await
        .expect("an answer");
    assert_eq!(answer.headers()["content-length"], "5000");
    assert!(!answer.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn the_clone_that_was_ready_is_the_one_that_is_called() {
    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut service = CompressionLayer::default().layer(NotReadyClone::new(inner));
    for _ in 0..3 {
        let ready = service.ready().await.expect("ready");
        let response = ready.call(Request::new(Body::empty())).await.expect("an answer");
        assert_eq!(response.status(), 200);
    }
}
