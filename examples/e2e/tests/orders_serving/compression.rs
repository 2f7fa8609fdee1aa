//! Compression, inside of what counts and outside of what looks at bodies.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_telemetry::Telemetry;
use mesh_traffic::CompressionLayer;
use tower::{Layer, ServiceExt, service_fn};

use crate::{ask, counted, orders, request};

/// A long text in one piece, as small as that may be when it is compressed.
fn text() -> Response<Body> {
    let text: String = (0..100_000_u32)
        .map(|line| format!("{}\n", line.wrapping_mul(2_654_435_761)))
        .collect();
    let response = Response::builder().header("content-type", "text/plain");
    response.body(Body::full(text)).expect("a response")
}

fn compressed() -> Request<Body> {
    let mut request = request("/");
    let gzip = "gzip".parse().expect("a value");
    request.headers_mut().insert("accept-encoding", gzip);
    request
}

#[tokio::test]
async fn metrics_inside_of_compression_take_for_sent_what_is_not() {
    let app = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(text()));
    let (right, wrong) = (Telemetry::new(), Telemetry::new());
    let layers = right
        .layer(orders())
        .layer(CompressionLayer::default().layer(app));
    let Ok(mut response) = layers.oneshot(compressed()).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    response.frame().await.expect("a piece").expect("one of many");
    assert_eq!(counted(&right), (0.0, 1.0));
    response.into_body().collect().await.expect("whole");
    assert_eq!(counted(&right), (1.0, 0.0));

    let layers = CompressionLayer::default().layer(wrong.layer(orders()).layer(app));
    let Ok(mut response) = layers.oneshot(compressed()).await;
    response.frame().await.expect("a piece").expect("one of many");
    assert_eq!(counted(&wrong), (1.0, 0.0), "over, and most of it is not sent");
    let rest = response.into_body().collect().await.expect("whole").to_bytes();
    assert!(rest.len() > 100_000, "{}", rest.len());
}

#[tokio::test]
async fn what_looks_at_bodies_outside_of_compression_finds_them_compressed() {
    let app = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(text()));
    // How long what it finds is.
    let measure = |found: &Arc<AtomicU64>| {
        let found = Arc::clone(found);
        tower::util::MapResponseLayer::new(move |response: Response<Body>| {
            let found = Arc::clone(&found);
            response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    found.fetch_add(length as u64, Ordering::Relaxed);
                    frame
                }))
            })
        })
    };
    let whole = || tower::util::MapResponseLayer::new(|response: Response<_>| response.map(Body::new));
    let length = text()
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes()
        .len() as u64;
    let (right, wrong) = (Arc::default(), Arc::default());
    let layers = CompressionLayer::default().layer(measure(&right).layer(app));
    ask(&layers, compressed()).await;
    assert_eq!(right.load(Ordering::Relaxed), length);
    let layers = measure(&wrong).layer(whole().layer(CompressionLayer::default().layer(app)));
    ask(&layers, compressed()).await;
    let found = wrong.load(Ordering::Relaxed);
    assert!(found > 0 && found < length, "{found} of {length}");
}
