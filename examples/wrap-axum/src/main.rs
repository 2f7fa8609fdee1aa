//! An axum service that joins the mesh. The service was there before; the part between the two lines is the mesh.
//! It can ask a second one, `stock`, in which the same program answers: what a request carries goes on to that call.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use mesh_core::body::Body;
use mesh_core::carry::{CarryLayer, InheritLayer, InheritService};
use mesh_core::edge::EdgeLayer;
use mesh_core::serve::Server;
use mesh_core::{BoxError, Endpoint, EndpointSet, Error, ServiceName, drain};
use mesh_lb::Balance;
use mesh_telemetry::{Telemetry, serve_metrics};
use mesh_tls::{Identity, LocalCa, authority::LocalCaOptions};
use mesh_traffic::{DeadlineLayer, Quota, RateLimitLayer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::{Layer, ServiceBuilder, ServiceExt};

/// An axum service that joins the mesh
///
/// Its clients are members of the mesh whose CA is in the state directory, as examples/client is.
#[derive(Parser)]
#[command(after_help = "Example:\n  wrap-axum --listen 127.0.0.1:8443 --state-dir mesh-state/ca")]
struct Options {
    /// Which service it is: orders, or the stock that orders ask
    #[arg(long, value_name = "SERVICE", default_value = "orders")]
    name: ServiceName,
    /// An instance of the stock, to ask for each order; repeat it for more
    #[arg(long, value_name = "ADDRESS")]
    stock: Vec<SocketAddr>,
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
    let app = Router::new()
        .route("/orders/{id}", get(order))
        .route("/stock/{id}", get(in_stock));
    let asks_stock = !options.stock.is_empty();
    let endpoints = options
        .stock
        .into_iter()
        .map(|address| Endpoint::new(address.into()));
    let (socket, metrics) = (
        TcpListener::bind(options.listen).await?,
        TcpListener::bind(options.metrics).await?,
    );
    writeln!(
        io::stdout(),
        "{} listens on {}",
        options.name,
        socket.local_addr()?
    )?;
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
    let id = format!("spiffe://cluster.local/ns/dept-barc/sa/{}", options.name).parse()?;
    let identity = Identity::builder(id).authority(ca).start().await?;
    let stock = Balance::builder("stock".parse()?)
        .endpoints(EndpointSet::new(endpoints.collect::<Vec<_>>()))
        .connect(identity.connect_to_service(&"stock".parse()?)?)
        .start();
    let stock = InheritLayer::new().layer(stock); // its calls inherit what a request carries
    let telemetry = Telemetry::new();
    let layers = ServiceBuilder::new()
        .layer(EdgeLayer::new(options.name.clone())) // refuses what is malformed, tells who calls
        .layer(telemetry.layer(options.name))
        .layer(RateLimitLayer::new(Quota::per_second(10_000)?)) // each source by itself
        .layer(DeadlineLayer::at_most(Duration::from_secs(2)))
        .layer(CarryLayer::new());
    let app = app.with_state(Some(stock).filter(|_| asks_stock));
    tokio::spawn(serve_metrics(metrics, telemetry, || true));
    let server = Server::accepting(identity.accept()).drain(stopped);
    server.serve(socket, layers.service(app)).await;
    // mesh: end
    Ok(())
}

/// Tells who asked, as the mesh verified it, and what the stock says. Of what the request carries it knows nothing.
async fn order(
    State(stock): State<Option<Stock>>,
    Path(id): Path<u64>,
    headers: HeaderMap,
) -> Result<Json<Value>, (StatusCode, String)> {
    let (asked_by, mtls) = (said(&headers, "x-source-service"), said(&headers, "x-mesh-mtls"));
    let stock = match stock {
        Some(stock) => {
            let asked = ask(stock, id).await;
            Some(asked.map_err(|error| (error.http_status(), format!("the stock: {error}")))?)
        }
        None => None,
    };
    Ok(Json(
        json!({ "order": id, "asked_by": asked_by, "mtls": mtls, "stock": stock }),
    ))
}

type Stock = InheritService<Balance>;

async fn ask(stock: Stock, id: u64) -> Result<Value, Error> {
    let request = Request::get(format!("/stock/{id}")).header("host", "stock");
    let request = request.body(Body::empty()).map_err(Error::wrap)?;
    let response = stock.oneshot(request).await?;
    let body = axum::body::Body::new(response.into_body());
    let answer = axum::body::to_bytes(body, MAX_ANSWER)
        .await
        .map_err(Error::wrap)?;
    serde_json::from_slice(&answer).map_err(Error::wrap)
}

const MAX_ANSWER: usize = 64 * 1024;

/// Tells what reached it of a request that somebody else was asked.
async fn in_stock(Path(id): Path<u64>, headers: HeaderMap) -> Json<Value> {
    Json(json!({
        "item": id,
        "asked_by": said(&headers, "x-source-service"),
        "request_id": said(&headers, "x-request-id"),
        "trace_id": said(&headers, "x-trace-id"),
        "deadline_ms": said(&headers, "x-mesh-deadline-ms"),
        "canary": said(&headers, "x-canary-user"),
        "authorization": said(&headers, "authorization"),
    }))
}

fn said(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}
