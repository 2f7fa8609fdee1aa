//! What is spoken to a service's endpoints.

use std::path::PathBuf;

use super::identity::DnsName;

/// What is spoken to a service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamTls {
    /// Plaintext.
    Off,
    /// Mutual TLS: `enableMutualTLS: true`.
    Mutual {
        /// The DNS name an endpoint proves; `None`: the service's identity in the mesh.
        server_name: Option<DnsName>,
        /// A file of further roots, PEM.
        ca: Option<PathBuf>,
    },
    /// TLS to an outside service: `external: true` with `tls`.
    External {
        /// The DNS name an endpoint proves.
        server_name: DnsName,
        /// A file of further roots, PEM.
        ca: Option<PathBuf>,
    },
}
