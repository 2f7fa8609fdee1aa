//! `/api/v1/services`, `stats`, `endpoints`, `edges`, `routes`: what runs now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Json;
use axum::extract::{Query, State};
use http::StatusCode;
use mesh_core::metric::{Histogram, TrafficQuery};
use mesh_core::{EventBus, Version};
use mesh_lb::fleet::EndpointState;
use mesh_telemetry::recent::{Figure, Recent, Sum};
use mesh_telemetry::{EventLog, Telemetry};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::problem::Problem;
use crate::plan::{Plan, ServicePlan};

/// What is looked at.
pub(super) struct Shown {
    pub(super) telemetry: Telemetry,
    pub(super) events: EventLog,
    /// What is served by; nothing before the first configuration is adopted.
    pub(super) plan: ArcSwapOption<Plan>,
}

impl Shown {
    pub(super) fn new(telemetry: &Telemetry, bus: &EventBus) -> Self {
        Self {
            telemetry: telemetry.clone(),
            events: EventLog::start(telemetry, bus),
            plan: ArcSwapOption::empty(),
        }
    }

    fn plan(&self) -> Result<Arc<Plan>, Problem> {
        let starting = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this process is starting");
        self.plan.load_full().ok_or_else(starting)
    }
}

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only what concerns this service.
    service: Option<Box<str>>,
}

impl Which {
    fn is(&self, service: &str) -> bool {
        self.service.as_deref().is_none_or(|wanted| wanted == service)
    }

    /// The services that are meant; a problem if one is named that there is not.
    fn of<'p>(&self, plan: &'p Plan) -> Result<Vec<&'p ServicePlan>, Problem> {
        let meant: Vec<_> = plan
            .services
            .iter()
            .filter(|service| self.is(service.name.as_str()))
            .collect();
        match &self.service {
            Some(named) if meant.is_empty() => {
                let known: Vec<_> = plan
                    .services
                    .iter()
                    .map(|service| service.name.as_str())
                    .collect();
                let detail = format!(
                    "there is no service {named}: expected one of {}",
                    known.join(", ")
                );
                Err(Problem::new(StatusCode::NOT_FOUND, detail))
            }
            _ => Ok(meant),
        }
    }
}

/// How requests went in the last minute.
#[derive(Debug, Serialize, ToSchema)]
struct Went {
    requests: u64,
    /// How many a second.
    rate: f64,
    /// The share that did not end with 5xx, 0 to 1; nothing without requests.
    success_rate: Option<f64>,
    /// To the end of the response.
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl Went {
    fn of(sum: &Sum, recent: &Recent) -> Self {
        Self {
            requests: sum.requests,
            rate: recent.rate(sum.requests),
            success_rate: sum.success_rate(),
            p50_ms: quantile(&sum.latency, 0.5),
            p95_ms: quantile(&sum.latency, 0.95),
            p99_ms: quantile(&sum.latency, 0.99),
        }
    }
}

fn quantile(latency: &Histogram, q: f64) -> Option<f64> {
    latency.quantile(q).map(|latency| latency.as_secs_f64() * 1000.0)
}

/// The services.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Services {
    services: Vec<Service>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Service {
    #[schema(example = "sample-service")]
    name: String,
    /// How many endpoints take requests, of how many.
    healthy: usize,
    endpoints: usize,
    /// How many there should be (`replicas`); 0: not said.
    expected: usize,
    /// So few endpoints are well that all take requests.
    panic: bool,
    /// `closed`, `open` or `half_open`; nothing without `circuitBreaker`.
    #[schema(example = "closed")]
    breaker: Option<&'static str>,
    versions: Vec<Share>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Share {
    /// `stable`: what endpoints without a version are.
    version: String,
    /// The share of the requests it gets, in percent.
    weight: u32,
}

/// The services: their endpoints, their breaker, and the shares of their versions
#[utoipa::path(get, path = "/api/v1/services", tag = "traffic", params(Which), responses(
    (status = 200, body = Services),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such service"),
))]
pub(super) async fn services(
    State(shared): State<Shared>,
    Query(which): Query<Which>,
) -> Result<Json<Services>, Problem> {
    let plan = shared.shown.plan()?;
    let now = Instant::now();
    let service = |service: &ServicePlan| {
        let endpoints = service.fleet.status(now);
        let healthy = endpoints
            .iter()
            .filter(|endpoint| endpoint.state == EndpointState::Healthy);
        Service {
            name: service.name.to_string(),
            healthy: healthy.count(),
            endpoints: endpoints.len(),
            expected: service.expected,
            panic: service.fleet.roster().load().is_panic(),
            breaker: service.breaker.as_ref().map(|watched| watched.state().as_str()),
            versions: shares(service),
        }
    };
    Ok(Json(Services {
        services: which.of(&plan)?.into_iter().map(service).collect(),
    }))
}

fn name_of(version: Option<&Version>) -> String {
    version.map_or("stable", Version::as_str).to_owned()
}

fn shares(service: &ServicePlan) -> Vec<Share> {
    let Some(split) = &service.split else {
        return Vec::new();
    };
    let share = |version: &Option<Version>| Share {
        version: name_of(version.as_ref()),
        weight: split.share(version.as_ref()),
    };
    split.versions().iter().map(share).collect()
}

/// How requests went in the last minute, by service and by version.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stats {
    /// How long the last minute is: less if the process is younger.
    covered_s: f64,
    services: Vec<OfService>,
}

#[derive(Debug, Serialize, ToSchema)]
struct OfService {
    service: String,
    #[serde(flatten)]
    went: Went,
    /// What the versions made of it, where there are several: what a canary is judged by.
    versions: Vec<OfVersion>,
}

/// Attempts, each counted for the version that was tried; only those that its share brought it.
#[derive(Debug, Serialize, ToSchema)]
struct OfVersion {
    version: String,
    attempts: u64,
    /// How many of them were errors of the version.
    errors: u64,
    /// How many users had one, where users stay with a version.
    failed_users: Option<u64>,
    /// How many more there were that asked for it by a header, a cookie or a rule.
    pinned: u64,
    /// To the head of the answer.
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// How requests went in the last minute, by service and by version
#[utoipa::path(get, path = "/api/v1/stats", tag = "traffic", params(Which), responses(
    (status = 200, body = Stats),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such service"),
))]
pub(super) async fn stats(
    State(shared): State<Shared>,
    Query(which): Query<Which>,
) -> Result<Json<Stats>, Problem> {
    let plan = shared.shown.plan()?;
    let recent = shared.shown.telemetry.last_minute();
    let sums = recent.sums(|figure| Arc::clone(&figure.service));
    let of_service = |service: &ServicePlan| OfService {
        service: service.name.to_string(),
        went: Went::of(
            &sums.get(service.name.as_str()).cloned().unwrap_or_default(),
            &recent,
        ),
        versions: versions(service, &shared.shown.telemetry),
    };
    Ok(Json(Stats {
        covered_s: recent.covered.as_secs_f64(),
        services: which.of(&plan)?.into_iter().map(of_service).collect(),
    }))
}

fn versions(service: &ServicePlan, telemetry: &Telemetry) -> Vec<OfVersion> {
    let of_version = |share: Share| {
        let version = share.version.parse().ok()?;
        let query = TrafficQuery::new(service.name.clone(), version).with_window(Duration::from_secs(60));
        let traffic = telemetry.evidence().traffic(&query);
        Some(OfVersion {
            version: share.version,
            attempts: traffic.requests,
            errors: traffic.errors,
            failed_users: traffic.failed_users,
            pinned: traffic.pinned,
            p50_ms: quantile(&traffic.latency, 0.5),
            p95_ms: quantile(&traffic.latency, 0.95),
            p99_ms: quantile(&traffic.latency, 0.99),
        })
    };
    shares(service).into_iter().filter_map(of_version).collect()
}

/// The endpoints.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Endpoints {
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Endpoint {
    service: String,
    #[schema(example = "127.0.0.1:4001")]
    address: String,
    version: Option<String>,
    zone: Option<String>,
    weight: u32,
    /// `healthy`, `unhealthy`, `ejected`, `terminating` or `not_ready`.
    #[schema(example = "healthy")]
    state: &'static str,
    /// Why it takes no requests, and since when.
    trouble: Option<String>,
    /// The requests it is answering now.
    in_flight: u32,
}

/// The endpoints: health, load, and why those that take no requests take none
#[utoipa::path(get, path = "/api/v1/endpoints", tag = "traffic", params(Which), responses(
    (status = 200, body = Endpoints),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such service"),
))]
pub(super) async fn endpoints(
    State(shared): State<Shared>,
    Query(which): Query<Which>,
) -> Result<Json<Endpoints>, Problem> {
    let plan = shared.shown.plan()?;
    let now = Instant::now();
    let of_service = |service: &ServicePlan| {
        let name = service.name.to_string();
        let shown = service.fleet.status(now).into_iter().map(move |status| Endpoint {
            service: name.clone(),
            address: status.endpoint.id().to_string(),
            version: status.endpoint.version.as_ref().map(ToString::to_string),
            zone: status.endpoint.zone.as_ref().map(ToString::to_string),
            weight: status.endpoint.weight,
            state: status.state.as_str(),
            trouble: status.trouble,
            in_flight: status.in_flight,
        });
        shown.collect::<Vec<_>>()
    };
    Ok(Json(Endpoints {
        endpoints: which.of(&plan)?.into_iter().flat_map(of_service).collect(),
    }))
}

/// Who calls whom.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Edges {
    /// How long the last minute is: less if the process is younger.
    covered_s: f64,
    edges: Vec<Edge>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Edge {
    /// Who sent them; `unknown`: nobody with an identity.
    #[schema(example = "frontend")]
    source: String,
    /// The identities it proved; none, if it is this process's own application, or unknown.
    identities: Vec<String>,
    /// The service they went to; `unknown`: they were refused before that was decided.
    #[schema(example = "sample-service")]
    target: String,
    /// `inbound`: from peers; `outbound`: from the application beside this process.
    direction: &'static str,
    /// Whether the connections to the service's endpoints are encrypted, and who is there is verified.
    upstream_tls: bool,
    #[serde(flatten)]
    went: Went,
}

/// Who called whom in the last minute, with which identity, and how it went
#[utoipa::path(get, path = "/api/v1/edges", tag = "traffic", params(Which), responses((status = 200, body = Edges)))]
pub(super) async fn edges(
    State(shared): State<Shared>,
    Query(which): Query<Which>,
) -> Result<Json<Edges>, Problem> {
    let plan = shared.shown.plan()?;
    let telemetry = &shared.shown.telemetry;
    let recent = telemetry.last_minute();
    let key = |figure: &Figure| {
        let (source, target) = (Arc::clone(&figure.source), Arc::clone(&figure.service));
        (source, target, figure.direction.as_str())
    };
    let identities = telemetry.source_identities();
    let tls: BTreeMap<&str, bool> = plan
        .services
        .iter()
        .map(|service| (service.name.as_str(), service.tls.is_some()))
        .collect();
    let edge = |((source, target, direction), sum): ((Arc<str>, Arc<str>, &'static str), Sum)| {
        let proved = identities.get(&source).filter(|_| direction == "inbound");
        Edge {
            identities: proved.into_iter().flatten().map(ToString::to_string).collect(),
            upstream_tls: tls.get(&*target).copied().unwrap_or_default(),
            went: Went::of(&sum, &recent),
            source: source.to_string(),
            target: target.to_string(),
            direction,
        }
    };
    let sums = recent.sums(key).into_iter();
    let meant = sums.filter(|((source, target, _), _)| which.is(source) || which.is(target));
    Ok(Json(Edges {
        covered_s: recent.covered.as_secs_f64(),
        edges: meant.map(edge).collect(),
    }))
}

/// The routes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Routes {
    /// How long the last minute is: less if the process is younger.
    covered_s: f64,
    /// In the order of the configuration: services by host, then rules with their destinations.
    routes: Vec<Route>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Route {
    /// The id of the rule; nothing: a service by its host.
    rule: Option<String>,
    /// Where it leads; nothing: it answers by itself.
    service: Option<String>,
    /// The version it leads to.
    version: Option<String>,
    /// How long a request may take.
    timeout_ms: Option<f64>,
    #[serde(flatten)]
    went: Went,
}

/// The routes, and how requests by them went in the last minute
#[utoipa::path(get, path = "/api/v1/routes", tag = "traffic", params(Which), responses(
    (status = 200, body = Routes),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such service"),
))]
pub(super) async fn routes(
    State(shared): State<Shared>,
    Query(which): Query<Which>,
) -> Result<Json<Routes>, Problem> {
    let plan = shared.shown.plan()?;
    which.of(&plan)?;
    let recent = shared.shown.telemetry.last_minute();
    let route = |decision: &mesh_traffic::Decision| {
        let target = decision.target();
        let service = target.map_or("unknown", |target| target.service.as_str());
        let version = target.and_then(|target| target.version.as_ref());
        let (rule, shown) = (decision.rule().unwrap_or_default(), name_of(version));
        let sum = recent
            .sum(|figure| *figure.service == *service && *figure.version == *shown && *figure.route == *rule);
        Route {
            rule: decision.rule().map(ToOwned::to_owned),
            service: target.map(|target| target.service.to_string()),
            version: version.map(ToString::to_string),
            timeout_ms: decision.timeout().map(|timeout| timeout.as_secs_f64() * 1000.0),
            went: Went::of(&sum, &recent),
        }
    };
    let meant = plan.table.decisions().iter().filter(|decision| {
        let service = decision.target().map_or("", |target| target.service.as_str());
        which.is(service)
    });
    Ok(Json(Routes {
        covered_s: recent.covered.as_secs_f64(),
        routes: meant.map(route).collect(),
    }))
}
