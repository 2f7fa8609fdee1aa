//! `serviceMesh`: the whole of it.

use std::path::PathBuf;
use std::sync::Arc;

use mesh_core::{ServiceName, SpiffeId};

use super::admin::{Admin, Metrics};
use super::context::Wrong;
use super::defaults;
use super::fault::FaultBounds;
use super::identity;
use super::identity::{Identity, Namespace, TrustDomain};
use super::listener::Listener;
use super::listener::ListenerTls;
use super::mutual_tls::MutualTls;
use super::names::Names;
use super::rate_limit::{LimitStore, RateLimiting};
use super::rule::Rule;
use super::service::{Around, Service};
use super::shape::{Fields, boolean, list, object, parsed, path, text};
use super::telemetry::Telemetry;
use super::{admin, fault, limits, listener, mutual_tls, rate_limit, rule, service, telemetry};

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
    /// The zone this process runs in; `None`: zones do not matter.
    pub zone: Option<Arc<str>>,
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
    /// Where limits are counted that replicas share.
    pub limit_store: Option<LimitStore>,
    /// What holds for all faults.
    pub faults: FaultBounds,
    /// `trafficManagement.rules` in the order of the file, each id once.
    pub rules: Vec<Rule>,
    /// `trafficManagement.gatewayApi`: files with routes of the Gateway API, which [`load`](super::load) adds to the
    /// rules.
    pub gateway_files: Vec<PathBuf>,
    /// Spans and logs.
    pub telemetry: Telemetry,
}

/// `has_rollouts` follows from `canaryDeployment`.
pub(super) fn read(fields: &mut Fields<'_>, names: &Names, has_rollouts: bool) -> Option<Mesh> {
    let enabled = fields.or("enabled", boolean(), true);
    let namespace = parsed(identity::NAMESPACE, identity::namespace);
    let namespace = fields.or(
        "namespace",
        namespace,
        identity::namespace(defaults::NAMESPACE).ok()?,
    );
    let trust_domain = parsed(identity::TRUST_DOMAIN, identity::trust_domain);
    let default_domain = identity::trust_domain(defaults::TRUST_DOMAIN).ok()?;
    let trust_domain = fields.or("trustDomain", trust_domain, default_domain);
    let zone = fields.optional("zone", text("the name of a zone"));
    let service = fields.part("identity", object(identity::read_service));
    let mutual_tls = fields.optional("mutualTLS", object(mutual_tls::read));
    // A block that could not be read was written to be used.
    let has_certificates = fields.has("mutualTLS") && mutual_tls.as_ref().is_none_or(Option::is_some);
    let mutual_tls = mutual_tls.flatten();
    let default_tls = match &mutual_tls {
        Some(tls) if tls.enforce_client_certs => ListenerTls::Strict,
        Some(_) => ListenerTls::Permissive,
        None => ListenerTls::Off,
    };
    let listener = |fields: &mut Fields<'_>| listener::read(fields, default_tls, has_certificates);
    let listeners = fields.optional("listeners", list(object(listener)).not_empty());
    let metrics = fields.part("metrics", object(admin::read_metrics));
    let admin = fields.part("admin", object(admin::read_admin));
    let faults = fields.part("faults", object(fault::read_bounds));
    let traffic = |fields: &mut Fields<'_>| read_traffic(fields, names);
    let traffic = fields.part("trafficManagement", object(traffic));
    let limit = traffic
        .as_ref()
        .and_then(|traffic| traffic.rate_limiting.as_ref());
    let around = Around {
        has_certificates,
        has_rollouts,
        rate_limiting: limit,
    };
    let service_of = |fields: &mut Fields<'_>| service::read(fields, &around);
    let services = fields.optional("services", list(object(service_of)));
    let telemetry = fields.part("telemetry", object(telemetry::read));

    let origin = fields.origin();
    let id = identity_of(fields, &namespace, &trust_domain, service.as_ref());
    let listeners = match listeners {
        Some(listeners) => listeners,
        None => vec![listener::default(
            origin,
            fields.unwritten(limits::read)?,
            default_tls,
        )],
    };
    let Traffic {
        rules,
        limit_store,
        gateway_files,
        ..
    } = traffic?;
    let services = services.unwrap_or_default();
    let limits = services.iter().map(|service| &service.rate_limiting);
    let mut limits = limits
        .chain(rules.iter().map(|rule| &rule.rate_limiting))
        .flatten();
    if limit_store.is_none() && limits.any(|limit| limit.shared) {
        let wrong = Wrong::expected("limitStore beside it, to say where shared limits are counted");
        fields.refuse(
            "trafficManagement",
            "a shared rateLimiting and no limitStore",
            wrong,
        );
    }
    Some(Mesh {
        enabled,
        namespace,
        trust_domain,
        zone: zone.map(Arc::from),
        identity: Identity {
            service: service?,
            id: id?,
        },
        listeners,
        metrics: metrics?,
        admin: admin?,
        services,
        mutual_tls,
        faults: faults?,
        limit_store,
        rules,
        gateway_files,
        telemetry: telemetry?,
    })
}

/// `trafficManagement`.
struct Traffic {
    rate_limiting: Option<RateLimiting>,
    limit_store: Option<LimitStore>,
    rules: Vec<Rule>,
    gateway_files: Vec<PathBuf>,
}

fn read_traffic(fields: &mut Fields<'_>, names: &Names) -> Option<Traffic> {
    let rate_limiting = fields.optional("rateLimiting", object(rate_limit::read));
    let limit_store = fields.optional("limitStore", object(rate_limit::read_store));
    let rules = list(object(|fields: &mut Fields<'_>| rule::read(fields, names)));
    let rules = fields.optional("rules", rules);
    let files = fields.optional("gatewayApi", list(path("the path of a file")));
    Some(Traffic {
        rate_limiting: rate_limiting.flatten(),
        limit_store,
        rules: rules.unwrap_or_default(),
        gateway_files: files.unwrap_or_default(),
    })
}

/// Each part is fine by itself; together they may be longer than an ID can be.
fn identity_of(
    fields: &mut Fields<'_>,
    namespace: &Namespace,
    trust_domain: &TrustDomain,
    service: Option<&ServiceName>,
) -> Option<SpiffeId> {
    let service = service?;
    match SpiffeId::of_service(trust_domain.as_str(), namespace.as_str(), service.as_str()) {
        Ok(id) => Some(id),
        Err(error) => {
            let wrong = Wrong::expected("a service whose SPIFFE ID is valid");
            fields.refuse("identity", error.to_string(), wrong);
            None
        }
    }
}
