//! A service of large answers, echoes and WebSockets.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Request;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::CONTENT_TYPE;

/// 8 MiB.
pub(crate) const SIZE: usize = 8 << 20;

/// So much text, no two lines of which are the same.
pub(crate) fn text() -> Bytes {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
        let mut text = String::with_capacity(SIZE + 64);
        for line in 0_u64.. {
            if text.len() >= SIZE {
                break;
            }
            text.push_str(&format!("{line} {:x}\n", line.wrapping_mul(line)));
        }
        Bytes::from(text).slice(..SIZE)
    });
    TEXT.clone()
}

async fn web_socket(upgrade: WebSocketUpgrade) -> impl IntoResponse {
    let upgrade = upgrade.max_message_size(SIZE).max_frame_size(SIZE);
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Close(_)) || socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

/// `/text` tells it all, `/echo` gives back what it is sent as it comes, and so does the WebSocket `/ws`.
pub(crate) fn app() -> Router {
    Router::new()
        .route("/ws", get(web_socket))
        .route(
            "/text",
            get(|| async { ([(CONTENT_TYPE, "text/plain")], text()) }),
        )
        .route("/echo", post(|asked: Request| async { asked.into_body() }))
}
