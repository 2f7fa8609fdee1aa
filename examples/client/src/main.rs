//! Calls a service of the mesh by its name, balanced, over mutual TLS. The part between the two lines is the mesh.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;
use http::Request;
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::{AttemptInfo, BoxError, Endpoint, EndpointSet};
use mesh_lb::Balance;
use mesh_tls::{Identity, LocalCa, authority::LocalCaOptions};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Calls the service `orders` by its name, balanced, over mutual TLS, and tells what came of it, in JSON
#[derive(Parser)]
#[command(after_help = "Example:\n  client --state-dir mesh-state/ca --endpoint 127.0.0.1:8443 --calls 1000")]
struct Options {
    /// Where the CA of the mesh is
    #[arg(long, value_name = "DIR", default_value = "mesh-state/ca")]
    state_dir: PathBuf,
    /// An instance of the service; repeat it for more
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    endpoint: Vec<String>,
    /// How many calls
    #[arg(long, value_name = "N", default_value_t = 10)]
    calls: usize,
    /// How long the answer to a call may take, in milliseconds, wherever it is worked on
    #[arg(long, value_name = "MS", default_value_t = 1500)]
    within_ms: u32,
    /// How many of them at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    at_once: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let options = Options::parse();
    let endpoints = options
        .endpoint
        .iter()
        .map(|address| Ok(Endpoint::new(address.parse()?)));
    let endpoints = EndpointSet::new(endpoints.collect::<Result<Vec<_>, BoxError>>()?);

    // mesh: begin
    let ca = LocalCa::open_or_init(options.state_dir, LocalCaOptions::new("cluster.local"))?;
    let id = "spiffe://cluster.local/ns/dept-barc/sa/frontend".parse()?;
    let identity = Identity::builder(id).authority(ca).start().await?;
    let orders = Balance::builder("orders".parse()?)
        .endpoints(endpoints)
        .connect(identity.connect_to_service(&"orders".parse()?)?)
        .start();
    // mesh: end

    let mut seen = Seen::default();
    let mut calls = JoinSet::new();
    for number in 0..options.calls {
        while calls.len() >= options.at_once.max(1) {
            seen.note(calls.join_next().await);
        }
        calls.spawn(call(orders.clone(), number, options.within_ms));
    }
    while !calls.is_empty() {
        seen.note(calls.join_next().await);
    }
    writeln!(io::stdout(), "{}", seen.told())?;
    Ok(())
}

/// What one call told: who answered, where, and whom they took us for.
struct Answer {
    endpoint: String,
    answered_by: String,
    asked_by: String,
    /// What the stock said, if it was asked.
    stock: Option<InStock>,
}

/// What reached a service behind the one that was called.
struct InStock {
    asked_by: String,
    /// Everything of this request that goes on, and nothing of it that must not.
    carried: bool,
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn call(orders: Balance, number: usize, within_ms: u32) -> Result<Answer, BoxError> {
    let id = format!("frontend-{number}");
    let request = Request::get(format!("/orders/{number}"))
        .header("host", "orders")
        .header("x-request-id", &id)
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-00"))
        .header("x-mesh-deadline-ms", within_ms)
        .header("x-canary-user", "false")
        .header("authorization", "Bearer for-orders-only");
    let response = orders.oneshot(request.body(Body::empty())?).await?;
    if !response.status().is_success() {
        return Err(format!("status {}", response.status()).into());
    }
    let (parts, body) = response.into_parts();
    let info = parts
        .extensions
        .get::<AttemptInfo>()
        .ok_or("no endpoint answered")?;
    let peer = info.peer.as_ref().and_then(|peer| peer.identity.as_ref());
    let answered_by = peer.map_or_else(|| "nobody known".to_owned(), ToString::to_string);
    let endpoint = info.endpoint.to_string();
    let told: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    let asked_by = told["asked_by"].as_str().unwrap_or("nobody").to_owned();
    let stock = &told["stock"];
    let left: Option<u32> = stock["deadline_ms"].as_str().and_then(|left| left.parse().ok());
    let in_stock = InStock {
        asked_by: stock["asked_by"].as_str().unwrap_or("nobody").to_owned(),
        carried: stock["request_id"] == id
            && stock["trace_id"] == TRACE
            && left.is_some_and(|left| left <= within_ms)
            && stock["canary"] == "false"
            && stock["authorization"].is_null(),
    };
    Ok(Answer {
        endpoint,
        answered_by,
        asked_by,
        stock: Some(in_stock).filter(|_| !stock.is_null()),
    })
}

#[derive(Default)]
struct Seen {
    succeeded: usize,
    by_endpoint: BTreeMap<String, usize>,
    answered_by: BTreeMap<String, usize>,
    asked_by: BTreeMap<String, usize>,
    stock_asked_by: BTreeMap<String, usize>,
    carried: usize,
    failures: BTreeMap<String, usize>,
}

impl Seen {
    fn note(&mut self, ended: Option<Result<Result<Answer, BoxError>, tokio::task::JoinError>>) {
        let Some(ended) = ended else { return };
        match ended.map_err(BoxError::from).and_then(|answered| answered) {
            Ok(answer) => {
                self.succeeded += 1;
                *self.by_endpoint.entry(answer.endpoint).or_default() += 1;
                *self.answered_by.entry(answer.answered_by).or_default() += 1;
                *self.asked_by.entry(answer.asked_by).or_default() += 1;
                if let Some(stock) = answer.stock {
                    self.carried += usize::from(stock.carried);
                    *self.stock_asked_by.entry(stock.asked_by).or_default() += 1;
                }
            }
            Err(error) => *self.failures.entry(error.to_string()).or_default() += 1,
        }
    }

    fn told(&self) -> Value {
        json!({
            "succeeded": self.succeeded,
            "failed": self.failures.values().sum::<usize>(),
            "by_endpoint": self.by_endpoint,
            "answered_by": self.answered_by,
            "asked_by": self.asked_by,
            "stock_asked_by": self.stock_asked_by,
            "carried": self.carried,
            "failures": self.failures,
        })
    }
}
