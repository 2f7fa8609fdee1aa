use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use mesh_core::accept::Accepted;
use mesh_core::body::Body;
use mesh_core::control::{ConnectionControl, Order};
use mesh_core::drain::drain;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower::service_fn;

use crate::support::{open, peer, read_to_end, read_until, seconds, send, server, until};

const ASK: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

/// Agrees to any upgrade and echoes what comes through the tunnel.
async fn tunnels(mut request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().expect("asked for");
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.expect("upgraded")));
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
        .headers_mut()
        .insert("connection", "upgrade".parse().expect("a value"));
    response
        .headers_mut()
        .insert("upgrade", "echo".parse().expect("a value"));
    Ok(response)
}

async fn echoed(io: &mut DuplexStream, text: &str) {
    send(io, text).await;
    assert_eq!(read_until(io, text).await, text);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_a_connection_until_it_ends_and_no_timer_of_http_cuts_it() {
    let server = server(|_| {});
    let mut io = open(&server, service_fn(tunnels));
    send(&mut io, ASK).await;
    assert!(read_until(&mut io, "\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
    echoed(&mut io, "one").await;
    sleep(seconds(1000)).await;
    assert_eq!(server.connections().finish(|_| true), 1);
    echoed(&mut io, "two").await;
    drop(io);
    until("the connection is gone", || server.connections().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_closed_with_the_connections_of_its_peer() {
    let server = server(|_| {});
    let mut io = open(&server, service_fn(tunnels));
    send(&mut io, ASK).await;
    read_until(&mut io, "\r\n\r\n").await;
    echoed(&mut io, "one").await;
    assert_eq!(server.connections().close(|_| true), 1);
    let (rest, after) = read_to_end(&mut io).await;
    assert_eq!((rest.as_str(), after), ("", seconds(0)));
    assert!(server.connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_cut_at_once_when_its_peer_is_not_trusted_any_more() {
    let server = server(|_| {});
    let control = ConnectionControl::new();
    let (mut io, far) = duplex(1024);
    let accepted = Accepted::new(far, peer(1)).with_control(control.clone());
    let serving = server.clone();
    tokio::spawn(async move { serving.serve_connection(accepted, service_fn(tunnels)).await });
    send(&mut io, ASK).await;
    read_until(&mut io, "\r\n\r\n").await;
    echoed(&mut io, "one").await;
    control.tell(Order::Finish);
    echoed(&mut io, "two").await;
    control.tell(Order::Leave);
    let (rest, after) = read_to_end(&mut io).await;
    assert_eq!((rest.as_str(), after), ("", seconds(0)));
    assert!(server.connections().is_empty());
}

#[tokio::test]
async fn a_drain_waits_for_tunnels_and_dropping_the_server_closes_them() {
    let (trigger, watcher) = drain();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut serving = Box::pin(server(|_| {}).drain(watcher).serve(listener, service_fn(tunnels)));
    let client = async {
        let mut io = TcpStream::connect(address).await.expect("open");
        io.write_all(ASK.as_bytes()).await.expect("open");
        let mut byte = [0];
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n") {
            io.read_exact(&mut byte).await.expect("answered");
            got.push(byte[0]);
        }
        trigger.start();
        io.write_all(b"x").await.expect("open");
        io.read_exact(&mut byte).await.expect("echoed");
        io
    };
    let mut io = tokio::select! {
        io = client => io,
        () = &mut serving => panic!("the drain did not wait for the tunnel"),
    };
    tokio::select! {
        biased;
        () = &mut serving => panic!("the drain did not wait for the tunnel"),
        () = tokio::task::yield_now() => {}
    }
    drop(serving);
    let mut rest = Vec::new();
    let ended = timeout(seconds(5), io.read_to_end(&mut rest))
        .await
        .expect("closed");
    assert_eq!((ended.map_err(|e| e.kind()), rest.as_slice()), (Ok(0), &b""[..]));
}
