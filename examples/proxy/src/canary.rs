//! The rollouts of this process: one task for each service that has several versions. Each owns the controller, tells
//! it of endpoints and of time, and is told what people want. What it shows is read without asking it.

mod driver;
mod left;
mod numbers;
mod refusal;
mod setup;
mod shown;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use mesh_canary::rollout::Command;
use mesh_canary::store::{AnyStore, FileStore};
use mesh_core::clock::{SystemClock, WallClock};
use mesh_core::split::TrafficSplit;
use mesh_core::{EventBus, ServiceName, Version};
use mesh_telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::{self, Config};
use crate::plan::ServicePlan;
use driver::{Around, Driver, Order};

pub use numbers::{AnySource, Numbers};
pub use refusal::Refusal;
pub use setup::Setup;
pub use shown::{
    Arm, Arms, Bounded, Shown, ShownContrast, ShownDecision, ShownEvidence, ShownRollout, ShownStage, Waits,
};

/// All rollouts of this process, from one configuration to the next.
pub struct Canaries {
    traffic: AnySource,
    events: EventBus,
    telemetry: Telemetry,
    clock: Arc<dyn WallClock>,
    store: Option<(PathBuf, Result<AnyStore, String>)>,
    running: HashMap<ServiceName, Running>,
    desk: Desk,
}

/// Where people ask for rollouts. Clones ask the same.
#[derive(Clone, Default)]
pub struct Desk(Arc<ArcSwap<BTreeMap<ServiceName, Handle>>>);

/// The rollouts of a service, as others reach them.
#[derive(Clone)]
struct Handle {
    orders: mpsc::Sender<Order>,
    shown: Arc<ArcSwap<Shown>>,
}

struct Running {
    setup: Setup,
    handle: Handle,
    _task: Task,
}

/// A task that ends when this is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Canaries {
    /// None yet. Requests are counted by `traffic`.
    pub fn new(traffic: AnySource, events: EventBus, telemetry: Telemetry) -> Self {
        Self {
            traffic,
            events,
            telemetry,
            clock: Arc::new(SystemClock),
            store: None,
            running: HashMap::new(),
            desk: Desk::default(),
        }
    }

    /// Where people ask for rollouts.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Goes by this configuration: rollouts under way go on, those of services that are not rolled out any more end with
    /// all traffic at the stable version. When it returns, the shares of every rollout are in force.
    ///
    /// # Errors
    /// The configuration was not checked as it should have been.
    pub async fn adopt(&mut self, config: &Config, services: &[ServicePlan]) -> Result<(), String> {
        let canary = config.canary.as_ref().filter(|canary| canary.enabled);
        let wanted = match canary {
            Some(canary) => self.setups(config, canary, services)?,
            None => HashMap::new(),
        };
        let before = std::mem::take(&mut self.running);
        let mut kept: HashMap<ServiceName, Running> = HashMap::new();
        for (service, running) in before {
            match wanted.contains_key(&service) && self.keeps_store(canary) {
                true => {
                    kept.insert(service, running);
                }
                false => {
                    let why = left::why(config, &service, services);
                    running.leave(why).await;
                    stop(running, services);
                }
            }
        }
        match canary.filter(|_| !wanted.is_empty()) {
            Some(canary) if self.keeps_store(Some(canary)) => {}
            Some(canary) => {
                self.store = None;
                let opened = open(&canary.state_dir);
                if let Ok(store) = &opened {
                    let is_left = |service: &ServiceName| !wanted.contains_key(service);
                    self.end_left_behind(store, config, services, is_left).await;
                }
                let store = opened.map(AnyStore::new);
                self.store = Some((canary.state_dir.clone(), store));
            }
            // Another process may have the directory.
            None => {
                self.store = None;
                let unused = config.canary.as_ref().map(|canary| &canary.state_dir);
                if let Some(Ok(store)) = unused.filter(|path| path.exists()).map(FileStore::open) {
                    self.end_left_behind(&store, config, services, |_| true).await;
                }
            }
        }
        for (service, setup) in wanted {
            let running = match kept.remove(&service) {
                Some(running) => running.configure(setup).await,
                None => self.begin(setup).await,
            };
            self.running.insert(service, running);
        }
        let handles = self
            .running
            .iter()
            .map(|(service, running)| (service.clone(), running.handle.clone()));
        self.desk.0.store(Arc::new(handles.collect()));
        Ok(())
    }

    fn keeps_store(&self, canary: Option<&config::Canary>) -> bool {
        match (&self.store, canary) {
            // One that could not be opened is tried again.
            (Some((path, Ok(_))), Some(canary)) => *path == canary.state_dir,
            _ => false,
        }
    }

    fn setups(
        &self,
        config: &Config,
        canary: &config::Canary,
        services: &[ServicePlan],
    ) -> Result<HashMap<ServiceName, Setup>, String> {
        let plan = canary.plan().map_err(|error| error.to_string())?;
        let url = canary.analysis.url();
        let queries = url.map(AnySource::prometheus).transpose()?;
        let numbers = Numbers::new(self.traffic.clone(), queries);
        let templates: Vec<_> = match url {
            Some(_) => config.templates().cloned().collect(),
            None => Vec::new(),
        };
        let is_wanted = |service: &&ServicePlan| {
            let listed = canary.services.as_ref();
            listed.is_none_or(|listed| listed.contains(&service.name))
        };
        let setup = |service: &ServicePlan| {
            let setup = Setup {
                plan: plan.clone(),
                templates: templates.clone(),
                url: url.map(|url| url.as_str().to_owned()),
                numbers: numbers.clone(),
                split: service.split.clone()?,
                fleet: service.fleet.clone(),
                stable: service.fleet.policy().stable.clone(),
            };
            Some((service.name.clone(), setup))
        };
        Ok(services.iter().filter(is_wanted).filter_map(setup).collect())
    }

    /// Ends what was under way when a process ended, of services that this one does not roll out: they must not go on when
    /// they are back.
    async fn end_left_behind(
        &self,
        store: &FileStore,
        config: &Config,
        services: &[ServicePlan],
        is_left: impl Fn(&ServiceName) -> bool,
    ) {
        let named = store.services().unwrap_or_else(|error| {
            tracing::error!("canaryDeployment.stateDir: {error}");
            Vec::new()
        });
        for service in named.into_iter().filter(is_left) {
            let why = left::why(config, &service, services);
            let log = left::Log {
                store: AnyStore::new(store.clone()),
                numbers: Numbers::new(self.traffic.clone(), None),
                events: self.events.clone(),
                clock: Arc::clone(&self.clock),
            };
            log.end(service, why).await;
        }
    }

    async fn begin(&self, setup: Setup) -> Running {
        let store = match &self.store {
            Some((_, store)) => store.clone(),
            None => Err("canaryDeployment.stateDir was not opened".to_owned()),
        };
        let around = Around {
            store,
            events: self.events.clone(),
            telemetry: self.telemetry.clone(),
            clock: Arc::clone(&self.clock),
        };
        Running::begin(setup, around).await
    }
}

impl Running {
    async fn begin(setup: Setup, around: Around) -> Self {
        let (driver, shown) = Driver::open(setup.clone(), around).await;
        let (orders, received) = mpsc::channel(16);
        Self {
            setup,
            handle: Handle { orders, shown },
            _task: Task(tokio::spawn(driver.run(received))),
        }
    }

    /// What is under way ends, and that is on the disk when this returns, or told in the log why not.
    async fn leave(&self, why: String) {
        let (said, done) = oneshot::channel();
        if self.handle.orders.send(Order::Leave(why, said)).await.is_err() || done.await.is_err() {
            tracing::error!(service = %self.setup.split.service(), "the task of a rollout is gone");
        }
    }

    async fn configure(mut self, setup: Setup) -> Self {
        self.setup = setup.clone();
        let (said, done) = oneshot::channel();
        let order = Order::Configure(Box::new(setup), said);
        if self.handle.orders.send(order).await.is_err() || done.await.is_err() {
            tracing::error!(service = %self.setup.split.service(), "the task of a rollout is gone");
        }
        self
    }
}

/// Nobody looks after it any more: its canary gets no requests, and the version that the last rollout left stable stays so
/// until a restart.
fn stop(running: Running, services: &[ServicePlan]) {
    let service = running.setup.split.service().clone();
    let left = running.handle.shown.load().stable.clone();
    drop(running);
    let split = services
        .iter()
        .find(|plan| plan.name == service)
        .and_then(|plan| plan.split.clone());
    let Some(split) = split else { return };
    let configured = split.versions().first().and_then(Option::clone);
    let left = left.and_then(|left| left.parse::<Version>().ok());
    let left = left.filter(|left| split.versions().iter().any(|known| known.as_ref() == Some(left)));
    match (&left, &configured) {
        (Some(left), Some(configured)) if left != configured => tracing::warn!(
            %service, stable = %left,
            "it is not rolled out any more: requests go to the version that the last rollout made stable. After a restart \
             they go to {configured}: expected stableVersion: {left}"
        ),
        _ => tracing::info!(%service, "it is not rolled out any more: requests go to its stable version"),
    }
    let Some(stable) = left.or(configured).or_else(|| "stable".parse().ok()) else {
        return;
    };
    let weights = mesh_core::split::Weights::all_to(service.clone(), stable);
    if let Err(error) = split.set_weights(&weights) {
        tracing::error!(%service, "the router did not take the stable version: {error}");
    }
}

fn open(path: &Path) -> Result<FileStore, String> {
    let store = FileStore::open(path).map_err(refusal::not_opened);
    if let Err(why) = &store {
        tracing::error!("no rollout is kept: canaryDeployment.stateDir: {why}");
    }
    store
}

impl Desk {
    /// All services that may be rolled out, by name.
    pub fn all(&self) -> Vec<Arc<Shown>> {
        self.0
            .load()
            .values()
            .map(|handle| handle.shown.load_full())
            .collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn of(&self, service: &str) -> Result<Arc<Shown>, Refusal> {
        Ok(self.handle(service)?.shown.load_full())
    }

    /// What is not as it should be.
    pub fn troubles(&self) -> Vec<String> {
        let handles = self.0.load();
        let troubles = handles.iter().filter_map(|(service, handle)| {
            let shown = handle.shown.load();
            let trouble = shown.trouble.as_ref()?;
            Some(format!("{service} cannot be rolled out: {trouble}"))
        });
        troubles.collect()
    }

    fn handle(&self, service: &str) -> Result<Handle, Refusal> {
        let handles = self.0.load();
        let of_name = handles.iter().find(|(name, _)| name.as_str() == service);
        of_name.map(|(_, handle)| handle.clone()).ok_or_else(|| {
            let known: Vec<&str> = handles.keys().map(ServiceName::as_str).collect();
            let known = match known.as_slice() {
                [] => "none is: canaryDeployment rolls out services whose endpoints have several versions"
                    .to_owned(),
                known => format!("these are: {}", known.join(", ")),
            };
            Refusal::Unknown(format!("{service} is no service that is rolled out; {known}"))
        })
    }

    /// Starts a rollout.
    ///
    /// # Errors
    /// There is no such service or version, it has no endpoint that is ready, or another is under way.
    pub async fn start(&self, service: &str, version: Version, retry: bool) -> Result<Arc<Shown>, Refusal> {
        let order = |said| Order::Start { version, retry, said };
        self.ask(service, order).await
    }

    /// Wants something of the rollout under way.
    ///
    /// # Errors
    /// There is none, or it does not do that now.
    pub async fn command(&self, service: &str, command: Command) -> Result<Arc<Shown>, Refusal> {
        self.ask(service, |said| Order::Command(command, said)).await
    }

    /// The stage that a promotion now would follow, counted from 0.
    ///
    /// # Errors
    /// There is no such service, or nothing was rolled out of it.
    pub fn stage(&self, service: &str) -> Result<usize, Refusal> {
        let shown = self.of(service)?;
        let rollout = shown.rollout.as_ref();
        rollout
            .map(|rollout| rollout.stage.saturating_sub(1))
            .ok_or_else(|| {
                Refusal::Conflict(format!(
                    "nothing of {service} was rolled out: start one with a version"
                ))
            })
    }

    async fn ask(
        &self,
        service: &str,
        order: impl FnOnce(oneshot::Sender<Result<(), Refusal>>) -> Order,
    ) -> Result<Arc<Shown>, Refusal> {
        let handle = self.handle(service)?;
        let gone = || {
            Refusal::Unavailable("this process is ending, or its configuration changes: ask again".to_owned())
        };
        let (said, answer) = oneshot::channel();
        handle.orders.send(order(said)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())??;
        Ok(handle.shown.load_full())
    }
}
