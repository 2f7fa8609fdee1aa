use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use mesh_core::accept::Accepted;
use mesh_core::body::Body;
use mesh_core::testkit::{Scripted, Step};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, sleep, timeout};
use tower::service_fn;

use crate::support::{
    LONG, data, fed, get, hello, http2, open, open_with, peer, seconds, send, server, until,
};

/// `/still` has more than any window holds, `/moves` says something each second.
async fn two_kinds(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let (feed, fed) = fed();
    if request.uri().path() == "/still" {
        for _ in 0..100 {
            feed.send(data(&[b'x'; 10_000])).expect("open");
        }
    } else {
        tokio::spawn(async move {
            while feed.send(data(b".")).is_ok() {
                sleep(seconds(1)).await;
            }
        });
    }
    Ok(Response::new(Body::new(fed)))
}

#[tokio::test(start_paused = true)]
async fn a_stream_the_client_does_not_read_is_reset_and_the_others_go_on() {
    let (mut h2, _task) = http2(open(&server(|_| {}), service_fn(two_kinds)), 65_535).await;
    let mut still = get(&mut h2, "/still").await.into_body();
    let mut moves = get(&mut h2, "/moves").await.into_body();
    let began = Instant::now();
    while began.elapsed() < seconds(200) {
        timeout(seconds(2), moves.frame())
            .await
            .expect("it moves")
            .expect("on")
            .expect("well");
    }
    let mut got = 0;
    let error = loop {
        match still.frame().await.expect("it did not end") {
            Ok(frame) => got += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => break error,
        }
    };
    assert!(got <= 65_535, "{got}");
    let source = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<h2::Error>());
    assert!(source.is_some_and(h2::Error::is_reset), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_given_whole_and_read_slowly_is_not_taken_for_an_idle_connection() {
    let big = service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::full(Bytes::from(vec![b'x'; 300_000]))))
    });
    let io = open_with(&server(|_| {}), 1024 * 1024, 1, big);
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(1000)
        .handshake::<_, Bytes>(io)
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let mut send = send.ready().await.expect("ready");
    let request = Request::get("http://orders/").body(()).expect("a request");
    let (response, _) = send.send_request(request, true).expect("sent");
    let mut body = response.await.expect("answered").into_body();
    let mut got = 0;
    while got < 300_000 {
        let chunk = body
            .data()
            .await
            .unwrap_or_else(|| panic!("it ended after {got}"))
            .expect("it was cut");
        got += chunk.len();
        sleep(seconds(1)).await;
        body.flow_control()
            .release_capacity(chunk.len())
            .expect("released");
    }
    assert_eq!(got, 300_000);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_stream_is_closed_after_keep_alive() {
    let (mut h2, task) = http2(open(&server(|_| {}), hello()), 65_535).await;
    // The preface is no head: it has no more than keep-alive to follow.
    sleep(seconds(50)).await;
    get(&mut h2, "/")
        .await
        .into_body()
        .collect()
        .await
        .expect("whole");
    let began = Instant::now();
    let _ = timeout(LONG, task).await.expect("it is closed");
    assert!(
        (seconds(60)..seconds(61)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_preface_that_never_ends_is_cut_as_a_head_is() {
    let mut io = open(&server(|_| {}), hello());
    send(&mut io, "PRI * HTTP/2.0\r\n").await;
    assert_eq!(crate::support::read_to_end(&mut io).await.1, seconds(10));
}

#[tokio::test(start_paused = true)]
async fn a_stream_the_client_resets_drops_the_service_future() {
    let (service, calls) =
        Scripted::<Request<Body>, Response<Body>, Infallible>::new([Step::Hang, Step::Hang]);
    let (mut h2, _task) = http2(open(&server(|_| {}), service), 65_535).await;
    let request = Request::get("http://orders/")
        .body(Body::empty())
        .expect("a request");
    assert!(timeout(seconds(1), h2.send_request(request)).await.is_err());
    until("the call is given up", || calls.cancelled() == 1).await;
    assert_eq!(calls.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_streams_run_at_once_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let counting = service_fn(move |_: Request<Body>| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            now.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let (h2, _task) = http2(open(&server(|limits| limits.max_streams = 3), counting), 65_535).await;
    // The first tells the client the limit.
    get(&mut h2.clone(), "/").await;
    let requests = (0..10).map(|_| {
        let mut h2 = h2.clone();
        tokio::spawn(async move { get(&mut h2, "/").await.status() })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.expect("no panic"), 200);
    }
    assert_eq!(seen.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_panic_loses_its_stream_only() {
    let panics = service_fn(async |request: Request<Body>| {
        assert_ne!(request.uri().path(), "/panic", "as asked");
        Ok::<_, Infallible>(Response::new(Body::full("hello")))
    });
    let (mut h2, _task) = http2(open(&server(|_| {}), panics), 65_535).await;
    let request = Request::get("http://orders/panic")
        .body(Body::empty())
        .expect("a request");
    assert!(h2.send_request(request).await.is_err());
    let whole = get(&mut h2, "/")
        .await
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    assert_eq!(whole, "hello");
}

#[tokio::test(start_paused = true)]
async fn trailers_come_in_and_go_out() {
    let echo =
        service_fn(async |request: Request<Body>| Ok::<_, Infallible>(Response::new(request.into_body())));
    let (mut h2, _task) = http2(open(&server(|_| {}), echo), 65_535).await;
    let (feed, fed) = fed();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    trailers.insert("x-source-service", "forged".parse().expect("a value"));
    feed.send(data(b"hello")).expect("open");
    feed.send(http_body::Frame::trailers(trailers)).expect("open");
    drop(feed);
    let request = Request::post("http://orders/")
        .body(Body::new(fed))
        .expect("a request");
    let whole = h2
        .send_request(request)
        .await
        .expect("answered")
        .into_body()
        .collect()
        .await
        .expect("whole");
    let got = whole.trailers().expect("there are trailers");
    assert_eq!(got["grpc-status"], "0");
    assert_eq!(got.len(), 1, "the mesh's own fields are not for clients to send");
}

/// Counts what is written to a pipe.
struct Counting {
    io: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn what_several_streams_are_answered_at_once_is_one_write() {
    let (near, far) = duplex(64 * 1024);
    let writes = Arc::<AtomicUsize>::default();
    let counting = Counting {
        io: far,
        writes: Arc::clone(&writes),
    };
    let together = service_fn(async |_: Request<Body>| {
        sleep(seconds(1)).await;
        Ok::<_, Infallible>(Response::new(Body::full(vec![b'x'; 1024])))
    });
    let server = server(|_| {});
    tokio::spawn(async move {
        let accepted = Accepted::new(counting, peer(1));
        server.serve_connection(accepted, together).await;
    });
    let (client, connection) = h2::client::handshake(near).await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut client = client.ready().await.expect("open");
    let request = || Request::get("http://a/").body(()).expect("a request");
    let answers: Vec<_> = (0..8)
        .map(|_| client.send_request(request(), true).expect("open").0)
        .collect();
    // The handshake is over, and all of them wait.
    sleep(seconds(1) / 2).await;
    let before = writes.load(Ordering::Relaxed);
    for answer in answers {
        let mut body = answer.await.expect("answered").into_body();
        let mut length = 0;
        while let Some(data) = body.data().await {
            length += data.expect("whole").len();
        }
        assert_eq!(length, 1024);
    }
    assert_eq!(writes.load(Ordering::Relaxed) - before, 1);
}
