//! What a connection at rest takes of the heap.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mesh_core::body::Body;
use mesh_core::serve::Server;
use mesh_tls::{IssuedCert, KeyType, PrivateKey, pem};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::HEAP;
use crate::clients::{self, Protocol};
use crate::sides::{World, issue, raw_acceptor};

/// So many connections rest at once.
const CONNECTIONS: usize = 2_000;

pub(crate) fn compare(runtime: &Runtime, world: &World) {
    let folder = tempfile::tempdir().expect("a folder");
    let (key, server) = runtime.block_on(write_certificates(folder.path(), world));
    println!("connection at rest after a request                  bytes   × tokio-rustls and hyper");
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let raw = |listener| {
            let acceptor = raw_acceptor(&world.bundle, &server, key.expose_secret().clone_key());
            tokio::spawn(serve_raw(listener, acceptor));
        };
        let mesh = |listener| {
            let server = Server::accepting(world.orders.accept());
            tokio::spawn(server.serve(listener, tower::service_fn(answer)));
        };
        let of_raw = bytes(folder.path(), protocol, 1, raw);
        for (name, bytes) in [
            ("tokio-rustls and hyper", of_raw),
            ("mesh, all of one client", bytes(folder.path(), protocol, 1, mesh)),
            (
                "mesh, each of another",
                bytes(folder.path(), protocol, CONNECTIONS, mesh),
            ),
        ] {
            let ratio = bytes as f64 / of_raw as f64;
            println!(
                "{:44} {bytes:12} {ratio:12.3}",
                format!("{}, {name}", protocol.name())
            );
        }
    }
}

/// What the clients need: a certificate for each. Gives the server's.
async fn write_certificates(folder: &Path, world: &World) -> (PrivateKey, IssuedCert) {
    let key = PrivateKey::generate(KeyType::default()).await.expect("a key");
    let mut chains = String::new();
    for _ in 0..CONNECTIONS {
        let cert = issue(&world.ca, &key, "frontend").await;
        chains += &pem::encode_certificates(cert.chain());
    }
    let roots = world.bundle.roots.iter().map(|root| &root.cert);
    let lists: String = world.bundle.crls.iter().map(pem::encode_crl).collect();
    for (name, text) in [
        ("key", &*pem::encode_private_key(&key)),
        ("chains", &chains),
        ("roots", &pem::encode_certificates(roots)),
        ("lists", &lists),
    ] {
        std::fs::write(folder.join(name), text).expect("written");
    }
    let server = issue(&world.ca, &key, "orders").await;
    (key, server)
}

/// Of the heap, for each of many connections, of so many different clients.
fn bytes(folder: &Path, protocol: Protocol, clients: usize, serve: impl FnOnce(TcpListener)) -> usize {
    // What is left of it falls with its runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let taken = runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let port = listener.local_addr().expect("bound").port().to_string();
        serve(listener);
        let program = std::env::current_exe().expect("this program");
        let counts = [clients, CONNECTIONS].map(|count| count.to_string());
        let mut child = Command::new(program)
            .args([clients::NAME, &port, protocol.name(), &counts[0], &counts[1]])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("clients");
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        let before = HEAP.allocated();
        let ready = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            said.read_line(&mut line).expect("heard");
            line
        });
        assert_eq!(ready.await.expect("ran"), clients::READY);
        let taken = HEAP.allocated() - before;
        drop(child.stdin.take());
        assert!(child.wait().expect("ended").success());
        taken
    });
    taken / CONNECTIONS
}

async fn answer(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::full("hello")))
}

async fn serve_raw(listener: TcpListener, acceptor: TlsAcceptor) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let (tcp, _): (_, SocketAddr) = accepted.expect("a connection");
        tcp.set_nodelay(true).expect("an option");
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let stream = acceptor.accept(tcp).await.expect("a handshake");
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let answer = async |_: Request<Incoming>| {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
            };
            let io = TokioIo::new(stream);
            // How it ends, its client decides.
            let _ = match is_http2 {
                true => {
                    let builder = http2::Builder::new(TokioExecutor::new());
                    builder.serve_connection(io, service_fn(answer)).await
                }
                false => {
                    let mut builder = http1::Builder::new();
                    builder.timer(TokioTimer::new());
                    builder.serve_connection(io, service_fn(answer)).await
                }
            };
        });
    }
}
