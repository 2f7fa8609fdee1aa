//! Connections of every kind, to a server that answers, never ends an answer, or becomes a tunnel.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_core::body::Body;
use mesh_core::connect::{Connect as _, HttpProtocol};
use mesh_core::serve::Server;
use mesh_core::{BoxError, Endpoint, SpiffeId};
use mesh_tls::{Identity, MeshStream, TlsConnect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, interval};

use crate::authority::TestAuthority;
use crate::clock::TokioClock;

pub(crate) fn id(service: &str) -> SpiffeId {
    SpiffeId::of_service("cluster.local", "dept-barc", service).expect("valid parts")
}

pub(crate) async fn identity(
    authority: &TestAuthority,
    clock: &TokioClock,
    service: &str,
    ttl: Duration,
) -> Identity {
    let builder = Identity::builder(id(service))
        .authority(authority.clone())
        .ttl(ttl);
    builder.clock(clock.clone()).start().await.expect("an identity")
}

/// A body that says something every second and never ends.
struct Endless(Interval);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0
            .poll_tick(cx)
            .map(|_| Some(Ok(Frame::data(Bytes::from_static(b"tick")))))
    }
}

async fn answer(mut request: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(match request.uri().path() {
        "/endless" => Response::new(Body::boxed(Box::pin(Endless(interval(Duration::from_secs(1)))))),
        "/tunnel" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut read, mut write) = split(TokioIo::new(upgrade.await.expect("upgraded")));
                // It echoes until either side ends.
                let _ = copy(&mut read, &mut write).await;
            });
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert("connection", "upgrade".parse().expect("a value"));
            headers.insert("upgrade", "echo".parse().expect("a value"));
            response
        }
        _ => Response::new(Body::full("hello")),
    })
}

/// Serves by this identity, over TLS.
pub(crate) async fn serve(identity: &Identity) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("bound");
    let server = Server::accepting(identity.accept());
    tokio::spawn(server.serve(listener, tower::service_fn(answer)));
    address
}

pub(crate) async fn connect(connect: &TlsConnect, address: SocketAddr) -> MeshStream {
    let connected = connect.connect(&Endpoint::new(address.into())).await;
    connected.expect("connected").io
}

/// HTTP/1.1 only.
pub(crate) fn http1(identity: &Identity, to: &str) -> TlsConnect {
    identity.connect_to(id(to)).with_protocols([HttpProtocol::Http1])
}

/// Sends a request by hand and reads until this has come.
pub(crate) async fn ask(io: &mut MeshStream, path: &str, until: &str) {
    let upgrade = match path {
        "/tunnel" => "connection: upgrade\r\nupgrade: echo\r\n",
        _ => "",
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: orders\r\n{upgrade}\r\n");
    io.write_all(request.as_bytes()).await.expect("sent");
    io.flush().await.expect("sent");
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(until) {
        read.push(io.read_u8().await.expect("an answer"));
    }
}

/// Says something through a tunnel and hears it again.
pub(crate) async fn echoes(tunnel: &mut MeshStream) -> bool {
    let said = async {
        tunnel.write_all(b"echo").await?;
        tunnel.flush().await?;
        let mut heard = [0; 4];
        tunnel.read_exact(&mut heard).await?;
        Ok::<_, std::io::Error>(&heard == b"echo")
    };
    said.await.unwrap_or(false)
}

/// Reads until the other side has closed, and tells when.
pub(crate) fn until_closed(mut io: MeshStream) -> JoinHandle<Instant> {
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while io.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
        Instant::now()
    })
}

/// An HTTP/2 connection with an answer under way that never ends. Gives when the answer broke off, and when the
/// connection ended.
pub(crate) async fn http2_endless(io: MeshStream) -> (JoinHandle<Instant>, JoinHandle<Instant>) {
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .expect("HTTP/2");
    let connection = tokio::spawn(async move {
        let _ = connection.await;
        Instant::now()
    });
    let request = Request::get("https://orders/endless")
        .body(Body::empty())
        .expect("a request");
    let mut body = send.send_request(request).await.expect("an answer").into_body();
    body.frame().await.expect("something").expect("a frame");
    let body = tokio::spawn(async move {
        let _send = send;
        while let Some(Ok(_)) = body.frame().await {}
        assert!(!body.is_end_stream(), "broken off, not ended");
        Instant::now()
    });
    (body, connection)
}

/// An HTTP/2 connection at rest. Gives when it ended.
pub(crate) async fn http2_idle(io: MeshStream) -> JoinHandle<Instant> {
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .expect("HTTP/2");
    let connection = tokio::spawn(async move {
        let _ = connection.await;
        Instant::now()
    });
    let request = Request::get("https://orders/")
        .body(Body::empty())
        .expect("a request");
    let body = send.send_request(request).await.expect("an answer").into_body();
    assert_eq!(body.collect().await.expect("whole").to_bytes(), "hello");
    tokio::spawn(async move {
        let _send = send;
        connection.await.expect("it ran")
    })
}
