//! WebSocket through the proxy.

use axum::extract::ws::{Message as Sent, WebSocketUpgrade};
use axum::routing::get;
use e2e::{Proxy, listen};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Error, Message};

async fn echo(upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade
        .max_message_size(8 << 20)
        .max_frame_size(8 << 20)
        .on_upgrade(async |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                if matches!(message, Sent::Close(_)) || socket.send(message).await.is_err() {
                    return;
                }
            }
        })
}

async fn proxy() -> Proxy {
    let (listener, upstream) = listen().await;
    let app = axum::Router::new()
        .route("/ws", get(echo))
        .route("/plain", get(async || "plain"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Proxy::start(&format!(
        "[ {{ name: echo, port: 1, hosts: [\"*\"], endpoints: [\"{upstream}\"] }} ]"
    ))
    .await
}

#[tokio::test]
async fn messages_of_any_size_are_echoed_and_the_close_is_answered() {
    let proxy = proxy().await;
    let (mut socket, response) = connect_async(format!("ws://{}/ws", proxy.address))
        .await
        .expect("upgraded");
    assert_eq!(response.status(), 101);
    assert!(response.headers().contains_key("x-request-id"));
    for message in [
        Message::text("hello"),
        Message::binary(vec![7; 1 << 20]),
        Message::binary(vec![]),
        Message::text("bye"),
    ] {
        socket.send(message.clone()).await.expect("open");
        assert_eq!(socket.next().await.expect("an echo").expect("open"), message);
    }
    socket.close(None).await.expect("open");
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test]
async fn an_upgrade_the_service_refuses_is_an_answer_like_any_other() {
    let proxy = proxy().await;
    let refused = connect_async(format!("ws://{}/plain", proxy.address))
        .await
        .expect_err("no WebSocket there");
    let tokio_tungstenite::tungstenite::Error::Http(response) = refused else {
        panic!("{refused}")
    };
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_service_that_switches_to_something_else_fails_and_gets_a_rest() {
    let (listener, upstream) = listen().await;
    let other = || async {
        let fields = [("connection", "upgrade"), ("upgrade", "another-protocol")];
        (StatusCode::SWITCHING_PROTOCOLS, fields)
    };
    let app = axum::Router::new().route("/ws", get(other));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let proxy = Proxy::start(&format!(
        "[ {{ name: app, port: 1, hosts: [\"*\"], endpoints: [\"{upstream}\"] }} ]"
    ))
    .await;
    let mut reasons = Vec::new();
    for _ in 0..6 {
        match connect_async(format!("ws://{}/ws", proxy.address)).await {
            Err(Error::Http(refused)) => reasons.push(refused.headers()["x-mesh-error"].clone()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reasons[..5], ["upstream_reset"; 5]);
    assert_eq!(reasons[5], "circuit_open");
}
