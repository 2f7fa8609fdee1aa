//! The proxy as a process of its own, on free ports of the loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::binary::binary;
use crate::metrics::Series;
use crate::wait::{LIMIT, until};

/// Where its standard output goes, in its folder.
const OUTPUT: &str = "output";

/// A listener on a free port.
///
/// # Panics
/// If there is none.
pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// Serves an application on a free port until the test ends.
pub async fn serve(app: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// What becomes of its standard output.
#[derive(Clone, Copy)]
enum Output {
    /// It lies in a file.
    Kept,
    /// It is a pipe that is full after a while.
    Unread,
}

/// A proxy that runs until this is dropped.
pub struct Proxy {
    /// Its listener.
    pub address: SocketAddr,
    /// Where its metrics are.
    pub metrics: SocketAddr,
    process: Child,
    output: Output,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts a proxy with these services (the YAML of `services`, and whatever keys of `serviceMesh` follow) and
    /// waits until it is ready.
    ///
    /// # Panics
    /// If it does not get ready.
    pub async fn start(services: &str) -> Self {
        Self::start_with(&[], services).await
    }

    /// As [`start`](Self::start), with further arguments on the command line.
    ///
    /// # Panics
    /// If it does not get ready.
    pub async fn start_with(arguments: &[&str], services: &str) -> Self {
        Self::start_file(arguments, |address, metrics| {
            configuration(address, metrics, services)
        })
        .await
    }

    /// Starts a proxy with the file that is made for its listener and its metrics.
    ///
    /// # Panics
    /// If it does not get ready.
    pub async fn start_file(arguments: &[&str], file: impl FnOnce(SocketAddr, SocketAddr) -> String) -> Self {
        Self::begin(Output::Kept, arguments, file).await
    }

    /// As [`start`](Self::start), of one whose standard output nobody reads.
    ///
    /// # Panics
    /// If it does not get ready.
    pub async fn start_unread(services: &str) -> Self {
        let file = |address, metrics| configuration(address, metrics, services);
        Self::begin(Output::Unread, &[], file).await
    }

    async fn begin(
        output: Output,
        arguments: &[&str],
        file: impl FnOnce(SocketAddr, SocketAddr) -> String,
    ) -> Self {
        let (address, metrics) = (listen().await.1, listen().await.1);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mesh.yaml");
        std::fs::write(&path, file(address, metrics)).expect("writable");
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let proxy = Self {
            address,
            metrics,
            process: spawn(&path, &arguments, output),
            output,
            arguments,
            folder,
        };
        proxy.ready().await;
        proxy
    }

    /// Ends it as a crash does, and starts it again with the file as it is.
    ///
    /// # Panics
    /// If it does not end, or does not get ready.
    pub async fn crash(&mut self) {
        self.process.kill().await.expect("it runs");
        self.process = spawn(&self.folder().join("mesh.yaml"), &self.arguments, self.output);
        self.ready().await;
    }

    /// Where its file lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn ready(&self) {
        until("the proxy is ready", async || {
            let page = self.page("/readyz").await?;
            page.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
    }

    /// Replaces the services of its configuration and tells it to read the file.
    pub async fn configure(&self, services: &str) {
        self.replace(&configuration(self.address, self.metrics, services))
            .await;
    }

    /// Replaces its file, whole, and tells it to read that.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub async fn replace(&self, text: &str) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, text).expect("writable");
        std::fs::rename(next, self.folder.path().join("mesh.yaml")).expect("renamed");
        self.signal("HUP").await;
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub async fn signal(&self, name: &str) {
        let pid = self.process.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
        assert!(sent.expect("kill runs").success(), "the proxy is gone");
    }

    /// What it wrote to its standard output so far: the access log.
    ///
    /// # Panics
    /// If that is no text.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(OUTPUT)).expect("text")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(LIMIT, self.process.wait()).await;
        ended.expect("the proxy ends").expect("it was not waited for")
    }

    /// The most memory that it has ever held, in bytes.
    ///
    /// # Panics
    /// If it is gone.
    pub fn peak_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.id().expect("it runs"));
        let status = std::fs::read_to_string(status).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .expect("the kernel tells it");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// What the metrics port answers to a path.
    pub async fn page(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.metrics).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: metrics\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await.ok()?;
        Some(page)
    }

    /// All series of the metrics page.
    ///
    /// # Panics
    /// If there is no page.
    pub async fn series(&self) -> Vec<Series> {
        let page = self.page("/metrics").await.expect("the metrics are served");
        let (head, body) = page.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Series::all(body)
    }

    /// The sum of all series of this name with these labels.
    pub async fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series()
            .await
            .iter()
            .filter(|series| series.is(name, labels))
            .map(|series| series.value)
            .sum()
    }
}

fn spawn(config: &Path, arguments: &[String], output: Output) -> Child {
    let folder = config.parent().expect("it lies in a folder");
    let stdout = match output {
        Output::Kept => {
            // Behind what it wrote before a crash.
            let output = config.with_file_name(OUTPUT);
            let output = std::fs::File::options().create(true).append(true).open(output);
            Stdio::from(output.expect("writable"))
        }
        Output::Unread => Stdio::piped(),
    };
    Command::new(binary("mesh-proxy"))
        .args(["run", "--config"])
        .arg(config)
        .args(arguments)
        // Where it keeps what it keeps, unless it is told where.
        .current_dir(folder)
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(stdout)
        .kill_on_drop(true)
        .spawn()
        .expect("the proxy starts")
}

fn configuration(address: SocketAddr, metrics: SocketAddr, services: &str) -> String {
    format!(
        "serviceMesh:\n  namespace: dept-barc\n  listeners: [ {{ name: inbound, bind: \"{address}\", tls: \"off\" }} ]\n  \
         metrics: {{ bind: \"{metrics}\" }}\n  services: {services}\n"
    )
}
