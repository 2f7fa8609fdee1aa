//! Trouble on purpose, between a client and the service it calls: what does the client make of it? Run it with
//! `cargo run -p mesh-traffic --example fault`.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use mesh_core::BoxError;
use mesh_traffic::fault::{Abort, Chance, Delay, FaultLayer, FaultSwitch, Faults};
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let service: Router = Router::new().route("/", get(async || "hello"));
    let half = Chance::percent(50.0).ok_or("no share")?;
    let faults = Faults::until(Instant::now() + Duration::from_secs(60))
        .delay(
            half,
            Delay::pareto(Duration::from_millis(1), 1.5)?.at_most(Duration::from_millis(20)),
        )
        .abort(half, Abort::new(503).ok_or("no status")?);
    let switch = FaultSwitch::new(100);
    let client = FaultLayer::new(faults).switch(switch.clone()).layer(service);
    let ask = async || {
        let answer = client
            .clone()
            .oneshot(Request::get("/").body(Body::empty())?)
            .await?;
        Ok::<_, BoxError>(answer.status())
    };

    // A client that tries again gets its answer all the same.
    for _ in 0..20 {
        let mut tries = 1;
        while ask().await? == StatusCode::SERVICE_UNAVAILABLE {
            tries += 1;
            assert!(tries < 60, "once in a billion billions");
        }
    }

    // Enough of it.
    switch.set(false);
    for _ in 0..20 {
        assert_eq!(ask().await?, StatusCode::OK);
    }
    assert_eq!(switch.active(), 0);
    Ok(())
}
