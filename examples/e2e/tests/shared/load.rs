//! Many requests at once.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use e2e::Connection;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Asks the service `app` so many times, of several connections, and returns how long each took, the longest last.
pub(crate) async fn load(proxy: SocketAddr, count: usize) -> Vec<Duration> {
    const AT_ONCE: usize = 8;
    let mut clients = JoinSet::new();
    for _ in 0..AT_ONCE {
        clients.spawn(async move {
            let mut connection = Connection::http1(proxy).await.expect("listening");
            let mut took = Vec::with_capacity(count / AT_ONCE);
            for _ in 0..count / AT_ONCE {
                let began = Instant::now();
                let request = Request::get("/").header(HOST, "app").body(Body::empty());
                let answer = connection
                    .send(request.expect("a request"))
                    .await
                    .expect("served");
                assert_eq!(answer.status(), StatusCode::OK);
                answer.into_body().collect().await.expect("a whole body");
                took.push(began.elapsed());
            }
            took
        });
    }
    let mut took = clients.join_all().await.concat();
    took.sort_unstable();
    took
}

/// What this share of those that are sorted took at most.
pub(crate) fn percentile(took: &[Duration], percent: usize) -> Duration {
    took[(took.len() * percent).div_ceil(100).saturating_sub(1)]
}
