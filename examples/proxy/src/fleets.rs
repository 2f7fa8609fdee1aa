//! The fleets of the services: kept from one configuration to the next, each looked after once for all workers.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_core::discovery::ServiceDiscovery;
use mesh_core::{EndpointSet, EventBus, ServiceName, Version};
use mesh_lb::discovery::{Dns, DnsName, DnsSettings, EndpointFile, LiveWatch, Merge};
use mesh_lb::fleet::{EndpointState, Fleet, FleetPolicy, SubsetPolicy};
use mesh_lb::health::{GrpcCheck, HealthDriver, HealthSettings, HttpCheck, Schedule, TcpCheck, Thresholds};
use mesh_lb::outlier::OutlierConfig;
use mesh_telemetry::metrics::EndpointCounts;
use mesh_traffic::{LiveSplit, LiveSplits};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::{self, HealthCheckKind};
use crate::plan::ServicePlan;
use crate::routing;
use crate::upstream::Upstream;

/// Where the endpoints of a service come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Those that are written down.
    pub listed: EndpointSet,
    /// Those that are found.
    pub found: Option<Found>,
}

/// Where endpoints are found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// In DNS.
    Dns {
        /// Under this name.
        name: DnsName,
        /// How often it is looked up; `None`: as its answers say.
        interval: Option<Duration>,
    },
    /// In a file.
    File(PathBuf),
}

impl Source {
    /// As the configuration says.
    ///
    /// # Errors
    /// A name is no name to look up.
    pub fn of(service: &config::Service) -> Result<Self, String> {
        let found = match &service.discovery {
            Some(config::Discovery::Dns { name, interval }) => {
                let name = name.as_ref().map_or(service.name.as_str(), |name| name.as_str());
                let name = match name.starts_with('_') {
                    true => DnsName::srv(name),
                    false => DnsName::addresses(name, service.port),
                };
                let name = name.map_err(|error| format!("discovery.dns: {error}"))?;
                Some(Found::Dns {
                    name,
                    interval: *interval,
                })
            }
            Some(config::Discovery::File { path }) => Some(Found::File(path.clone())),
            // The configuration's warnings refuse to run with it.
            Some(config::Discovery::Kubernetes { .. }) => None,
            None if service.endpoints.is_empty() => {
                let name = DnsName::addresses(service.name.as_str(), service.port);
                let name = name.map_err(|error| format!("its name is looked up, and {error}"))?;
                Some(Found::Dns { name, interval: None })
            }
            None => None,
        };
        Ok(Self {
            listed: EndpointSet::new(service.endpoints.iter().cloned()),
            found,
        })
    }
}

/// How the endpoints of a service are asked whether they are well.
#[derive(Clone, PartialEq)]
pub struct Asking {
    check: config::HealthCheck,
    protocol: config::Protocol,
    tls: Option<Upstream>,
}

impl Asking {
    /// As the configuration says; `None`: they are not asked.
    pub fn of(service: &config::Service, tls: Option<&Upstream>) -> Option<Self> {
        let check = service.load_balancing.health_check.clone()?;
        Some(Self {
            check,
            protocol: service.protocol,
            tls: tls.cloned(),
        })
    }

    fn start(&self, fleet: &Fleet) -> Result<HealthDriver, String> {
        let mut settings = HealthSettings::default();
        settings.schedule = Schedule::new(self.check.interval);
        settings.thresholds = Thresholds {
            healthy: self.check.healthy_threshold,
            unhealthy: self.check.unhealthy_threshold,
        };
        let limit = self.check.timeout;
        let connector = self.tls.as_ref().map(Upstream::connector);
        Ok(match &self.check.kind {
            HealthCheckKind::Tcp => {
                // Traffic that succeeds says all that this check could.
                settings.schedule = settings.schedule.with_max_skips(u32::MAX);
                let check = TcpCheck::new(limit);
                match connector {
                    Some(tls) => fleet.check_health(check.connect(tls), settings),
                    None => fleet.check_health(check, settings),
                }
            }
            HealthCheckKind::Http {
                path,
                expected_status,
            } => {
                let path = path
                    .parse()
                    .map_err(|error| format!("healthCheck.path: {path}: {error}"))?;
                let (first, last) = expected_status.ends();
                let check = HttpCheck::new(path)
                    .limit(limit)
                    .expecting(first..=last)
                    .protocol(crate::plan::protocol(self.protocol));
                match connector {
                    Some(tls) => fleet.check_health(check.connect(tls), settings),
                    None => fleet.check_health(check, settings),
                }
            }
            HealthCheckKind::Grpc => {
                let check = GrpcCheck::new("").limit(limit);
                match connector {
                    Some(tls) => fleet.check_health(check.connect(tls), settings),
                    None => fleet.check_health(check, settings),
                }
            }
        })
    }
}

/// What a service's fleet goes by.
pub fn policy(
    service: &config::Service,
    mesh: &config::Mesh,
    limits: mesh_lb::endpoint::Limits,
) -> FleetPolicy {
    let mut policy = FleetPolicy::default();
    policy.stable = service.stable_version.clone();
    policy.slow_start = service.load_balancing.slow_start;
    policy.panic_threshold = service.load_balancing.panic_threshold.get();
    policy.zone = mesh.zone.clone();
    policy.subset = service.load_balancing.subset_size.map(|size| {
        let client = std::env::var("HOSTNAME").unwrap_or_else(|_| mesh.identity.id.to_string());
        SubsetPolicy::new(size as usize, client)
    });
    policy.ejection = service.outlier_detection.map(|outlier| {
        let mut ejection = OutlierConfig::default();
        ejection.consecutive_failures = Some(outlier.consecutive_failures);
        ejection.interval = outlier.interval;
        ejection.base_ejection = outlier.base_ejection;
        ejection.max_ejection_percent = outlier.max_ejection_percent.get();
        ejection
    });
    policy.limits = limits;
    policy
}

/// The fleets in use, and who looks after them.
#[derive(Default)]
pub struct Fleets {
    running: HashMap<ServiceName, Running>,
    splits: LiveSplits,
    events: EventBus,
    /// An endpoint of a version was found that no plan knows.
    newcomers: Arc<Notify>,
}

struct Running {
    fleet: Fleet,
    source: Source,
    asking: Option<Asking>,
    follow: Option<Task>,
    _keep: Task,
    tell: Option<Task>,
    health: Option<HealthDriver>,
}

impl Fleets {
    /// What happens to them is told here.
    pub fn events(&self) -> &EventBus {
        &self.events
    }

    /// The shares of the versions of the services that have several: what a rollout changes.
    pub fn splits(&self) -> &LiveSplits {
        &self.splits
    }

    /// The versions of the endpoints that were found, for each service that looks for them. A version that was known stays
    /// known: a rollout may be under way to it.
    pub fn found(&self) -> routing::Found {
        let looking = self
            .running
            .iter()
            .filter(|(_, running)| running.source.found.is_some());
        let found = looking.map(|(service, running)| {
            let mut versions = versions(&running.fleet);
            let known = self
                .splits
                .get(service)
                .map(LiveSplit::versions)
                .unwrap_or_default();
            versions.extend(known.iter().flatten().cloned().map(Some));
            (service.clone(), versions)
        });
        found.collect()
    }

    /// Resolves when an endpoint was found of a version that no plan knows. Cancel-safe.
    pub async fn newcomer(&self) {
        self.newcomers.notified().await;
    }

    /// The fleet of a service under this policy: the one in use if that is its policy already. Nothing changes
    /// for it before [`adopt`](Self::adopt).
    pub fn of(&self, service: &ServiceName, policy: FleetPolicy) -> Fleet {
        match self.running.get(service) {
            Some(running) if *running.fleet.policy() == policy => running.fleet.clone(),
            Some(running) => running.fleet.succeeded_by(policy),
            None => Fleet::new(service.clone(), policy).with_events(self.events.clone()),
        }
    }

    /// Looks after the fleets of these services, and no longer after others.
    ///
    /// # Errors
    /// The system's name servers are not known. Fleets that are in use stay as they are.
    pub fn adopt(&mut self, services: &[ServicePlan]) -> Result<(), String> {
        let looks_up = |service: &&ServicePlan| matches!(service.source.found, Some(Found::Dns { .. }));
        let dns = match services.iter().any(|service| looks_up(&service)) {
            true => Some(Dns::system().map_err(|error| error.to_string())?),
            false => None,
        };
        let mut before = std::mem::take(&mut self.running);
        for service in services {
            let running = match before.remove(&service.name) {
                Some(running) if running.fleet.is_same_as(&service.fleet) => running,
                old => {
                    if let Some(old) = old {
                        // It must not be without endpoints until discovery answers again.
                        service.fleet.update(old.fleet.endpoints(), Instant::now());
                    }
                    Running::new(service)
                }
            };
            self.running.insert(
                service.name.clone(),
                running.fit(service, dns.as_ref(), &self.newcomers)?,
            );
        }
        self.splits = services
            .iter()
            .filter_map(|service| service.split.clone())
            .collect();
        Ok(())
    }
}

impl Fleets {
    /// Waits until every service that looks for endpoints knows some, at most so long.
    pub async fn known(&self, at_most: Duration) {
        let looking = self
            .running
            .values()
            .filter(|running| running.source.found.is_some());
        let all = futures_util::future::join_all(looking.map(|running| running.fleet.known()));
        if tokio::time::timeout(at_most, all).await.is_err() {
            tracing::warn!("some services have no endpoints yet; they are served without");
        }
    }
}

impl Running {
    fn new(service: &ServicePlan) -> Self {
        let kept = service.fleet.clone();
        Self {
            fleet: service.fleet.clone(),
            source: Source {
                listed: EndpointSet::default(),
                found: None,
            },
            asking: None,
            follow: None,
            _keep: Task(tokio::spawn(async move { kept.keep().await })),
            tell: None,
            health: None,
        }
    }

    /// With this source and this asking from now on.
    fn fit(
        mut self,
        service: &ServicePlan,
        dns: Option<&Dns>,
        newcomers: &Arc<Notify>,
    ) -> Result<Self, String> {
        if self.source != service.source || self.follow.is_none() {
            self.follow = match &service.source.found {
                None => {
                    self.fleet.update(service.source.listed.clone(), Instant::now());
                    None
                }
                Some(found) => {
                    let source = merged(&service.source.listed, found, service, dns)?;
                    let fleet = self.fleet.clone();
                    Some(Task(tokio::spawn(async move { fleet.follow(source).await })))
                }
            };
            self.source = service.source.clone();
        }
        if self.asking != service.asking {
            self.health = None;
            match &service.asking {
                Some(asking) => self.health = Some(asking.start(&self.fleet)?),
                // What they were found to be would never be found otherwise.
                None => self.fleet.forget_health(Instant::now()),
            }
            self.asking.clone_from(&service.asking);
        }
        self.tell = Some(Task(tokio::spawn(tell(service.clone(), Arc::clone(newcomers)))));
        Ok(self)
    }
}

fn versions(fleet: &Fleet) -> BTreeSet<Option<Version>> {
    let endpoints = fleet.endpoints().endpoints;
    endpoints
        .iter()
        .map(|endpoint| endpoint.version.clone())
        .collect()
}

/// What is listed, and what is found besides.
fn merged(
    listed: &EndpointSet,
    found: &Found,
    service: &ServicePlan,
    dns: Option<&Dns>,
) -> Result<Merge, String> {
    let merge = match listed.endpoints.is_empty() {
        true => Merge::new(),
        false => Merge::new().with(LiveWatch::following(mesh_core::Live::fixed(listed.clone()))),
    };
    Ok(match found {
        Found::File(path) => merge.with(EndpointFile::start(path.clone()).watch(&service.name)),
        Found::Dns { name, interval } => {
            let dns = dns.ok_or("no name servers")?;
            let mut settings = DnsSettings::default();
            settings.interval = *interval;
            let watch = dns.clone().with_settings(settings).watch(name.clone());
            merge.with(watch.with_refresh(service.fleet.refresh().clone()))
        }
    })
}

/// Tells how many endpoints are in which state, whenever that changes.
async fn tell(service: ServicePlan, newcomers: Arc<Notify>) {
    const AT_LEAST_EVERY: Duration = Duration::from_secs(5);
    let mut roster = service.fleet.roster();
    loop {
        let now = Instant::now();
        if service.source.found.is_some() && !versions(&service.fleet).is_subset(&service.found) {
            newcomers.notify_one();
        }
        let states = service.fleet.status(now);
        let count = |state| states.iter().filter(|endpoint| endpoint.state == state).count();
        service.metrics.set_endpoints(EndpointCounts {
            healthy: count(EndpointState::Healthy),
            unhealthy: count(EndpointState::Unhealthy),
            ejected: count(EndpointState::Ejected),
            missing: service.expected.saturating_sub(states.len()),
        });
        service.metrics.set_panic(roster.load().is_panic());
        let (synced, last_sync) = match service.fleet.discovery() {
            Some(status) => (
                status.synced,
                status.age(now).and_then(|age| SystemTime::now().checked_sub(age)),
            ),
            None => (true, Some(SystemTime::now())),
        };
        service.metrics.set_discovery(synced, last_sync);
        tokio::select! {
            () = roster.changed() => {}
            () = tokio::time::sleep(AT_LEAST_EVERY) => {}
        }
    }
}

/// A task that ends when this is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
