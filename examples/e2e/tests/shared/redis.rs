//! A Redis of its own. Needs `redis-server`, and fails without.

use std::net::SocketAddr;
use std::process::Stdio;

use e2e::{listen, until};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A Redis, until this is dropped.
#[allow(dead_code, reason = "not every test ends it and begins it again")]
pub(crate) struct Redis {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let address = listen().await.1;
        let folder = tempfile::tempdir().expect("a folder");
        let process = Self::run(address, &folder);
        let redis = Self {
            process,
            address,
            folder,
        };
        redis.answers().await;
        redis
    }

    pub(crate) fn run(address: SocketAddr, folder: &tempfile::TempDir) -> Child {
        Command::new("redis-server")
            .args(["--bind", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed, by the package of that name")
    }

    pub(crate) async fn answers(&self) {
        until("Redis listens", async || {
            TcpStream::connect(self.address).await.ok()
        })
        .await;
    }
}
