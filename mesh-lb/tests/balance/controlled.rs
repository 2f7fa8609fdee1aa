//! Connections whose peer is not trusted any more, as whoever shook hands tells the pool.

use std::time::Duration;

use http::Request;
use mesh_core::body::Body;
use mesh_core::connect::HttpProtocol;
use mesh_core::control::Order;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};

use crate::http2::{answers, serve_http2};
use crate::support::{
    Count, Net, fed, get, hello, over, post, read_head, seconds, send, text, until, whole, write,
};

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_that_was_told_to_leave_takes_no_request_and_is_closed() {
    let closed = Count::default();
    let of_server = closed.clone();
    let net = Net::new()
        .serves(1, move |io, nth| {
            let closed = of_server.clone();
            async move {
                hello(io, nth).await;
                closed.add();
            }
        })
        .controlled();
    let (balance, _) = over(&net, &[1]).start();
    for _ in 0..2 {
        assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
    }
    assert_eq!(net.connects(1), 1);
    net.tell(0, Order::Leave);
    assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
    assert_eq!((net.connects(1), closed.get()), (2, 1));
    // Without a next request it is the broom that finds it.
    net.tell(1, Order::Leave);
    sleep(seconds(2)).await;
    assert_eq!((net.connects(1), closed.get()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_way_on_http1_comes_to_its_end_and_its_connection_is_not_used_again() {
    let net = Net::new()
        .serves(1, async |mut io, _| {
            while read_head(&mut io).await.is_some() {
                write(&mut io, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").await;
                sleep(seconds(2)).await;
                write(&mut io, "llo").await;
            }
        })
        .controlled();
    let (balance, _) = over(&net, &[1]).start();
    let (response, _) = send(&balance, get()).await.expect("answered");
    net.tell(0, Order::Leave);
    assert_eq!(whole(response.into_body()).await.expect("whole"), "hello");
    assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
    assert_eq!(net.connects(1), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_on_http1_is_cut_when_it_is_told_to_close() {
    for with_head in [false, true] {
        for uploading in [false, true] {
            let net = Net::new()
                .serves(1, move |mut io, _| async move {
                    let _ = read_head(&mut io).await;
                    if with_head {
                        write(&mut io, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").await;
                    }
                    // It neither goes on nor ends.
                    let mut rest = Vec::new();
                    let _ = io.read_to_end(&mut rest).await;
                })
                .controlled();
            let (balance, _) = over(&net, &[1]).start();
            let (_feed, body) = fed();
            let request = if uploading { post(body) } else { get() };
            let asked = tokio::spawn(async move {
                let (response, _) = send(&balance, request).await?;
                whole(response.into_body()).await
            });
            sleep(seconds(1)).await;
            net.tell(0, Order::Leave);
            sleep(seconds(5)).await;
            assert!(!asked.is_finished());
            let told = Instant::now();
            net.tell(0, Order::Close);
            asked.await.expect("it ran").expect_err("cut");
            assert_eq!(
                told.elapsed(),
                Duration::ZERO,
                "head: {with_head}, upload: {uploading}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_that_was_told_to_leave_finishes_its_streams_and_takes_no_other() {
    let net = Net::new()
        .serves(1, |io, _| serve_http2(io, answers(seconds(3))))
        .agreeing(|_| HttpProtocol::Http2)
        .controlled();
    let (balance, _) = over(&net, &[1]).start();
    let first = tokio::spawn({
        let balance = balance.clone();
        async move { text(&balance, get()).await }
    });
    until("it is connected", || net.connects(1) == 1).await;
    sleep(seconds(1)).await;
    net.tell(0, Order::Leave);
    tokio::task::yield_now().await;
    text(&balance, get()).await.expect("answered");
    assert_eq!(net.connects(1), 2, "the next request has another connection");
    first
        .await
        .expect("it ran")
        .expect("answered, since it was under way");
}

#[tokio::test(start_paused = true)]
async fn streams_under_way_on_http2_are_cut_when_it_is_told_to_close() {
    let net = Net::new()
        .serves(1, |io, _| serve_http2(io, answers(seconds(1000))))
        .agreeing(|_| HttpProtocol::Http2)
        .controlled();
    let (balance, _) = over(&net, &[1]).start();
    let asked = tokio::spawn(async move { text(&balance, get()).await });
    sleep(seconds(1)).await;
    net.tell(0, Order::Leave);
    sleep(seconds(5)).await;
    assert!(!asked.is_finished());
    let told = Instant::now();
    net.tell(0, Order::Close);
    asked.await.expect("it ran").expect_err("cut");
    assert_eq!(told.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_to_a_peer_that_is_not_trusted_any_more_is_cut_at_once() {
    let net = Net::new()
        .serves(1, async |mut io, _| {
            let _ = read_head(&mut io).await;
            let agrees = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
            write(&mut io, agrees).await;
            let mut byte = [0];
            while io.read_exact(&mut byte).await.is_ok() && io.write_all(&byte).await.is_ok() {}
        })
        .controlled();
    let (balance, _) = over(&net, &[1]).start();
    let request = Request::get("/")
        .header("host", "orders")
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(Body::empty())
        .expect("a request");
    let (mut response, _) = balance.send_upgrade(request, None).await.expect("answered");
    let mut tunnel = hyper_util::rt::TokioIo::new(hyper::upgrade::on(&mut response).await.expect("upgraded"));
    tunnel.write_all(b"a").await.expect("open");
    assert_eq!(tunnel.read_u8().await.expect("echoed"), b'a');
    net.tell(0, Order::Finish);
    tunnel.write_all(b"b").await.expect("open");
    assert_eq!(tunnel.read_u8().await.expect("echoed"), b'b');
    let reading = tokio::spawn(async move { tunnel.read_u8().await });
    tokio::task::yield_now().await;
    let told = Instant::now();
    net.tell(0, Order::Leave);
    reading.await.expect("it ran").expect_err("cut");
    assert_eq!(told.elapsed(), Duration::ZERO);
}
