use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use mesh_core::body::Body;
use mesh_core::testkit::{NotReadyClone, Scripted, Step};
use mesh_core::{Error, ErrorKind, MeshContext};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tower::service_fn;

use crate::support::{
    data, fed, hello, open, open_with, peer, read_to_end, read_until, seconds, send, server, until,
};

#[tokio::test(start_paused = true)]
async fn an_error_of_the_service_is_answered_as_a_refusal() {
    let fails = service_fn(async |_: Request<Body>| {
        Err::<Response<Body>, _>(Error::new(ErrorKind::NoRoute, "nothing matches"))
    });
    let mut io = open(&server(|_| {}), fails);
    for (method, fields, status, code) in [
        ("GET", "", "HTTP/1.1 404 ", "x-mesh-error: no_route"),
        // Calls are POST.
        (
            "GET",
            "content-type: application/grpc\r\n",
            "HTTP/1.1 404 ",
            "x-mesh-error: no_route",
        ),
        (
            "POST",
            "content-type: application/grpc\r\ncontent-length: 0\r\n",
            "HTTP/1.1 200 ",
            "grpc-status: 12",
        ),
    ] {
        send(
            &mut io,
            &format!("{method} / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"),
        )
        .await;
        let head = read_until(&mut io, "\r\n\r\n").await;
        assert!(head.starts_with(status) && head.contains(code), "{head}");
        if status.contains("404") {
            read_until(&mut io, "}\n").await;
        }
    }
}

#[derive(Clone)]
struct NeverReady;

impl tower::Service<Request<Body>> for NeverReady {
    type Response = Response<Body>;
    type Error = Error;
    type Future = std::future::Ready<Result<Response<Body>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Err(Error::new(ErrorKind::Overloaded, "full")))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        panic!("called though it is not ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_be_ready_refuses_the_request() {
    let mut io = open(&server(|_| {}), NeverReady);
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(
        read_until(&mut io, "\r\n\r\n")
            .await
            .contains("x-mesh-error: overloaded")
    );
}

#[tokio::test(start_paused = true)]
async fn the_service_that_is_called_is_the_one_that_was_ready() {
    let steps = (0..3).map(|_| Step::AnswerAfter(seconds(1), ()));
    let (service, calls) = Scripted::<Request<Body>, (), Infallible>::new(steps);
    let service = tower::ServiceBuilder::new()
        .map_response(|()| Response::new(Body::full("hello")))
        .service(NotReadyClone::new(service));
    let mut io = open(&server(|_| {}), service);
    for _ in 0..3 {
        send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        read_until(&mut io, "hello").await;
    }
    assert_eq!(calls.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_context_tells_the_peer_and_when_the_head_was_whole() {
    let tells = service_fn(async |request: Request<Body>| {
        let context = request
            .extensions()
            .get::<MeshContext>()
            .expect("set by the server");
        let peer = context.peer.as_ref().expect("known").address.port();
        let waited = context.received.elapsed().as_secs();
        Ok::<_, Infallible>(Response::new(Body::full(format!("{peer} {waited}."))))
    });
    let mut io = open_with(&server(|_| {}), 1024, 7, tells);
    send(&mut io, "GET / HTTP/1.1\r\n").await;
    sleep(seconds(5)).await;
    send(&mut io, "host: a\r\n\r\n").await;
    assert!(read_until(&mut io, ".").await.len() > 3);
    assert_eq!(peer(7).address.port(), 7);
    let got = read_until_after(&mut io).await;
    assert!(got.ends_with("7 0."), "{got}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_until_the_answer_before_is_read_begins_then() {
    let tells = service_fn(async |request: Request<Body>| {
        let context = request
            .extensions()
            .get::<MeshContext>()
            .expect("set by the server");
        let waited = context.received.elapsed().as_secs();
        Ok::<_, Infallible>(Response::new(Body::full(match request.uri().path() {
            "/long" => "x".repeat(64 * 1024),
            _ => format!("waited {waited} s."),
        })))
    });
    let mut io = open_with(&server(|_| {}), 1024, 7, tells);
    send(&mut io, "GET /long HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(seconds(1)).await;
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(seconds(1)).await;
    // Something is read, so that the server looks again.
    let mut some = [0; 4096];
    tokio::io::AsyncReadExt::read_exact(&mut io, &mut some)
        .await
        .expect("open");
    sleep(seconds(20)).await;
    let got = read_until(&mut io, " s.").await;
    assert!(got.ends_with("waited 0 s."), "{}", &got[got.len() - 40..]);
}

async fn read_until_after(io: &mut tokio::io::DuplexStream) -> String {
    send(io, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    read_to_end(io).await.0
}

#[tokio::test(start_paused = true)]
async fn responses_without_a_body_leave_the_connection_usable_and_idle() {
    for (method, status) in [
        ("HEAD", StatusCode::OK),
        ("GET", StatusCode::NO_CONTENT),
        ("GET", StatusCode::NOT_MODIFIED),
    ] {
        let answers = service_fn(move |_: Request<Body>| async move {
            // A body that never ends by itself: none of it may be sent, or waited for.
            let (feed, body) = fed();
            feed.send(data(b"must not be seen")).expect("open");
            tokio::spawn(async move { feed.closed().await });
            let mut response = Response::new(Body::new(body));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        });
        let mut io = open(&server(|_| {}), answers);
        for _ in 0..2 {
            send(&mut io, &format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
            let head = read_until(&mut io, "\r\n\r\n").await;
            assert!(
                head.starts_with(&format!("HTTP/1.1 {}", status.as_u16())),
                "{head}"
            );
        }
        let (rest, after) = read_to_end(&mut io).await;
        assert_eq!((rest.as_str(), after), ("", seconds(60)), "{method} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_drops_the_service_future() {
    let (service, calls) = Scripted::<Request<Body>, Response<Body>, Infallible>::new([Step::Hang]);
    let server = server(|_| {});
    let mut io = open(&server, service);
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until("it is asked", || calls.count() == 1).await;
    drop(io);
    until("the call is given up", || calls.cancelled() == 1).await;
    until("the connection is gone", || server.connections().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_drops_the_response_body() {
    struct Told(Body, Arc<AtomicUsize>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    impl http_body::Body for Told {
        type Data = Bytes;
        type Error = mesh_core::BoxError;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, mesh_core::BoxError>>> {
            std::pin::Pin::new(&mut self.0).poll_frame(cx)
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&dropped);
    let answers = service_fn(move |_: Request<Body>| {
        let (feed, body) = fed();
        tokio::spawn(async move { feed.closed().await });
        std::future::ready(Ok::<_, Infallible>(Response::new(Told(
            Body::new(body),
            Arc::clone(&counter),
        ))))
    });
    let mut io = open(&server(|_| {}), answers);
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut io, "\r\n\r\n").await;
    drop(io);
    until("the body is dropped", || dropped.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_end_of_the_request_body_arrives_and_ends_the_connection() {
    let refuses = service_fn(async |_: Request<Body>| {
        Err::<Response<Body>, _>(Error::new(ErrorKind::RateLimited, "too many"))
    });
    let mut io = open(&server(|_| {}), refuses);
    send(
        &mut io,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nsome",
    )
    .await;
    let (got, after) = read_to_end(&mut io).await;
    assert!(got.starts_with("HTTP/1.1 429 "), "{got}");
    assert_eq!(after, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_large_body_is_echoed_while_it_comes_in() {
    let echo =
        service_fn(async |request: Request<Body>| Ok::<_, Infallible>(Response::new(request.into_body())));
    let (mut read, mut write) = tokio::io::split(open_with(&server(|_| {}), 4096, 1, echo));
    let sending = tokio::spawn(async move {
        write
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\nconnection: close\r\n\r\n")
            .await?;
        for _ in 0..500 {
            write.write_all(&[b'x'; 10_000]).await?;
        }
        std::io::Result::Ok(write)
    });
    let mut got = Vec::new();
    read.read_to_end(&mut got).await.expect("whole");
    let _write = sending.await.expect("no panic").expect("all was taken");
    let body = got.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    assert!(got.starts_with(b"HTTP/1.1 200"));
    assert_eq!(got.len() - body, 5_000_000);
}

#[tokio::test]
async fn a_panic_loses_its_connection_only() {
    let panics = service_fn(async |request: Request<Body>| {
        assert_ne!(request.uri().path(), "/panic", "as asked");
        Ok::<_, Infallible>(Response::new(Body::full("hello")))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = server(|limits| limits.max_connections = 2);
    let connections = server.connections();
    let serving = tokio::spawn(server.serve(listener, panics));
    let mut stays = TcpStream::connect(address).await.expect("open");
    for _ in 0..3 {
        let mut lost = TcpStream::connect(address).await.expect("open");
        lost.write_all(b"GET /panic HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .expect("open");
        let mut got = Vec::new();
        // A close or a reset: it may have been accepted and closed before it was read.
        let _ = lost.read_to_end(&mut got).await;
        assert_eq!(got, b"");
        while connections.len() > 1 {
            tokio::task::yield_now().await;
        }
    }
    stays
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .expect("open");
    let mut got = String::new();
    stays.read_to_string(&mut got).await.expect("answered");
    assert!(got.ends_with("hello"), "{got}");
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let paths = service_fn(async |request: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::full(format!("[{}]", request.uri().path()))))
    });
    let mut io = open(&server(|_| {}), paths);
    send(
        &mut io,
        "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\n",
    )
    .await;
    read_until(&mut io, "[/1]").await;
    read_until(&mut io, "[/2]").await;
    send(&mut io, "\r\n").await;
    read_until(&mut io, "[/3]").await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_server_closes_its_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let serving = tokio::spawn(server(|_| {}).serve(listener, hello()));
    let mut io = TcpStream::connect(address).await.expect("open");
    io.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("open");
    let mut head = [0; 12];
    io.read_exact(&mut head).await.expect("answered");
    serving.abort();
    let _ = serving.await;
    let mut rest = Vec::new();
    tokio::time::timeout(seconds(1), io.read_to_end(&mut rest))
        .await
        .expect("closed")
        .expect("cleanly");
    assert!(rest.ends_with(b"hello"));
}
