//! `serviceMesh`: the whole of it.

use super::admin::{Admin, Metrics};
use super::identity::{Identity, Namespace, TrustDomain};
use super::listener::Listener;
use super::mutual_tls::MutualTls;
use super::rule::Rule;
use super::service::Service;
use super::telemetry::Telemetry;

/// `serviceMesh`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mesh {
    /// False: plain pass-through. Default true.
    pub enabled: bool,
    /// The namespace. Default `default`.
    pub namespace: Namespace,
    /// The trust domain. Default `cluster.local`.
    pub trust_domain: TrustDomain,
    /// What this process is to its peers.
    pub identity: Identity,
    /// Where requests come in; never empty.
    pub listeners: Vec<Listener>,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<Metrics>,
    /// Where dashboard and API are served; `None`: nowhere.
    pub admin: Option<Admin>,
    /// The services, each name once.
    pub services: Vec<Service>,
    /// Certificates; `None`: not enabled.
    pub mutual_tls: Option<MutualTls>,
    /// `trafficManagement.rules` in the order of the file, each id once.
    pub rules: Vec<Rule>,
    /// Spans and logs.
    pub telemetry: Telemetry,
}
