//! A server at one end of a pipe, and clients for the other.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_core::accept::Accepted;
use mesh_core::body::Body;
use mesh_core::error::BoxError;
use mesh_core::peer::PeerInfo;
use mesh_core::serve::{ServeLimits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tower::Service;

pub(crate) const LONG: Duration = Duration::from_secs(100_000);

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn server(change: impl FnOnce(&mut ServeLimits)) -> Server {
    let mut limits = ServeLimits::default();
    change(&mut limits);
    Server::new().limits(limits)
}

pub(crate) fn peer(port: u16) -> Arc<PeerInfo> {
    Arc::new(PeerInfo::plaintext(SocketAddr::from(([127, 0, 0, 1], port))))
}

/// A client's end of a connection to `service`. The pipe holds `capacity` bytes each way.
pub(crate) fn open_with<S, B>(server: &Server, capacity: usize, port: u16, service: S) -> DuplexStream
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (near, far) = duplex(capacity);
    let server = server.clone();
    tokio::spawn(async move {
        server
            .serve_connection(Accepted::new(far, peer(port)), service)
            .await
    });
    near
}

pub(crate) fn open<S, B>(server: &Server, service: S) -> DuplexStream
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    open_with(server, 64 * 1024, 1, service)
}

/// Answers everything with `hello`.
pub(crate) fn hello()
-> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    tower::service_fn(async |_: Request<Body>| Ok(Response::new(Body::full("hello"))))
}

/// A body that is fed by hand.
pub(crate) struct Fed(mpsc::UnboundedReceiver<Frame<Bytes>>);

pub(crate) fn fed() -> (mpsc::UnboundedSender<Frame<Bytes>>, Fed) {
    let (feed, fed) = mpsc::unbounded_channel();
    (feed, Fed(fed))
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

pub(crate) fn data(bytes: &'static [u8]) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(bytes))
}

pub(crate) async fn send(io: &mut DuplexStream, text: &str) {
    io.write_all(text.as_bytes())
        .await
        .expect("the connection is open");
}

/// Reads up to and with `end`.
pub(crate) async fn read_until(io: &mut DuplexStream, end: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        let byte = timeout(LONG, io.read_u8()).await.expect("in time");
        got.push(byte.unwrap_or_else(|_| panic!("it ended after {:?}", String::from_utf8_lossy(&got))));
    }
    String::from_utf8(got).expect("text")
}

/// Reads to the end, and tells how long that took.
pub(crate) async fn read_to_end(io: &mut DuplexStream) -> (String, Duration) {
    let began = Instant::now();
    let mut got = Vec::new();
    // A connection that is cut may end with an error as well.
    let _ = timeout(LONG, io.read_to_end(&mut got))
        .await
        .expect("the connection never ended");
    // The clock of the timers has milliseconds.
    let after = Duration::from_millis(began.elapsed().as_millis() as u64 / 10 * 10);
    (String::from_utf8_lossy(&got).into_owned(), after)
}

pub(crate) type Http2 = http2::SendRequest<Body>;

/// An HTTP/2 client whose streams may have `window` bytes under way.
pub(crate) async fn http2(
    io: DuplexStream,
    window: u32,
) -> (Http2, tokio::task::JoinHandle<hyper::Result<()>>) {
    let (send, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .initial_connection_window_size(16 * 1024 * 1024)
        .handshake(TokioIo::new(io))
        .await
        .expect("HTTP/2");
    (send, tokio::spawn(connection))
}

pub(crate) async fn get(send: &mut Http2, path: &str) -> Response<Incoming> {
    let request = Request::get(format!("http://orders{path}"))
        .body(Body::empty())
        .expect("a request");
    timeout(LONG, send.send_request(request))
        .await
        .expect("in time")
        .expect("a response")
}

/// Waits, in virtual time, until `holds`.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came to be that {what}");
}
