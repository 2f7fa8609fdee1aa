//! A new version that sees a copy of every request and serves nobody yet.
//! Run it with `cargo run -p mesh-traffic --example mirror`.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request};
use axum::routing::post;
use http_body_util::BodyExt as _;
use mesh_core::BoxError;
use mesh_traffic::fault::Chance;
use mesh_traffic::mirror::{Ending, Mirror, MirrorLayer};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    // It takes a while, and tells what it got.
    let (tell, mut told) = mpsc::unbounded_channel();
    let next = async move |fields: HeaderMap, order: Bytes| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Whoever listened may be gone.
        let _ = tell.send((fields.contains_key("x-mesh-mirror"), order));
    };
    let next: Router = Router::new().route("/orders", post(next));

    let mirror = Mirror::builder(Chance::ALWAYS)
        .timeout(Duration::from_secs(5))
        .build();
    let copies = next.map_request(|copy: Request<mesh_core::body::Body>| copy.map(Body::new));
    let orders: Router = Router::new()
        .route(
            "/orders",
            post(async |order: Bytes| format!("took {} bytes", order.len())),
        )
        .layer(MirrorLayer::new(mirror.clone(), copies));

    let order = Request::post("/orders").body(Body::from("three of these"))?;
    let answer = orders.oneshot(order).await?;
    let answer = answer.into_body().collect().await?.to_bytes();
    assert_eq!(answer, "took 14 bytes");
    assert_eq!(mirror.counts().in_flight(), 1, "nobody waited for the copy");

    let copy = told.recv().await.ok_or("the copy never came")?;
    assert_eq!(copy, (true, "three of these".into()));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(mirror.counts().of(Ending::Answered), 1);
    Ok(())
}
