use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use mesh_core::body::Body;
use mesh_core::connect::HttpProtocol;
use mesh_core::{AttemptInfo, PeerInfo, SpiffeId};

use crate::http2::{answers, serve_http2};
use crate::support::{HELLO, Net, get, hello, over, read_head, send, whole, write};

/// Each connection is to a workload of its own, so that one cannot be taken for another.
fn workload(port: u16, nth: usize) -> PeerInfo {
    let identity = SpiffeId::of_service("cluster.local", "dept-barc", &format!("orders-{port}-{nth}"));
    let address = SocketAddr::from(([10, 0, 0, 1], port));
    PeerInfo::mtls(address, identity.expect("valid parts"), "ab12", "01")
}

fn service(info: &AttemptInfo) -> &str {
    info.peer
        .as_ref()
        .and_then(|peer| peer.service())
        .expect("it was proved")
}

#[tokio::test(start_paused = true)]
async fn a_response_tells_who_the_connector_verified_at_the_other_end_of_its_very_connection() {
    let net = Net::new().serves(1, hello).serves(2, hello).proving(workload);
    let (balance, _) = over(&net, &[1, 2]).start();
    let (first, one) = send(&balance, get()).await.expect("answered");
    let (other, two) = send(&balance, get()).await.expect("answered");
    let mut seen = [service(&one).to_owned(), service(&two).to_owned()];
    seen.sort();
    assert_eq!(seen, ["orders-1-0", "orders-2-0"]);
    assert_eq!(
        one.endpoint.to_string().ends_with(":1"),
        service(&one) == "orders-1-0"
    );
    whole(first.into_body()).await.expect("whole");
    whole(other.into_body()).await.expect("whole");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rested_still_tells_its_own_peer() {
    let net = Net::new()
        .serves(1, async |mut io, nth| {
            // The first connection carries two requests, then it closes.
            for _ in 0..if nth == 0 { 2 } else { 9 } {
                if read_head(&mut io).await.is_none() {
                    return;
                }
                write(&mut io, HELLO).await;
            }
        })
        .proving(workload);
    let (balance, _) = over(&net, &[1]).start();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (response, info) = send(&balance, get()).await.expect("answered");
        seen.push(service(&info).to_owned());
        whole(response.into_body()).await.expect("whole");
    }
    assert_eq!(seen, ["orders-1-0", "orders-1-0", "orders-1-1"]);
}

#[tokio::test(start_paused = true)]
async fn every_stream_of_an_http2_connection_tells_the_peer_of_that_connection() {
    let net = Net::new()
        .serves(1, |io, _| serve_http2(io, answers(Duration::from_secs(1))))
        .agreeing(|_| HttpProtocol::Http2)
        .proving(workload);
    let (balance, _) = over(&net, &[1]).start();
    let (a, b) = tokio::join!(send(&balance, get()), send(&balance, get()));
    let (a, b) = (a.expect("answered").1, b.expect("answered").1);
    assert_eq!((service(&a), service(&b)), ("orders-1-0", "orders-1-0"));
    let (a, b) = (a.peer.expect("proved"), b.peer.expect("proved"));
    assert!(Arc::ptr_eq(&a, &b), "known once, not copied for each request");
    assert_eq!(net.connects(1), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_tells_who_agreed_to_it() {
    let net = Net::new()
        .serves(1, async |mut io, _| {
            read_head(&mut io).await;
            write(
                &mut io,
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            )
            .await;
        })
        .proving(workload);
    let (balance, _) = over(&net, &[1]).start();
    let ask = Request::get("/")
        .header("host", "orders")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .body(Body::empty())
        .expect("a request");
    let (response, info) = balance.send_upgrade(ask, None).await.expect("answered");
    assert_eq!(response.status(), 101);
    assert_eq!(service(&info), "orders-1-0");
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_verifies_nobody_names_nobody() {
    let net = Net::new().serves(1, hello);
    let (balance, _) = over(&net, &[1]).start();
    let (_, info) = send(&balance, get()).await.expect("answered");
    assert!(info.peer.is_none());
}
