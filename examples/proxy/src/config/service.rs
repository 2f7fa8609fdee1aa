//! `services`: what requests are for.

use std::time::Duration;

use mesh_core::{Endpoint, ServiceName, Version};
use mesh_traffic::router::HostPattern;

use super::authorization::Authorization;
use super::circuit_breaker::CircuitBreaker;
use super::compression::Compression;
use super::discovery::Discovery;
use super::fault::FaultInjection;
use super::load_balancing::LoadBalancing;
use super::origin::Origin;
use super::outlier::OutlierDetection;
use super::rate_limit::RateLimiting;
use super::retry::Retry;
use super::upstream_tls::UpstreamTls;

/// A service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Service {
    /// Where it was written.
    pub origin: Origin,
    /// Its name, unlike the others'.
    pub name: ServiceName,
    /// The port it is known by; DNS and Kubernetes discovery look for it.
    pub port: u16,
    /// How many endpoints are expected.
    pub replicas: Option<u32>,
    /// Whether it gets spans. Default true.
    pub enable_tracing: bool,
    /// The hosts that mean it; `None`: its name and its cluster DNS names. No two services share one.
    pub hosts: Option<Vec<HostPattern>>,
    /// The version that takes requests unless a rule or a rollout says otherwise.
    pub stable_version: Option<Version>,
    /// The endpoints that are listed, each address once.
    pub endpoints: Vec<Endpoint>,
    /// Where others come from, if written.
    pub discovery: Option<Discovery>,
    /// What is spoken to it.
    pub tls: UpstreamTls,
    /// Which HTTP is spoken to it. Default: what TLS agrees on, else HTTP/1.
    pub protocol: Protocol,
    /// Whether it stands outside the mesh. Default false.
    pub external: bool,
    /// Which endpoint takes a request.
    pub load_balancing: LoadBalancing,
    /// When it is given a rest; `None`: never.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// When an endpoint that fails is left out; `None`: never.
    pub outlier_detection: Option<OutlierDetection>,
    /// Which failures are tried again; `None`: only those that never reached it.
    pub retry: Option<Retry>,
    /// How long a request may take. Default `None`: any time.
    pub timeout: Option<Duration>,
    /// How many requests pass; its own, or `trafficManagement.rateLimiting`.
    pub rate_limiting: Option<RateLimiting>,
    /// Trouble on purpose.
    pub fault_injection: Option<FaultInjection>,
    /// Which responses are compressed.
    pub compression: Option<Compression>,
    /// Who may do what; `None`: anyone everything.
    pub authorization: Option<Authorization>,
}

/// Which HTTP is spoken to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// What TLS agrees on; HTTP/1 in plaintext.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, also in plaintext.
    Http2,
}
