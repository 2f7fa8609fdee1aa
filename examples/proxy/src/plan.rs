//! A configuration, compiled: what every worker shares, read-only.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::context::{Direction, Target};
use mesh_core::edge::EdgePolicy;
use mesh_core::forwarded::{TargetMarks, Trust};
use mesh_core::serve::ServeLimits;
use mesh_core::{KeyBy, ServiceName, Version};
use mesh_lb::endpoint::Limits;
use mesh_lb::{Fleet, PoolSettings, Protocol};
use mesh_telemetry::metrics::{RouteMetrics, ServiceMetrics};
use mesh_telemetry::{ServiceEvidence, Telemetry};
use mesh_tls::{ClientCerts, Identity};
use mesh_traffic::compression::CompressionRule;
use mesh_traffic::fault::FaultLayer;
use mesh_traffic::retry::Retries;
use mesh_traffic::router::{Action, CookieKey};
use mesh_traffic::{Decision, LiveSplit, RouteTable};

use crate::authorization::{self, Authorization};
use crate::breakers::{Breakers, Watched};
use crate::config::{self, Config, ListenerTls};
use crate::faults::{self, Faults};
use crate::fleets::{self, Asking, Fleets, Source};
use crate::inbound::MirrorTo;
use crate::mirrors::{self, Mirrors};
use crate::rate_limits::{self, RateLimit, RateLimits};
use crate::retries::{self, RetryBudgets};
use crate::routing;
use crate::tellers::{self, Told};
use crate::upstream::Upstream;

/// A compiled configuration.
pub struct Plan {
    /// Decides where requests go.
    pub table: RouteTable,
    /// For each decision of the table, at its index, what a request needs of it.
    pub prepared: Vec<Prepared>,
    /// For requests refused before they were decided.
    pub unrouted: ByDirection,
    /// What is told of those.
    pub told_unrouted: Option<Told>,
    /// The services.
    pub services: Vec<ServicePlan>,
    /// The listeners.
    pub listeners: Vec<ListenerPlan>,
    /// All authorization of it.
    pub authorization: authorization::Compiled,
    /// All limits of it.
    pub limits: rate_limits::Compiled,
    /// All trouble on purpose of it.
    pub faults: faults::Compiled,
    /// All mirrors of it.
    pub mirrors: mirrors::Compiled,
    /// All retries of it.
    pub retries: retries::Compiled,
    /// Whether any request may ask for trouble.
    pub hears_requests: bool,
    /// Which of the services this process is an instance of, if it is one of them.
    pub own: Option<usize>,
    /// Where what concerns the whole process is counted.
    pub telemetry: Telemetry,
}

/// What is kept from one configuration to the next and decides on requests.
#[derive(Clone, Copy)]
pub struct Policies<'p> {
    /// The rate limits in use.
    pub limits: &'p RateLimits,
    /// The trouble on purpose in use.
    pub faults: &'p Faults,
    /// The circuit breakers in use.
    pub breakers: &'p Breakers,
    /// The mirrors in use.
    pub mirrors: &'p Mirrors,
    /// The budgets of retries in use.
    pub retries: &'p RetryBudgets,
    /// Who is told of requests.
    pub tellers: &'p tellers::Compiled,
    /// What sticky cookies are signed with.
    pub cookie_key: &'p CookieKey,
}

/// What a request needs of a decision.
pub struct Prepared {
    /// What the request is told of its destination.
    pub marks: TargetMarks,
    /// Where it is counted.
    pub metrics: ByDirection,
    /// Which of the plan's services takes it.
    pub service: Option<usize>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Who may do what there.
    pub authorization: Option<Arc<Authorization>>,
    /// How many of them pass: the rule's limit, then the service's.
    pub limits: Box<[RateLimit]>,
    /// What trouble they get into, at each try.
    pub faults: Option<FaultLayer>,
    /// Where copies of them go.
    pub mirrors: Box<[MirrorTo]>,
    /// How they are tried again, if anything is written about that.
    pub retries: Option<Retries>,
    /// What is told of them, if anybody is.
    pub told: Option<Told>,
}

/// The metrics of one target, for requests of either direction.
pub struct ByDirection {
    inbound: Arc<RouteMetrics>,
    outbound: Arc<RouteMetrics>,
}

impl ByDirection {
    /// Those of this direction.
    pub fn of(&self, direction: Direction) -> &Arc<RouteMetrics> {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }
}

/// A service, as its balancers need it.
#[derive(Clone)]
pub struct ServicePlan {
    /// Its name.
    pub name: ServiceName,
    /// Its endpoints, and what is known of them. All workers share it.
    pub fleet: Fleet,
    /// Where they come from.
    pub source: Source,
    /// How they are asked whether they are well.
    pub asking: Option<Asking>,
    /// Gives it a rest if it keeps failing.
    pub breaker: Option<Watched>,
    /// Which of its responses are compressed.
    pub compression: Option<CompressionRule>,
    /// How its pools behave.
    pub settings: PoolSettings,
    /// Which endpoint takes a request.
    pub algorithm: config::Algorithm,
    /// What requests are told apart by, if the algorithm does.
    pub hash_key: KeyBy,
    /// How connections to its endpoints are made; `None`: in plaintext.
    pub tls: Option<Upstream>,
    /// How many endpoints are expected.
    pub expected: usize,
    /// The versions of its endpoints that were found when this was compiled.
    pub found: BTreeSet<Option<Version>>,
    /// The shares of its versions, if it has several.
    pub split: Option<LiveSplit>,
    /// Whether users stay with the version they got.
    pub users_stay: bool,
    /// Where attempts are counted.
    pub metrics: Arc<ServiceMetrics>,
    /// Where they are counted for the versions that met them.
    pub evidence: Arc<ServiceEvidence>,
    /// Where what concerns the whole process is counted.
    pub telemetry: Telemetry,
}

impl ServicePlan {
    /// Whether the connections to its endpoints can stay as they are.
    pub fn keeps_connections_of(&self, before: &Self) -> bool {
        self.settings == before.settings && self.tls == before.tls
    }

    /// Whether requests that have something in common go to one endpoint.
    pub fn goes_by_key(&self) -> bool {
        matches!(
            self.algorithm,
            config::Algorithm::RingHash | config::Algorithm::Maglev
        )
    }

    /// Whether its balancers can stay as they are: they follow the fleet by themselves.
    pub fn keeps_balancers_of(&self, before: &Self) -> bool {
        self.keeps_connections_of(before)
            && self.fleet.is_same_as(&before.fleet)
            && self.algorithm == before.algorithm
            && self.hash_key == before.hash_key
    }
}

/// A listener, as its servers need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerPlan {
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens.
    pub bind: SocketAddr,
    /// Whom it serves.
    pub direction: Direction,
    /// What this process is; the source of what comes in on an outbound listener.
    pub own: ServiceName,
    /// Whose word counts.
    pub trust: Trust,
    /// Whether a connection may become a WebSocket.
    pub websocket: bool,
    /// What the edge lets in.
    pub edge: EdgePolicy,
    /// What its server allows.
    pub limits: ServeLimits,
    /// What is spoken.
    pub tls: ListenerTls,
    /// Whether a client that speaks TLS has to show a certificate.
    pub client_certs: ClientCerts,
    /// Who it is to its clients.
    pub identity: Option<Identity>,
}

impl Plan {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// If a file of roots cannot be read; or the table refuses it: the configuration was not checked as it should
    /// have been.
    pub fn compile(
        config: &Config,
        identity: Option<&Identity>,
        telemetry: &Telemetry,
        fleets: &Fleets,
        policies: Policies<'_>,
    ) -> Result<Self, String> {
        let mesh = &config.mesh;
        let found = fleets.found();
        let (table, splits) = routing::table_with(config, fleets.splits(), &found, policies.cookie_key)?;
        let services = mesh
            .services
            .iter()
            .map(|service| {
                let tls = Upstream::of(service, mesh, identity)
                    .map_err(|error| format!("service {}: {error}", service.name))?;
                let source =
                    Source::of(service).map_err(|error| format!("service {}: {error}", service.name))?;
                let split = splits.get(&service.name).cloned();
                let plan = plan(service, mesh, tls, source, telemetry, fleets);
                if let Some(split) = &split {
                    plan.evidence.know(split.versions().iter().map(Option::as_ref));
                }
                let users_stay = routing::pins(service, config, policies.cookie_key).is_sticky();
                Ok(ServicePlan {
                    found: found.get(&service.name).cloned().unwrap_or_default(),
                    breaker: breaker(service, &plan, split.as_ref(), policies.breakers, fleets),
                    split,
                    users_stay,
                    ..plan
                })
            })
            .collect::<Result<Vec<ServicePlan>, String>>()?;
        let by_name: HashMap<&str, usize> = services
            .iter()
            .enumerate()
            .map(|(i, s)| (s.name.as_str(), i))
            .collect();
        let authorization = authorization::compile(mesh, telemetry)?;
        let limits = policies.limits.compile(mesh, fleets.events())?;
        let faults = policies.faults.compile(mesh, telemetry)?;
        let mirrors = policies.mirrors.compile(mesh, telemetry)?;
        let to_mirror = |(mirror, to): (_, &config::Mirror)| {
            let service = *by_name.get(to.service.as_str())?;
            MirrorTo::new(mirror, service, &to.service, to.version.clone())
        };
        let retries = policies.retries.compile(mesh, &table, telemetry)?;
        let own = &mesh.identity.service;
        // Of what is for no service there are spans if there are any.
        let spans = |target: &Target| match by_name.get(target.service.as_str()) {
            Some(service) => mesh
                .services
                .get(*service)
                .is_some_and(|service| service.enable_tracing),
            None => true,
        };
        let unknown = ServiceName::new("unknown").map_err(|error| error.to_string())?;
        let prepare = |decision: &Decision| {
            let target = match decision.action() {
                Action::Forward(target) => target.clone(),
                _ => Target::service(unknown.clone()).with_route(decision.rule().map(Arc::from)),
            };
            Prepared {
                marks: TargetMarks::new(&target.service),
                service: decision
                    .target()
                    .and_then(|target| by_name.get(target.service.as_str()).copied()),
                metrics: ByDirection {
                    inbound: telemetry.route(&target, Direction::Inbound),
                    outbound: telemetry.route(&target, Direction::Outbound),
                },
                timeout: decision.timeout(),
                authorization: authorization.met_by(decision),
                limits: limits.met_by(decision),
                faults: faults.met_by(decision),
                mirrors: mirrors.met_by(decision).filter_map(to_mirror).collect(),
                retries: retries.met_by(decision),
                told: policies.tellers.of(Some(&target), spans(&target), own),
            }
        };
        let prepared = table.decisions().iter().map(prepare).collect();
        Ok(Self {
            prepared,
            table,
            authorization,
            limits,
            retries,
            hears_requests: faults.hear_requests(),
            faults,
            mirrors,
            unrouted: ByDirection {
                inbound: telemetry.unrouted(Direction::Inbound),
                outbound: telemetry.unrouted(Direction::Outbound),
            },
            told_unrouted: policies.tellers.of(None, true, own),
            own: by_name.get(mesh.identity.service.as_str()).copied(),
            telemetry: telemetry.clone(),
            services,
            listeners: mesh
                .listeners
                .iter()
                .map(|listener| listening(listener, mesh, identity))
                .collect(),
        })
    }
}

/// What is spoken to the endpoints of a service.
pub fn protocol(protocol: config::Protocol) -> Protocol {
    match protocol {
        config::Protocol::Auto => Protocol::Auto,
        config::Protocol::Http1 => Protocol::Http1,
        config::Protocol::Http2 => Protocol::Http2,
    }
}

/// The breakers of a service, one for each of its versions.
fn breaker(
    service: &config::Service,
    plan: &ServicePlan,
    split: Option<&LiveSplit>,
    breakers: &Breakers,
    fleets: &Fleets,
) -> Option<Watched> {
    let policy = service.circuit_breaker.as_ref()?.policy;
    let others = split.map_or(&[][..], |split| split.versions().get(1..).unwrap_or_default());
    let others: Vec<Version> = others.iter().flatten().cloned().collect();
    let watched = breakers.of(
        &service.name,
        &others,
        policy,
        &plan.fleet,
        &plan.metrics,
        fleets.events(),
    );
    Some(watched)
}

fn plan(
    service: &config::Service,
    mesh: &config::Mesh,
    tls: Option<Upstream>,
    source: Source,
    telemetry: &Telemetry,
    fleets: &Fleets,
) -> ServicePlan {
    let mut settings = PoolSettings::default();
    settings.protocol = protocol(service.protocol);
    let mut limits = Limits::default();
    if let Some(breaker) = &service.circuit_breaker {
        limits.max_connections = breaker.max_connections as usize;
        limits.max_pending = breaker.max_pending_requests as usize;
        limits.max_requests = breaker.max_requests as usize;
    }
    let fleet = fleets.of(&service.name, fleets::policy(service, mesh, limits));
    let metrics = telemetry.service(&service.name);
    ServicePlan {
        name: service.name.clone(),
        fleet,
        breaker: None,
        compression: service
            .compression
            .map(|compression| CompressionRule::default().with_min_size(compression.min_size)),
        source,
        asking: Asking::of(service, tls.as_ref()),
        settings,
        algorithm: service.load_balancing.algorithm,
        hash_key: service.load_balancing.hash_key.clone(),
        tls,
        expected: service.replicas.unwrap_or(0) as usize,
        found: BTreeSet::new(),
        split: None,
        users_stay: false,
        metrics,
        evidence: telemetry.evidence().service(&service.name),
        telemetry: telemetry.clone(),
    }
}

fn listening(listener: &config::Listener, mesh: &config::Mesh, identity: Option<&Identity>) -> ListenerPlan {
    let enforced = mesh
        .mutual_tls
        .as_ref()
        .is_none_or(|tls| tls.enforce_client_certs);
    let limits = &listener.limits;
    let mut edge = EdgePolicy::default();
    edge.max_uri_bytes = limits.max_uri_bytes;
    edge.max_headers = limits.max_headers;
    let mut serve = ServeLimits::default();
    serve.request_head = limits.request_head;
    serve.idle = limits.idle;
    serve.keep_alive = limits.keep_alive;
    serve.max_head_bytes = limits.max_head_bytes;
    serve.max_headers = limits.max_headers;
    serve.max_connections = limits.max_connections;
    serve.max_streams = limits.max_streams;
    serve.max_connection_age = limits.max_connection_age;
    ListenerPlan {
        name: listener.name.clone().into(),
        bind: listener.bind,
        direction: match listener.direction {
            config::Direction::Inbound => Direction::Inbound,
            config::Direction::Outbound => Direction::Outbound,
        },
        own: mesh.identity.service.clone(),
        trust: trust(&listener.trust),
        websocket: listener.upgrades.contains(&config::Upgrade::WebSocket),
        edge,
        limits: serve,
        tls: listener.tls,
        client_certs: match enforced {
            true => ClientCerts::Required,
            false => ClientCerts::Optional,
        },
        identity: identity.filter(|_| listener.tls != ListenerTls::Off).cloned(),
    }
}

fn trust(trust: &config::Trust) -> Trust {
    match trust {
        config::Trust::Hops(hops) => Trust::hops(u8::try_from(*hops).unwrap_or(u8::MAX)),
        config::Trust::Proxies(proxies) => {
            let networks = proxies.iter().filter_map(|proxy| match proxy {
                config::TrustedProxy::Network(network) => Some(*network),
                config::TrustedProxy::Identity(_) => None,
            });
            let identities = proxies.iter().filter_map(|proxy| match proxy {
                config::TrustedProxy::Identity(identity) => Some(identity.clone()),
                config::TrustedProxy::Network(_) => None,
            });
            Trust::proxies(networks, identities)
        }
    }
}
