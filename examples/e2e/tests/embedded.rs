//! The two examples that embed the mesh, as processes: an axum service that joins it, and a client.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use e2e::{binary, until};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const ORDERS: &str = "spiffe://cluster.local/ns/dept-barc/sa/orders";
const CALLS: u64 = 10_000;
const AT_ONCE: u64 = 16;

/// An instance of the service, until this is dropped.
struct Server {
    address: SocketAddr,
    metrics: SocketAddr,
    process: Child,
}

impl Server {
    async fn start(state: &Path) -> Self {
        Self::of_service("orders", state, &[]).await
    }

    /// An instance of this service, which asks these instances of the stock.
    async fn of_service(service: &str, state: &Path, stock: &[&Self]) -> Self {
        let stock = stock
            .iter()
            .flat_map(|stock| ["--stock".to_owned(), stock.address.to_string()]);
        let mut process = Command::new(binary("wrap-axum"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--metrics",
                "127.0.0.1:0",
                "--state-dir",
            ])
            .arg(state)
            .args(["--name", service])
            .args(stock)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut address = async |what: &str| -> SocketAddr {
            let line = lines.next_line().await.expect("readable").expect("a line");
            let (said, address) = line.rsplit_once(' ').expect("an address");
            assert!(said.contains(what), "{line}");
            address.parse().expect("an address")
        };
        Self {
            address: address(service).await,
            metrics: address("metrics").await,
            process,
        }
    }

    /// How many requests of the client it answered.
    async fn answered(&self) -> Option<f64> {
        self.answered_to("frontend").await
    }

    async fn answered_to(&self, client: &str) -> Option<f64> {
        let mut io = TcpStream::connect(self.metrics).await.ok()?;
        io.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .ok()?;
        let mut page = String::new();
        io.read_to_string(&mut page).await.ok()?;
        let source = format!("source_service=\"{client}\"");
        let of_client =
            |line: &&str| line.starts_with("service_mesh_requests_total{") && line.contains(&source);
        let counts = page
            .lines()
            .filter(of_client)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Some(counts.sum())
    }
}

fn call(state: &Path, servers: &[&Server]) -> Command {
    let mut client = Command::new(binary("client"));
    client.arg("--state-dir").arg(state);
    client.args(["--calls", &CALLS.to_string(), "--at-once", &AT_ONCE.to_string()]);
    for server in servers {
        client.args(["--endpoint", &server.address.to_string()]);
    }
    client
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    client
}

fn told(output: &std::process::Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {error}"))
}

/// All that were counted under one name.
fn only(counts: &Value, name: &str) -> u64 {
    let counts = counts.as_object().expect("counts");
    assert_eq!(counts.keys().collect::<Vec<_>>(), [name]);
    counts[name].as_u64().expect("a count")
}

#[tokio::test]
async fn both_sides_of_every_call_know_who_the_other_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("ca");
    let servers = [Server::start(&state).await, Server::start(&state).await];
    let output = call(&state, &[&servers[0], &servers[1]])
        .output()
        .await
        .expect("it runs");
    let told = told(&output);
    assert_eq!(told["succeeded"], CALLS, "{told}");
    assert_eq!(only(&told["answered_by"], ORDERS), CALLS);
    assert_eq!(only(&told["asked_by"], "frontend"), CALLS);
    let by_endpoint = told["by_endpoint"].as_object().expect("counts");
    assert_eq!(by_endpoint.len(), 2);
    assert!(
        by_endpoint.values().all(|count| count.as_u64() > Some(CALLS / 4)),
        "{told}"
    );
    assert_eq!(
        servers[0].answered().await.unwrap_or_default() + servers[1].answered().await.unwrap_or_default(),
        CALLS as f64
    );
}

#[tokio::test]
async fn a_server_that_is_killed_takes_only_what_was_in_flight_on_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("ca");
    let mut servers = [Server::start(&state).await, Server::start(&state).await];
    let client = call(&state, &[&servers[0], &servers[1]])
        .spawn()
        .expect("it starts");
    until("calls are answered", async || {
        servers[0].answered().await.filter(|count| *count > 500.0)
    })
    .await;
    servers[0].process.kill().await.expect("killed");
    let output = client.wait_with_output().await.expect("it runs");
    let told = told(&output);
    let (succeeded, failed) = (told["succeeded"].as_u64(), told["failed"].as_u64());
    assert_eq!(
        succeeded.unwrap_or_default() + failed.unwrap_or_default(),
        CALLS,
        "{told}"
    );
    assert!(failed <= Some(AT_ONCE), "{told}");
    assert_eq!(only(&told["answered_by"], ORDERS), succeeded.unwrap_or_default());
    assert!(
        succeeded > Some(CALLS / 2 + 500),
        "it was killed on the way: {told}"
    );
}

#[tokio::test]
async fn what_a_call_carries_reaches_the_service_behind_the_one_that_was_called() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("ca");
    let stock = Server::of_service("stock", &state, &[]).await;
    let orders = Server::of_service("orders", &state, &[&stock]).await;
    let output = call(&state, &[&orders]).output().await.expect("it runs");
    let told = told(&output);
    assert_eq!(told["succeeded"], CALLS, "{told}");
    assert_eq!(told["carried"], CALLS, "{told}");
    assert_eq!(
        only(&told["stock_asked_by"], "orders"),
        CALLS,
        "identity does not go on"
    );
    assert_eq!(stock.answered_to("orders").await, Some(CALLS as f64));
}
