//! The proxy as a process of its own, on free ports of the loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The binary: what `MESH_PROXY` names, or what cargo builds.
fn binary() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| match std::env::var_os("MESH_PROXY") {
            Some(path) => path.into(),
            None => {
                let test = std::env::current_exe().expect("a test has a path");
                let folder = test.ancestors().nth(2).expect("target/debug/deps");
                let mut cargo = std::process::Command::new(env!("CARGO"));
                cargo.args(["build", "--quiet", "-p", "mesh-proxy"]);
                if folder.ends_with("release") {
                    cargo.arg("--release");
                }
                assert!(
                    cargo.status().expect("cargo runs").success(),
                    "mesh-proxy does not build"
                );
                folder.join("mesh-proxy")
            }
        })
        .clone()
}

/// A listener on a free port.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// A proxy that runs until this is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    metrics: SocketAddr,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts a proxy with these services (the YAML of `services`) and waits until it is ready.
    pub(crate) async fn start(services: &str) -> Self {
        let (address, metrics) = (listen().await.1, listen().await.1);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mesh.yaml");
        let text = format!(
            "serviceMesh:\n  namespace: dept-barc\n  listeners: [ {{ name: inbound, bind: \"{address}\", tls: \"off\" }} ]\n  \
             metrics: {{ bind: \"{metrics}\" }}\n  services: {services}\n"
        );
        std::fs::write(&path, text).expect("writable");
        let process = Command::new(binary())
            .args(["run", "--config"])
            .arg(&path)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the proxy starts");
        let proxy = Self {
            address,
            metrics,
            _process: process,
            _folder: folder,
        };
        let limit = Instant::now() + Duration::from_secs(20);
        while !proxy
            .page("/readyz")
            .await
            .is_some_and(|page| page.starts_with("HTTP/1.1 200"))
        {
            assert!(Instant::now() < limit, "the proxy is not ready after 20 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy
    }

    /// What the metrics port answers to a path.
    pub(crate) async fn page(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.metrics).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: metrics\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await.ok()?;
        Some(page)
    }
}
