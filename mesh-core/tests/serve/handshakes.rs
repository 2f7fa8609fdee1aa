//! Handshakes that are never finished.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_core::PeerInfo;
use mesh_core::accept::{Accept, Accepted};
use mesh_core::serve::{ServeLimits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{LONG, hello, seconds};

/// A handshake of one byte.
struct OneByte {
    going_on: Arc<AtomicUsize>,
}

/// One that is going on.
struct GoingOn(Arc<AtomicUsize>);

impl Drop for GoingOn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Accept for OneByte {
    type Io = TcpStream;

    async fn accept(&self, mut stream: TcpStream, remote: SocketAddr) -> io::Result<Accepted<TcpStream>> {
        self.going_on.fetch_add(1, Ordering::Relaxed);
        let _going_on = GoingOn(Arc::clone(&self.going_on));
        stream.read_exact(&mut [0]).await?;
        Ok(Accepted::new(stream, Arc::new(PeerInfo::plaintext(remote))))
    }
}

async fn served(address: SocketAddr) -> [u8; 12] {
    let mut io = TcpStream::connect(address).await.expect("open");
    io.write_all(b"!GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("open");
    let mut head = [0; 12];
    io.read_exact(&mut head).await.expect("answered");
    head
}

/// Case 56.
#[tokio::test]
async fn handshakes_that_nobody_finishes_keep_nobody_out_and_are_bounded() {
    let going_on = Arc::new(AtomicUsize::new(0));
    let accept = OneByte {
        going_on: Arc::clone(&going_on),
    };
    let mut limits = ServeLimits::default();
    limits.max_connections = 4;
    limits.max_handshakes = 100;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(Server::accepting(accept).limits(limits).serve(listener, hello()));
    let mut half_open = Vec::new();
    for round in 0..10 {
        for _ in 0..50 {
            half_open.push(TcpStream::connect(address).await.expect("open"));
        }
        let head = tokio::time::timeout(LONG, served(address))
            .await
            .expect("in time");
        assert_eq!(&head, b"HTTP/1.1 200", "round {round}");
        assert!(going_on.load(Ordering::Relaxed) <= 100);
    }
    server.abort();
}

/// F12: TLS libraries have no time limit of their own.
#[tokio::test(start_paused = true)]
async fn a_handshake_takes_at_most_its_time() {
    let accept = OneByte {
        going_on: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(Server::accepting(accept).serve(listener, hello()));
    let mut half_open = TcpStream::connect(address).await.expect("open");
    let began = tokio::time::Instant::now();
    assert_eq!(half_open.read(&mut [0]).await.expect("closed"), 0);
    assert!(
        (seconds(9)..seconds(11)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    server.abort();
}
