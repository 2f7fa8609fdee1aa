//! TLS to a service's endpoints.

use std::path::Path;

use mesh_core::SpiffeId;
use mesh_core::connect::HttpProtocol;
use mesh_tls::{CertificateDer, Identity, ServerName, TlsConnect, TlsPolicy, pem};

use crate::config::{DnsName, Mesh, Protocol, Service, UpstreamTls};
use crate::identity::policy;

/// How connections to a service's endpoints are made.
#[derive(Clone)]
pub struct Upstream {
    /// What the connector was made from.
    made_from: (
        UpstreamTls,
        Protocol,
        Vec<CertificateDer<'static>>,
        Option<Identity>,
    ),
    connector: TlsConnect,
}

impl PartialEq for Upstream {
    fn eq(&self, other: &Self) -> bool {
        self.made_from == other.made_from
    }
}

impl Upstream {
    /// As the configuration says; nothing for plaintext.
    ///
    /// # Errors
    /// A file of roots cannot be read, or what it holds is no root.
    pub fn of(service: &Service, mesh: &Mesh, identity: Option<&Identity>) -> Result<Option<Self>, String> {
        let (connector, roots, identity) = match &service.tls {
            UpstreamTls::Off => return Ok(None),
            UpstreamTls::Mutual { server_name, ca } => {
                let identity = identity
                    .ok_or("mutual TLS without mutualTLS, which gives this process its certificate")?;
                let connector = match server_name {
                    Some(name) => identity.connect_to_name(dns(name)?),
                    None => identity.connect_to(expected(service, mesh)?),
                };
                let roots = ca.as_deref().map_or(Ok(Vec::new()), roots_of)?;
                let connector = match roots.is_empty() {
                    true => connector,
                    false => connector
                        .with_roots(roots.clone())
                        .map_err(|error| error.to_string())?,
                };
                (connector, roots, Some(identity.clone()))
            }
            UpstreamTls::External { server_name, ca } => {
                let mut roots = mesh_tls::system_roots();
                roots.extend(ca.as_deref().map_or(Ok(Vec::new()), roots_of)?);
                let policy = mesh.mutual_tls.as_ref().map_or_else(TlsPolicy::default, policy);
                let connector = TlsConnect::external(dns(server_name)?, roots.iter().cloned(), &policy);
                (connector.map_err(|error| error.to_string())?, roots, None)
            }
        };
        let connector = match service.protocol {
            Protocol::Auto => connector,
            Protocol::Http1 => connector.with_protocols([HttpProtocol::Http1]),
            Protocol::Http2 => connector.with_protocols([HttpProtocol::Http2]),
        };
        Ok(Some(Self {
            made_from: (service.tls.clone(), service.protocol, roots, identity),
            connector,
        }))
    }

    /// Makes the connections. Clones follow the same identity.
    pub fn connector(&self) -> TlsConnect {
        self.connector.clone()
    }
}

/// Who an endpoint of this service has to prove to be.
fn expected(service: &Service, mesh: &Mesh) -> Result<SpiffeId, String> {
    let (domain, namespace) = (mesh.trust_domain.as_str(), mesh.namespace.as_str());
    SpiffeId::of_service(domain, namespace, service.name.as_str()).map_err(|error| error.to_string())
}

fn dns(name: &DnsName) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.as_str().to_owned()).map_err(|_| format!("{name} is not a DNS name"))
}

fn roots_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("tls.ca: {}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| wrong(&error))?;
    pem::certificates(&text).map_err(|error| wrong(&error))
}
