//! Over a socket: what the service answers, and how it ends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sample_service::{Instance, router, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(30);

async fn start(limit: Duration) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel();
    let stopped = async move { stopped.await.expect("told before it is dropped") };
    let service = router(Instance {
        name: "first".into(),
        version: "v1".into(),
    });
    (
        address,
        stop,
        tokio::spawn(serve(listener, service, stopped, limit)),
    )
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("listening");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(LONG, stream.read_to_string(&mut text)).await;
    read.expect("ends in time").expect("text");
    text
}

#[tokio::test]
async fn a_request_in_flight_is_finished_after_the_stop_and_closes_its_connection() {
    let (address, stop, ended) = start(LONG).await;
    let mut stream = send(
        address,
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
    )
    .await;
    // The head of the answer proves that the request is in flight.
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.expect("answered");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stop.send(()).expect("serving");
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, refused)
        .await
        .expect("no new connections");
    stream.write_all(b"world").await.expect("still open");
    assert!(
        rest(stream).await.ends_with("\r\n\r\nhelloworld"),
        "the whole body, then the end of the connection"
    );
    ended.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn an_answer_after_the_stop_says_that_the_connection_closes() {
    let (address, stop, ended) = start(LONG).await;
    let mut stream = send(
        address,
        "POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    )
    .await;
    // Asked to continue: the service reads the body.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.expect("asked for the body");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stop.send(()).expect("serving");
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"body").await.expect("still open");
    let answer = rest(stream).await.to_ascii_lowercase();
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with("4\n"), "{answer}");
    ended.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn what_takes_longer_than_the_limit_is_cut_and_reported() {
    let (address, stop, ended) = start(Duration::from_millis(50)).await;
    let mut stream = send(
        address,
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
    )
    .await;
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.expect("answered");
    stop.send(()).expect("serving");
    let error = ended
        .await
        .expect("no panic")
        .expect_err("half a body is in flight");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_delay_beyond_the_longest_is_refused() {
    let (address, _stop, _serving) = start(LONG).await;
    let answer = rest(
        send(
            address,
            "GET /delay/60001 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await,
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("at most 60000 ms\n"), "{answer}");
}
