//! `services`: what requests are for.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use mesh_core::{Endpoint, ServiceName, Version};
use mesh_traffic::router::HostPattern;

use super::authorization::Authorization;
use super::circuit_breaker::CircuitBreaker;
use super::compression::Compression;
use super::context::Wrong;
use super::discovery::Discovery;
use super::fault::FaultInjection;
use super::grammar::{self, HOST_PATTERN, SERVICE, VERSION};
use super::load_balancing::LoadBalancing;
use super::near::nearest;
use super::origin::Origin;
use super::outlier::OutlierDetection;
use super::rate_limit::RateLimiting;
use super::retry::Retry;
use super::shape::{Fields, boolean, duration, integer, list, object, parsed, word};
use super::upstream_tls::UpstreamTls;
use super::{authorization, circuit_breaker, compression, discovery, endpoint, fault};
use super::{load_balancing, outlier, rate_limit, retry, upstream_tls};

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

/// What other parts of the file say about every service.
pub(super) struct Around<'m> {
    /// `mutualTLS` is enabled.
    pub(super) has_certificates: bool,
    /// `canaryDeployment` is.
    pub(super) has_rollouts: bool,
    /// `trafficManagement.rateLimiting`.
    pub(super) rate_limiting: Option<&'m RateLimiting>,
}

pub(super) fn read(fields: &mut Fields<'_>, around: &Around<'_>) -> Option<Service> {
    let origin = fields.origin();
    let name = fields.required("name", parsed(SERVICE, grammar::service_name));
    let port = fields.required("port", integer(1..=65_535_u16));
    let replicas = fields.optional("replicas", integer(0..=100_000));
    let enable_tracing = fields.or("enableTracing", boolean(), true);
    let hosts = fields.optional("hosts", list(parsed(HOST_PATTERN, grammar::host_pattern)));
    let stable_version = fields.optional("stableVersion", parsed(VERSION, grammar::version).verbatim());
    let endpoints = fields.optional("endpoints", list(endpoint::shape()));
    let discovery = fields.optional("discovery", object(discovery::read));
    let mutual = fields.or("enableMutualTLS", boolean(), false);
    let external = fields.or("external", boolean(), false);
    let tls = upstream_tls::read(fields, mutual, external, around.has_certificates);
    let protocols = word(&[
        ("auto", Protocol::Auto),
        ("http1", Protocol::Http1),
        ("http2", Protocol::Http2),
    ]);
    let protocol = fields.or("protocol", protocols, Protocol::Auto);
    let load_balancing = fields.part("loadBalancing", object(load_balancing::read));
    let circuit_breaker = fields.part("circuitBreaker", object(circuit_breaker::read));
    let outlier_detection = fields.part("outlierDetection", object(outlier::read));
    let retry = fields.optional("retry", object(retry::read));
    let timeout = fields.optional("timeout", duration());
    let rate_limiting = fields.optional("rateLimiting", object(rate_limit::read));
    // A block of its own, also one that says `enabled: false`, takes the place of the one for all.
    let rate_limiting = match fields.has("rateLimiting") {
        true => rate_limiting.flatten(),
        false => around.rate_limiting.cloned(),
    };
    let fault_injection = fields.optional("faultInjection", object(fault::read));
    let compression = fields.optional("compression", object(compression::read));
    let authorization = fields.optional("authorization", object(authorization::read));

    if let Some(endpoints) = &endpoints {
        check_endpoints(fields, endpoints);
        check_versions(fields, endpoints, stable_version.as_ref(), around.has_rollouts);
    }
    Some(Service {
        origin,
        name: name?,
        port: port?,
        replicas,
        enable_tracing,
        hosts,
        stable_version,
        endpoints: endpoints.unwrap_or_default(),
        discovery,
        tls: tls?,
        protocol,
        external,
        load_balancing: load_balancing?,
        circuit_breaker: circuit_breaker?,
        outlier_detection: outlier_detection?,
        retry: retry.flatten(),
        timeout,
        rate_limiting,
        fault_injection: fault_injection.flatten(),
        compression: compression.flatten(),
        authorization: authorization.flatten(),
    })
}

fn check_endpoints(fields: &mut Fields<'_>, endpoints: &[Endpoint]) {
    let mut seen = HashSet::new();
    for endpoint in endpoints {
        if !seen.insert(endpoint.id()) {
            let found = format!("the address {} twice", endpoint.address);
            fields.refuse("endpoints", found, Wrong::expected("each address once"));
        }
    }
    let weightless = !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.weight == 0);
    if weightless {
        let wrong = Wrong::expected("at least one endpoint of a weight above 0");
        fields.refuse("endpoints", "endpoints of weight 0 only", wrong);
    }
}

/// Which version is stable has to be known when there are several.
fn check_versions(
    fields: &mut Fields<'_>,
    endpoints: &[Endpoint],
    stable: Option<&Version>,
    has_rollouts: bool,
) {
    let listed: BTreeSet<Option<&Version>> = endpoints
        .iter()
        .map(|endpoint| endpoint.version.as_ref())
        .collect();
    let named: Vec<&str> = listed.iter().flatten().map(|version| version.as_str()).collect();
    let is_whole = !fields.has("discovery") && !endpoints.is_empty();
    match stable {
        Some(stable) if is_whole && !listed.contains(&Some(stable)) && !listed.contains(&None) => {
            let near = nearest(stable.as_str(), named.iter().copied());
            let wrong = Wrong::expected(format!("a version that an endpoint has: {}", named.join(", ")));
            fields.refuse(
                "stableVersion",
                format!("{:?}", stable.as_str()),
                wrong.meant(near),
            );
        }
        // Endpoints without a version are the stable ones.
        None if !fields.has("stableVersion") && named.len() > 1 && !listed.contains(&None) => {
            let versions = named.join(", ");
            if has_rollouts {
                let message = format!(
                    "it is missing, and endpoints have the versions {versions}: until a rollout has recorded which is \
                     stable, requests have nowhere to go"
                );
                fields.advise("stableVersion", message);
            } else {
                let wrong = Wrong::expected(format!("one of the versions endpoints have: {versions}"));
                fields.missing(
                    "stableVersion",
                    wrong.because("requests would have nowhere to go"),
                );
            }
        }
        _ => {}
    }
}
