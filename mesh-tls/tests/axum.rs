//! `axum::serve` on a listener that does the handshakes.
#![cfg(feature = "axum")]

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use mesh_core::connect::{Connect, HttpProtocol};
use mesh_core::edge::EdgeLayer;
use mesh_core::{Endpoint, SpiffeId};
use mesh_tls::axum::with_peer;
use mesh_tls::{Identity, LocalCa};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceBuilder;

fn id(service: &str) -> SpiffeId {
    SpiffeId::of_service("cluster.local", "dept-barc", service).expect("valid parts")
}

async fn identity(ca: &LocalCa, service: &str) -> Identity {
    Identity::builder(id(service))
        .authority(ca.clone())
        .start()
        .await
        .expect("an identity")
}

async fn source(headers: HeaderMap) -> String {
    format!("{:?} {:?}", headers["x-source-service"], headers["x-mesh-mtls"])
}

#[tokio::test]
async fn an_application_of_axum_serve_knows_its_peers_and_nobody_else_gets_in() {
    let ca = LocalCa::in_memory("cluster.local").expect("a CA");
    let (orders, frontend) = (identity(&ca, "orders").await, identity(&ca, "frontend").await);
    let app = Router::new().route("/", get(source));
    let app = ServiceBuilder::new()
        .layer(EdgeLayer::new("orders".parse().expect("a name")))
        .service(app);
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("bound");
    let serving = tokio::spawn(async move { axum::serve(orders.listen(socket), with_peer(app)).await });

    // Somebody who never finishes the handshake is in nobody's way.
    let _half_open = TcpStream::connect(address).await.expect("open");
    let connect = frontend
        .connect_to(id("orders"))
        .with_protocols([HttpProtocol::Http1]);
    let mut io = connect
        .connect(&Endpoint::new(address.into()))
        .await
        .expect("connected")
        .io;
    let request = "GET / HTTP/1.1\r\nhost: orders\r\nx-source-service: admin\r\nconnection: close\r\n\r\n";
    io.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    io.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with(r#""frontend" "true""#), "{answer}");

    let mut plain = TcpStream::connect(address).await.expect("open");
    plain.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A TLS alert, or a reset: never an answer.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    serving.abort();
}
