//! An upstream that restarts: its resting connections break under the requests that are sent on them.

use std::sync::Arc;

use axum::body::Body;
use e2e::{Connection, Proxy, listen, until};
use http::header::HOST;
use http::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// More than there are attempts at a request.
const RESTING: usize = 16;

/// An upstream whose connections keep the generation they were opened in. One of an earlier generation reads a
/// request and closes, as a server does that has just decided to.
struct Upstream {
    generation: watch::Sender<u32>,
    open: watch::Sender<usize>,
}

impl Upstream {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).serve(stream));
        }
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let generation = *self.generation.borrow();
        self.open.send_modify(|open| *open += 1);
        let mut head = Vec::new();
        while let Ok(1..) = stream.read_buf(&mut head).await {
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            head.clear();
            if *self.generation.borrow() != generation {
                return;
            }
            // Nobody is answered before all are here, so that each has a connection of its own.
            self.open
                .subscribe()
                .wait_for(|open| *open >= RESTING)
                .await
                .expect("it lives");
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.expect("the proxy reads");
        }
    }
}

fn request() -> Request<Body> {
    Request::get("/")
        .header(HOST, "app")
        .body(Body::empty())
        .expect("a request")
}

#[tokio::test]
async fn a_request_outlives_more_broken_connections_than_it_has_attempts() {
    let (listener, address) = listen().await;
    let upstream = Arc::new(Upstream {
        generation: watch::Sender::new(0),
        open: watch::Sender::new(0),
    });
    tokio::spawn(Arc::clone(&upstream).accept(listener));
    // One worker, so that all connections rest in one pool.
    let services = format!("[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{address}\"] }} ]");
    let proxy = Proxy::start_with(&["--workers", "1"], &services).await;

    let mut clients = JoinSet::new();
    for _ in 0..RESTING {
        let mut connection = Connection::http1(proxy.address).await.expect("listening");
        clients.spawn(async move { connection.send(request()).await.expect("answered").status() });
    }
    while let Some(status) = clients.join_next().await {
        assert_eq!(status.expect("no panic"), StatusCode::OK);
    }
    let success = [("target_service", "app"), ("outcome", "success")];
    until("all connections rest", async || {
        let over = proxy.sum("service_mesh_attempts_total", &success).await;
        (over == RESTING as f64).then_some(())
    })
    .await;

    upstream.generation.send_replace(1);
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    assert_eq!(
        connection.send(request()).await.expect("answered").status(),
        StatusCode::OK
    );
}
