//! Where the demo lives: its folder, its addresses, its configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use http::Uri;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(super) const TRUST_DOMAIN: &str = "cluster.local";
pub(super) const NAMESPACE: &str = "dept-barc";
pub(super) const PROXY: &str = "service-mesh-proxy";

/// The folder, which is removed at the end, and the addresses.
pub(super) struct Place {
    folder: TempDir,
    file: PathBuf,
    inbound: SocketAddr,
    metrics: SocketAddr,
    admin: SocketAddr,
}

impl Place {
    /// Writes the configuration for these endpoints.
    pub(super) async fn make<'v>(
        endpoints: impl Iterator<Item = (SocketAddr, &'v str)>,
    ) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("mesh-demo-").tempdir();
        let folder = folder.map_err(|error| format!("there is no folder for the demo: {error}"))?;
        let (inbound, metrics, admin) = (free(8443).await?, free(9090).await?, free(9091).await?);
        let place = Self {
            file: folder.path().join("mesh.yaml"),
            folder,
            inbound,
            metrics,
            admin,
        };
        let text = place.configuration(endpoints);
        std::fs::write(&place.file, text).map_err(|error| format!("{}: {error}", place.file.display()))?;
        Ok(place)
    }

    /// The configuration. What a production one would have in minutes is in seconds here.
    fn configuration<'v>(&self, endpoints: impl Iterator<Item = (SocketAddr, &'v str)>) -> String {
        let Self {
            inbound,
            metrics,
            admin,
            ..
        } = self;
        let endpoints: Vec<String> = endpoints
            .map(|(address, version)| format!("{{ address: \"{address}\", version: {version} }}"))
            .collect();
        let (endpoints, state) = (endpoints.join(", "), self.folder.path().display());
        format!(
            "serviceMesh:
  namespace: {NAMESPACE}
  trustDomain: {TRUST_DOMAIN}
  identity: {{ service: {PROXY} }}
  listeners: [ {{ name: inbound, bind: \"{inbound}\", tls: strict }} ]
  metrics: {{ bind: \"{metrics}\" }}
  admin: {{ bind: \"{admin}\" }}
  mutualTLS: {{ enabled: true, enforceClientCerts: true, stateDir: \"{state}/ca\" }}
  services:
    - name: sample-service
      port: 3001
      enableMutualTLS: true
      stableVersion: v1
      endpoints: [ {endpoints} ]
canaryDeployment:
  autoPromote: true
  stages:
    - {{ weight: 5, duration: 5s }}
    - {{ weight: 10, duration: 5s }}
    - {{ weight: 20, duration: 5s }}
    - {{ weight: 50, duration: 5s }}
    - {{ weight: 100 }}
  successCriteria: {{ errorRate: 0.01, responseTime: 500, duration: 5 }}
  rollbackCriteria: {{ errorRate: 0.05, responseTime: 1000, duration: 2 }}
  routing: {{ sticky: false }}
  stateDir: \"{state}/canary\"
"
        )
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    pub(super) fn inbound(&self) -> SocketAddr {
        self.inbound
    }

    pub(super) fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub(super) fn admin_url(&self) -> Uri {
        let authority = self.admin.to_string();
        let parts = Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query("/");
        // An address makes an authority.
        parts.build().unwrap_or_default()
    }
}

/// A socket of this machine's own, and where it is.
pub(super) async fn socket() -> Result<(TcpListener, SocketAddr), String> {
    listen(0)
        .await
        .map_err(|error| format!("there is no port for the demo: {error}"))
}

/// The address with this port, if nobody has it; otherwise with another.
async fn free(port: u16) -> Result<SocketAddr, String> {
    match listen(port).await {
        Ok((_, address)) => Ok(address),
        Err(_) => socket().await.map(|(_, address)| address),
    }
}

async fn listen(port: u16) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[tokio::test]
    async fn the_demo_s_configuration_is_valid_and_nothing_of_it_is_warned_of() {
        let endpoints = [("127.0.0.1:4001", "v1"), ("127.0.0.1:4002", "v2")];
        let endpoints = endpoints.map(|(address, version)| (address.parse().expect("an address"), version));
        let place = Place::make(endpoints.into_iter()).await.expect("made");
        let loaded = config::load(place.file()).unwrap_or_else(|report| panic!("{report}"));
        let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [""; 0]);
    }
}
