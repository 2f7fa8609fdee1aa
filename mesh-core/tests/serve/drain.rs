use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use mesh_core::accept::{Accept, Accepted};
use mesh_core::body::Body;
use mesh_core::drain::drain;
use mesh_core::serve::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;
use tower::service_fn;

use crate::support::{
    LONG, get, hello, http2, open, open_with, peer, read_to_end, read_until, seconds, send, server, until,
};

fn slow() -> impl tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    service_fn(async |_: Request<Body>| {
        sleep(seconds(5)).await;
        Ok(Response::new(Body::full("hello")))
    })
}

#[tokio::test(start_paused = true)]
async fn idle_connections_close_at_once_when_told_to_finish() {
    let server = server(|_| {});
    let mut silent = open(&server, hello());
    let mut used = open(&server, hello());
    send(&mut used, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut used, "hello").await;
    let (mut h2, h2_task) = http2(open(&server, hello()), 65_535).await;
    get(&mut h2, "/")
        .await
        .into_body()
        .collect()
        .await
        .expect("whole");
    assert_eq!(server.connections().finish(|_| true), 3);
    assert_eq!(read_to_end(&mut silent).await, (String::new(), Duration::ZERO));
    assert_eq!(read_to_end(&mut used).await, (String::new(), Duration::ZERO));
    h2_task.await.expect("no panic").expect("a clean end");
    until("all are gone", || server.connections().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_is_answered_and_the_connection_closed() {
    let server = server(|_| {});
    let mut io = open(&server, slow());
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(seconds(1)).await;
    server.connections().finish(|_| true);
    let (got, after) = read_to_end(&mut io).await;
    assert!(
        got.contains("connection: close") && got.ends_with("hello"),
        "{got}"
    );
    assert_eq!(after, seconds(4));
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_head_has_begun_is_served_before_the_connection_ends() {
    let server = server(|_| {});
    let mut fresh = open(&server, hello());
    let mut used = open(&server, hello());
    send(&mut used, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut used, "hello").await;
    for io in [&mut fresh, &mut used] {
        send(io, "GET / HTTP/1.1\r\n").await;
    }
    sleep(seconds(1)).await;
    server.connections().finish(|_| true);
    for io in [&mut fresh, &mut used] {
        send(io, "host: a\r\n\r\n").await;
        let (got, _) = read_to_end(io).await;
        assert!(
            got.contains("connection: close") && got.ends_with("hello"),
            "{got}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn streams_in_flight_end_after_goaway_and_no_new_one_begins() {
    let server = server(|_| {});
    let (mut h2, task) = http2(open(&server, slow()), 65_535).await;
    let mut later = h2.clone();
    let first = tokio::spawn(async move { get(&mut h2, "/").await.into_body().collect().await });
    sleep(seconds(1)).await;
    server.connections().finish(|_| true);
    sleep(seconds(1)).await;
    let request = Request::get("http://orders/")
        .body(Body::empty())
        .expect("a request");
    assert!(later.send_request(request).await.is_err(), "GOAWAY was said");
    let whole = first.await.expect("no panic").expect("whole").to_bytes();
    assert_eq!(whole, "hello");
    task.await.expect("no panic").expect("a clean end");
}

#[tokio::test(start_paused = true)]
async fn only_the_chosen_peer_is_closed_and_the_choice_may_ask_for_the_connections() {
    let server = server(|_| {});
    let mut one = open_with(&server, 1024, 1, slow());
    let mut two = open_with(&server, 1024, 2, slow());
    for io in [&mut one, &mut two] {
        send(io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }
    sleep(seconds(1)).await;
    let connections = server.connections();
    let closed = connections.close(|chosen| connections.len() == 2 && chosen.address == peer(1).address);
    assert_eq!(closed, 1);
    assert_eq!(read_to_end(&mut one).await, (String::new(), Duration::ZERO));
    assert!(read_until(&mut two, "hello").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn serve_returns_once_what_was_in_flight_is_done() {
    let (trigger, watcher) = drain();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(Server::new().drain(watcher).serve(listener, slow()));
    let mut busy = TcpStream::connect(address).await.expect("open");
    let mut idle = TcpStream::connect(address).await.expect("open");
    busy.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("open");
    sleep(seconds(1)).await;
    trigger.start();
    let mut nothing = Vec::new();
    idle.read_to_end(&mut nothing).await.expect("closed");
    assert_eq!(nothing, b"");
    assert!(!server.is_finished());
    let mut got = String::new();
    busy.read_to_string(&mut got).await.expect("answered");
    assert!(got.ends_with("hello"), "{got}");
    server.await.expect("no panic");
    assert!(TcpStream::connect(address).await.is_err(), "the listener is gone");
}

struct Handshake(Arc<Notify>);

impl Accept for Handshake {
    type Io = TcpStream;

    async fn accept(&self, stream: TcpStream, remote: SocketAddr) -> io::Result<Accepted<TcpStream>> {
        self.0.notified().await;
        Ok(Accepted::new(stream, peer(remote.port())))
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_handshake_outlasts_the_start_of_a_drain_ends_too() {
    let (trigger, watcher) = drain();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let shaken = Arc::new(Notify::new());
    let server = Server::accepting(Handshake(Arc::clone(&shaken))).drain(watcher);
    let server = tokio::spawn(server.serve(listener, hello()));
    let mut io = TcpStream::connect(address).await.expect("open");
    sleep(seconds(1)).await;
    trigger.start();
    sleep(seconds(1)).await;
    let began = tokio::time::Instant::now();
    shaken.notify_one();
    let mut got = Vec::new();
    io.read_to_end(&mut got).await.expect("closed");
    server.await.expect("no panic");
    assert_eq!(got, b"");
    assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_takes_too_long_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(Server::accepting(Handshake(Arc::default())).serve(listener, hello()));
    let mut io = TcpStream::connect(address).await.expect("open");
    let began = tokio::time::Instant::now();
    io.read_to_end(&mut Vec::new()).await.expect("closed");
    assert!(
        (seconds(9)..seconds(11)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    server.abort();
}

#[tokio::test]
async fn beyond_the_limit_new_connections_are_closed_until_one_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = server(|limits| limits.max_connections = 1);
    let connections = server.connections();
    let serving = tokio::spawn(server.serve(listener, hello()));
    let mut first = TcpStream::connect(address).await.expect("open");
    first
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("open");
    let mut head = [0; 12];
    first.read_exact(&mut head).await.expect("answered");
    assert_eq!(&head, b"HTTP/1.1 200");
    let mut second = TcpStream::connect(address).await.expect("the system accepts it");
    let mut got = Vec::new();
    // It is closed without a word; what it said before makes that a reset.
    let _ = second.read_to_end(&mut got).await;
    assert_eq!(got, b"");
    drop(first);
    while !connections.is_empty() {
        tokio::task::yield_now().await;
    }
    let third = async {
        loop {
            let mut io = TcpStream::connect(address).await.expect("open");
            let mut head = [0; 12];
            if io.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.is_ok()
                && io.read_exact(&mut head).await.is_ok()
            {
                return head;
            }
        }
    };
    let head = tokio::time::timeout(LONG, third)
        .await
        .expect("there is room again");
    assert_eq!(&head, b"HTTP/1.1 200");
    serving.abort();
}

/// Two orders, one after the other: the second has to wake the connection too.
#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_finish_is_closed_as_soon_as_that_is_asked_for() {
    let server = server(|_| {});
    let mut io = open(
        &server,
        tower::service_fn(async |_| {
            std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>().await
        }),
    );
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(seconds(1)).await;
    assert_eq!(server.connections().finish(|_| true), 1);
    sleep(seconds(1)).await;
    assert_eq!(server.connections().close(|_| true), 1);
    let (rest, after) = read_to_end(&mut io).await;
    assert_eq!((rest.as_str(), after), ("", seconds(0)));
}
