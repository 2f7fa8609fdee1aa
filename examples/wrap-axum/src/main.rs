//! An axum service that joins the mesh. The service was there before; the part between the two lines is the mesh.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use mesh_core::edge::EdgeLayer;
use mesh_core::serve::Server;
use mesh_core::{BoxError, drain};
use mesh_telemetry::{Telemetry, serve_metrics};
use mesh_tls::{Identity, LocalCa, authority::LocalCaOptions};
use mesh_traffic::{DeadlineLayer, Quota, RateLimitLayer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::ServiceBuilder;

/// An axum service that joins the mesh
///
/// Its clients are members of the mesh whose CA is in the state directory, as examples/client is.
#[derive(Parser)]
#[command(after_help = "Example:\n  wrap-axum --listen 127.0.0.1:8443 --state-dir mesh-state/ca")]
struct Options {
    /// Where to listen; port 0 takes a free one, which the output tells
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where /metrics is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    metrics: SocketAddr,
    /// Where the CA of the mesh is; it is made if it is not there
    #[arg(long, value_name = "DIR", default_value = "mesh-state/ca")]
    state_dir: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let options = Options::parse();
    let app = Router::new().route("/orders/{id}", get(order));
    let (socket, metrics) = (
        TcpListener::bind(options.listen).await?,
        TcpListener::bind(options.metrics).await?,
    );
    writeln!(io::stdout(), "orders listens on {}", socket.local_addr()?)?;
    writeln!(io::stdout(), "metrics are on {}", metrics.local_addr()?)?;
    let (stop, stopped) = drain();
    tokio::spawn(async move {
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            terminate.recv().await;
            stop.start();
        }
    });

    // mesh: begin
    let ca = LocalCa::open_or_init(options.state_dir, LocalCaOptions::new("cluster.local"))?;
    let id = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
    let identity = Identity::builder(id).authority(ca).start().await?;
    let telemetry = Telemetry::new();
    let layers = ServiceBuilder::new()
        .layer(EdgeLayer::new("orders".parse()?)) // refuses what is malformed, tells who calls
        .layer(telemetry.layer("orders".parse()?))
        .layer(RateLimitLayer::new(Quota::per_second(10_000)?)) // each source by itself
        .layer(DeadlineLayer::at_most(Duration::from_secs(2)));
    tokio::spawn(serve_metrics(metrics, telemetry, || true));
    let server = Server::accepting(identity.accept()).drain(stopped);
    server.serve(socket, layers.service(app)).await;
    // mesh: end
    Ok(())
}

/// Tells who asked, as the mesh verified it.
async fn order(Path(id): Path<u64>, headers: HeaderMap) -> Json<Value> {
    let said = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    Json(json!({ "order": id, "asked_by": said("x-source-service"), "mtls": said("x-mesh-mtls") }))
}
