//! Clients in a process of their own, by tokio-rustls and hyper alone: each makes a request, and rests.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_tls::{TrustBundle, TrustRoot, pem};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::sides::{HYBRID, X25519, raw_client, raw_verifier, server_name};

/// The first argument of the process.
pub(crate) const NAME: &str = "clients";
/// What is said when all have had their answer.
pub(crate) const READY: &str = "all rest\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

/// Rests until its input is closed. The arguments: port, protocol, how many certificates, how many connections, and the
/// folder in which they lie.
pub(crate) async fn run(arguments: &[String]) {
    let [port, protocol, certificates, connections, folder] = arguments else {
        panic!("what to do? {arguments:?}");
    };
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
    let read = |name| std::fs::read(Path::new(folder).join(name)).expect("a file");
    let key = pem::private_key(&read("key")).expect("a key");
    let chains = pem::certificates(&read("chains")).expect("certificates");
    let roots = pem::certificates(&read("roots")).expect("certificates");
    let bundle = TrustBundle::new(1, roots.into_iter().map(TrustRoot::new));
    let bundle = bundle.with_crls(pem::crls(&read("lists")).expect("lists"));
    let verifier = raw_verifier(&bundle);
    let certificates: usize = certificates.parse().expect("a number");
    let connections: usize = connections.parse().expect("a number");

    let mut resting: Vec<Box<dyn std::any::Any>> = Vec::new();
    for chain in chains.iter().take(certificates).cycle().take(connections) {
        let secret = key.expose_secret().clone_key();
        let mut config = raw_client(&verifier, &[HYBRID, X25519], vec![chain.clone()], secret);
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let tcp = TcpStream::connect(address).await.expect("connected");
        tcp.set_nodelay(true).expect("an option");
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(server_name(), tcp).await.expect("a handshake");
        let io = TokioIo::new(stream);
        let request = Request::get("https://orders.example/").header("host", "orders.example");
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let body = if protocol == Protocol::Http2.name() {
            let (mut send, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
            tokio::spawn(connection);
            let response = send.send_request(request).await.expect("an answer");
            resting.push(Box::new(send));
            response.into_body()
        } else {
            let (mut send, connection) = http1::handshake(io).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            let response = send.send_request(request).await.expect("an answer");
            resting.push(Box::new(send));
            response.into_body()
        };
        assert_eq!(body.collect().await.expect("whole").to_bytes(), "hello");
    }
    // All of them are kept, and driven, until the input ends.
    let mut out = std::io::stdout();
    out.write_all(READY.as_bytes())
        .and_then(|()| out.flush())
        .expect("said");
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await.expect("ran").expect("read");
}
