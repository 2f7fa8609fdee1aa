//! Responses of an axum router, compressed for clients that take it.
//! Run it with `cargo run -p mesh-traffic --features compression --example compression`.

use std::io::Read;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use http_body_util::BodyExt;
use mesh_core::BoxError;
use mesh_traffic::CompressionLayer;
use mesh_traffic::compression::CompressionRule;
use tower::ServiceExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let rule = CompressionRule::default().with_min_size(4096);
    let app: Router = Router::new()
        .route("/long", get(async || "a line of a log\n".repeat(10_000)))
        .route("/short", get(async || "a line of a log\n"))
        .layer(CompressionLayer::new(rule));
    let ask = async |path: &str, accepts: &str| {
        let request = Request::get(path)
            .header("accept-encoding", accepts)
            .body(Body::empty())?;
        let (head, body) = app.clone().oneshot(request).await?.into_parts();
        Ok::<_, BoxError>((head.headers, body.collect().await?.to_bytes()))
    };

    let (fields, sent) = ask("/long", "gzip").await?;
    assert_eq!(fields["content-encoding"], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&sent[..]).read_to_string(&mut text)?;
    assert_eq!(text.len(), 160_000);
    assert!(sent.len() < text.len() / 100, "{} bytes", sent.len());

    for (path, accepts) in [("/long", "identity"), ("/long", "gzip;q=0"), ("/short", "gzip")] {
        let (fields, _) = ask(path, accepts).await?;
        assert!(!fields.contains_key("content-encoding"), "{path}, {accepts}");
    }
    Ok(())
}
