//! A rate limit around an axum router: each tenant sends two requests at once, and then one each hundred
//! milliseconds. Run it with `cargo run -p mesh-traffic --example rate_limit`.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use mesh_core::BoxError;
use mesh_traffic::{KeyBy, Quota, RateLimitLayer};
use tower::ServiceExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let quota = Quota::per_second(10)?.burst(2)?;
    let limit = RateLimitLayer::new(quota).by("header:x-tenant".parse::<KeyBy>()?);
    let app: Router = Router::new()
        .route("/", get(async || "hello"))
        .layer(limit.clone());
    let ask = async |tenant: &str| {
        let request = Request::get("/").header("x-tenant", tenant).body(Body::empty())?;
        Ok::<_, BoxError>(app.clone().oneshot(request).await?)
    };

    assert_eq!(ask("acme").await?.status(), StatusCode::OK);
    assert_eq!(ask("acme").await?.status(), StatusCode::OK);
    let refused = ask("acme").await?;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["ratelimit-policy"], r#""default";q=10;w=1"#);
    assert_eq!(ask("other").await?.status(), StatusCode::OK);

    // Long enough for one more.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ask("acme").await?.status(), StatusCode::OK);

    // With three replicas of this service, each gives a third.
    limit.limiter().set_replicas(3);
    assert_eq!(ask("third").await?.status(), StatusCode::OK);
    assert_eq!(ask("third").await?.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limit.limiter().limited(), 2);
    Ok(())
}
