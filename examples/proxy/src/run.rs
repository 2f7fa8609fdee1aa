//! The process: starts the workers, reloads on change, drains at the end.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use mesh_core::MeshEvent;
use mesh_core::drain::{DrainTrigger, drain};
use mesh_core::serve::{Connections, Server};
use mesh_telemetry::anomaly::{Anomalies, AnomalyPolicy};
use mesh_telemetry::metrics::Reload;
use mesh_telemetry::registry::BeforeScrape;
use mesh_telemetry::{Readiness, Telemetry, serve_metrics};
use mesh_traffic::router::CookieKey;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::accept::ListenerAccept;
use crate::admin::{self, Admin, Order, Reloaded};
use crate::breakers::Breakers;
use crate::canary::{AnySource, Canaries, Desk};
use crate::certificate_api;
use crate::config::{self, Config};
use crate::cookie_keys::CookieKeys;
use crate::faults::Faults;
use crate::fleets::Fleets;
use crate::identity::{InUse, figures, identity, troubles};
use crate::mirrors::Mirrors;
use crate::plan::{ListenerPlan, Plan, Policies, ServicePlan};
use crate::rate_limits::RateLimits;
use crate::reload::FileWatch;
use crate::retries::RetryBudgets;
use crate::side_port::SidePort;
use crate::tellers::{Compiled, Tellers};
use crate::worker::Worker;

/// How long a configuration waits for endpoints that are looked for before it is served without them.
const DISCOVERY_WAIT: Duration = Duration::from_secs(5);

/// How the process runs.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The configuration's file, read again when it changes.
    pub config: PathBuf,
    /// How long requests in flight may take after the signal to stop.
    pub drain_timeout: Duration,
    /// How many workers; by default one for each core this process may use.
    pub workers: Option<usize>,
}

/// Why the process could not start or end well.
#[derive(Debug)]
pub struct RunError(String);

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RunError {}

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// If an address cannot be bound, the system refuses threads, or requests had to be cut at the end of the
/// drain's time.
pub fn run(options: &RunOptions, config: Config) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| RunError(format!("the system gives no event queue: {error}")))?;
    let entered = runtime.enter();
    let process = Process::start(options, config)?;
    drop(entered);
    let ended = runtime.block_on(process.serve(options));
    // What still runs (a page being rendered) is not waited for.
    runtime.shutdown_background();
    ended
}

struct Process {
    telemetry: Telemetry,
    fleets: Fleets,
    limits: RateLimits,
    faults: Faults,
    breakers: Breakers,
    mirrors: Mirrors,
    retries: RetryBudgets,
    canaries: Canaries,
    cookie_keys: CookieKeys,
    tellers: Tellers,
    /// What this process is to its peers.
    identity: Arc<ArcSwap<Option<InUse>>>,
    figures: Option<BeforeScrape>,
    /// Who notes what is unusual, and by which policy.
    anomalies: Option<(AnomalyPolicy, Anomalies)>,
    admin: Admin,
    orders: mpsc::Receiver<Order>,
    certificate_api: Option<SidePort>,
    workers: Vec<Worker>,
    listeners: Vec<Listening>,
    metrics: Option<(SocketAddr, StdListener)>,
    /// The one in use; at first, the one to begin with.
    config: Config,
}

/// How often other tasks of the main thread get a turn before the process ends.
const TURNS: usize = 32;

/// A listener that is being served.
struct Listening {
    plan: ListenerPlan,
    socket: StdListener,
    drain: DrainTrigger,
    connections: Connections,
}

impl Process {
    fn start(options: &RunOptions, config: Config) -> Result<Self, RunError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = (0..options.workers.unwrap_or(cores))
            .map(Worker::start)
            .collect::<io::Result<Vec<_>>>();
        let workers =
            workers.map_err(|error| RunError(format!("a worker thread cannot be started: {error}")))?;
        let metrics = match &config.mesh.metrics {
            Some(metrics) => Some((metrics.bind, bind(metrics.bind, "serviceMesh.metrics.bind")?)),
            None => None,
        };
        let (give, orders) = admin::orders();
        let identity = Arc::default();
        let (telemetry, fleets) = (Telemetry::new(), Fleets::default());
        let counted = AnySource::new(telemetry.evidence());
        let canaries = Canaries::new(counted, fleets.events().clone(), telemetry.clone());
        let desk = canaries.desk().clone();
        let admin = Admin::new(Arc::clone(&identity), desk, give, &telemetry, fleets.events());
        Ok(Self {
            telemetry,
            fleets,
            limits: RateLimits::default(),
            faults: Faults::new(),
            breakers: Breakers::default(),
            mirrors: Mirrors::default(),
            retries: RetryBudgets::default(),
            admin,
            canaries,
            cookie_keys: CookieKeys::new().map_err(RunError)?,
            tellers: Tellers::default(),
            identity,
            figures: None,
            anomalies: None,
            orders,
            certificate_api: None,
            workers,
            listeners: Vec::new(),
            metrics,
            config,
        })
    }

    async fn serve(mut self, options: &RunOptions) -> Result<(), RunError> {
        let signals =
            |kind| signal(kind).map_err(|error| RunError(format!("signals cannot be received: {error}")));
        let (mut terminate, mut interrupt) = (
            signals(SignalKind::terminate())?,
            signals(SignalKind::interrupt())?,
        );
        let mut hangup = signals(SignalKind::hangup())?;
        let mut file = FileWatch::start(&options.config);
        let ready = Arc::new(AtomicBool::new(false));
        let _upkeep = self.telemetry.start_upkeep(Duration::from_secs(5));
        let _sampling = self.telemetry.start_sampling();
        let _metrics = self.serve_metrics(&ready)?;
        let _events = AbortOnDrop(tokio::spawn(crate::log::events(self.fleets.events().subscribe())));
        self.adopt(&self.config.clone()).await?;
        ready.store(true, Ordering::Release);
        tracing::info!(
            workers = self.workers.len(),
            version = mesh_core::VERSION,
            "ready"
        );
        loop {
            tokio::select! {
                () = stop(&mut terminate, &mut interrupt) => break,
                _ = hangup.recv() => {
                    file.seen();
                    let _told = self.reload_and_tell(options).await;
                }
                () = file.changed() => {
                    let _told = self.reload_and_tell(options).await;
                }
                () = self.fleets.newcomer() => {
                    if let Err(error) = self.adopt(&self.config.clone()).await {
                        tracing::error!("endpoints of another version get no requests: {error}");
                    }
                }
                Some(order) = self.orders.recv() => match order {
                    Order::Reload(said) => {
                        file.seen();
                        // Whoever asked may not wait any more.
                        let _ = said.send(self.reload_and_tell(options).await);
                    }
                    Order::Drain => break,
                },
            }
        }
        ready.store(false, Ordering::Release);
        tokio::select! {
            ended = self.drain(options.drain_timeout) => ended,
            () = stop(&mut terminate, &mut interrupt) => Err(RunError("told to stop again while draining: requests in flight were cut".into())),
        }
    }

    fn serve_metrics(&mut self, ready: &Arc<AtomicBool>) -> Result<Option<AbortOnDrop>, RunError> {
        let Some((address, socket)) = self.metrics.take() else {
            return Ok(None);
        };
        let socket = TcpListener::from_std(socket);
        let socket =
            socket.map_err(|error| RunError(format!("metrics cannot be served on {address}: {error}")))?;
        let (telemetry, ready) = (self.telemetry.clone(), Arc::clone(ready));
        tracing::info!(address = %socket.local_addr().unwrap_or(address), "serving /metrics, /healthz and /readyz");
        let (identity, desk) = (Arc::clone(&self.identity), self.canaries.desk().clone());
        let serving = serve_metrics(socket, telemetry, move || match ready.load(Ordering::Acquire) {
            true => readiness(&identity.load(), &desk),
            false => Readiness::NotReady,
        });
        Ok(Some(AbortOnDrop(tokio::spawn(async move {
            serving.await;
        }))))
    }

    async fn reload_and_tell(&mut self, options: &RunOptions) -> Reloaded {
        let reloaded = self.reload(options).await;
        match &reloaded {
            Ok(()) => {
                self.telemetry.process().config_reload(Reload::Success);
                tracing::info!("the configuration was reloaded");
                self.fleets.events().emit(MeshEvent::ConfigReloaded);
            }
            Err(why) => {
                self.telemetry.process().config_reload(Reload::Failure);
                let between = if why.contains('\n') { '\n' } else { ' ' };
                tracing::error!(
                    "the configuration is refused; the last good one stays in use:{between}{why}"
                );
                let report = why.as_str().into();
                self.fleets.events().emit(MeshEvent::ConfigRejected { report });
            }
        }
        reloaded
    }

    /// Reads the file again. A bad one changes nothing.
    async fn reload(&mut self, options: &RunOptions) -> Reloaded {
        let loaded = config::load(&options.config).map_err(|report| report.to_string())?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let refuses = |warning: &&config::Warning| warning.refuses_to_run();
        let missing: Vec<String> = loaded
            .warnings
            .iter()
            .filter(refuses)
            .map(ToString::to_string)
            .collect();
        if !missing.is_empty() {
            let missing = missing.join("\n");
            return Err(format!(
                "serving without this would be less than the file asks for:\n{missing}"
            ));
        }
        self.adopt(&loaded.config)
            .await
            .map_err(|error| error.to_string())?;
        self.config = loaded.config;
        Ok(())
    }

    fn compile(
        &self,
        config: &Config,
        identity: Option<&InUse>,
        tellers: &Compiled,
        cookie_key: &CookieKey,
    ) -> Result<Arc<Plan>, RunError> {
        let policies = Policies {
            limits: &self.limits,
            faults: &self.faults,
            breakers: &self.breakers,
            mirrors: &self.mirrors,
            retries: &self.retries,
            tellers,
            cookie_key,
        };
        let own = identity.map(InUse::identity);
        let plan = Plan::compile(config, own, &self.telemetry, &self.fleets, policies);
        plan.map(Arc::new).map_err(RunError)
    }

    /// Serves by this configuration: first the plan on every worker, then the listeners, so that no request
    /// meets a listener without a plan. New addresses are bound before anything changes.
    async fn adopt(&mut self, config: &Config) -> Result<(), RunError> {
        let identity = identity(
            &config.mesh,
            Option::as_ref(&self.identity.load()),
            self.fleets.events(),
        )
        .await
        .map_err(RunError)?;
        let tellers = self.tellers.compile(&config.mesh, &self.telemetry);
        let tellers = tellers.map_err(RunError)?;
        let cookie_key = self.cookie_keys.of(config).map_err(RunError)?;
        let mut plan = self.compile(config, identity.as_ref(), &tellers, &cookie_key)?;
        let bound = |plan: &ListenerPlan| {
            let socket = match self
                .listeners
                .iter()
                .find(|listening| listening.plan.bind == plan.bind)
            {
                Some(listening) => listening
                    .socket
                    .try_clone()
                    .map_err(|error| RunError(error.to_string()))?,
                None => bind(plan.bind, &format!("listener {}", plan.name))?,
            };
            Ok((plan.clone(), socket))
        };
        let wanted = plan
            .listeners
            .iter()
            .map(bound)
            .collect::<Result<Vec<_>, RunError>>()?;
        let admin = config.mesh.admin.as_ref();
        let admin = self
            .admin
            .prepare(admin, identity.as_ref(), |address| {
                bind(address, "serviceMesh.admin.bind").map_err(|error| error.to_string())
            })
            .map_err(RunError)?;
        let api = certificate_api::prepare(
            config.mesh.mutual_tls.as_ref(),
            identity.as_ref(),
            self.certificate_api.as_ref(),
            |address| {
                bind(address, "serviceMesh.mutualTLS.certificateApi.bind").map_err(|error| error.to_string())
            },
        )
        .map_err(RunError)?;
        // Nothing but the system refuses any more: from here on it counts.
        self.fleets.adopt(&plan.services).map_err(RunError)?;
        self.fleets.known(DISCOVERY_WAIT).await;
        let knows = |service: &ServicePlan| {
            let found = self.fleets.found();
            found
                .get(&service.name)
                .is_none_or(|found| found.is_subset(&service.found))
        };
        if !plan.services.iter().all(knows) {
            // Endpoints of other versions were found only now.
            plan = self.compile(config, identity.as_ref(), &tellers, &cookie_key)?;
            self.fleets.adopt(&plan.services).map_err(RunError)?;
        }
        let own = plan.own.map(|own| &plan.services[own].fleet);
        self.limits.adopt(&plan.limits, own);
        self.faults.adopt(&plan.faults);
        let services = plan.services.iter();
        let kept = services.filter_map(|service| Some((&service.fleet, service.breaker.as_ref()?)));
        self.breakers.adopt(kept);
        self.mirrors.adopt(&plan.mirrors);
        self.retries.adopt(&plan.retries);
        for service in &plan.services {
            service.evidence.set_users_stay(service.users_stay);
        }
        // Before any worker routes by the plan: a rollout that goes on has its shares from the first request on.
        self.canaries
            .adopt(config, &plan.services)
            .await
            .map_err(RunError)?;
        self.admin.show(&plan);
        self.tellers.adopt(tellers);
        self.admin.adopt(admin);
        self.figures = identity
            .as_ref()
            .map(|in_use| figures(&self.telemetry, &config.mesh.identity.service, in_use.identity()));
        self.identity.store(Arc::new(identity));
        self.note_anomalies(config.mesh.telemetry.anomalies);
        api.adopt(&mut self.certificate_api);
        for worker in &self.workers {
            worker.adopt(&plan).await;
        }
        for service in &plan.services {
            let (found, expected) = (service.fleet.endpoints().endpoints.len(), service.expected);
            if service.source.found.is_none() && found < expected {
                let service = service.name.clone();
                self.fleets.events().emit(MeshEvent::TooFewEndpoints {
                    service,
                    found,
                    expected,
                });
            }
        }
        let before = std::mem::take(&mut self.listeners);
        for (plan, socket) in wanted {
            match before.iter().position(|listening| listening.plan == plan) {
                Some(_) => {}
                None => self.listen(plan, socket)?,
            }
        }
        for listening in before {
            if plan.listeners.contains(&listening.plan) {
                self.listeners.push(listening);
            } else {
                tracing::info!(listener = %listening.plan.name, address = %listening.plan.bind, "draining a listener");
                listening.drain.start();
            }
        }
        Ok(())
    }

    /// What was learned under this policy is kept.
    fn note_anomalies(&mut self, policy: Option<AnomalyPolicy>) {
        if self.anomalies.as_ref().map(|(policy, _)| *policy) != policy {
            // The one before takes what it shows off the page at its end.
            self.anomalies = None;
            let start = |policy| {
                (
                    policy,
                    self.telemetry.start_anomalies(policy, self.fleets.events()),
                )
            };
            self.anomalies = policy.map(start);
        }
    }

    fn listen(&mut self, plan: ListenerPlan, socket: StdListener) -> Result<(), RunError> {
        let (trigger, watcher) = drain();
        // The limits of connections count over all workers: they are clones of one server.
        let accept = ListenerAccept::new(plan.tls, plan.client_certs, plan.identity.as_ref());
        let accept = accept.map_err(|error| RunError(format!("listener {}: {error}", plan.name)))?;
        let (telemetry, log) = (self.telemetry.clone(), self.tellers.log());
        let (name, direction) = (Arc::clone(&plan.name), plan.direction);
        let server = Server::accepting(accept)
            .limits(plan.limits.clone())
            .on_unreadable(move |peer, why| {
                telemetry.process().unreadable(why);
                if let Some(log) = &*log.load() {
                    log.unreadable(&name, direction, peer, why);
                }
            });
        let connections = server.connections();
        for worker in &self.workers {
            let socket = socket
                .try_clone()
                .map_err(|error| RunError(format!("a socket cannot be shared: {error}")))?;
            worker.listen(plan.clone(), server.clone(), socket, watcher.clone());
        }
        let address = socket.local_addr().unwrap_or(plan.bind);
        tracing::info!(listener = %plan.name, %address, "listening");
        self.listeners.push(Listening {
            plan,
            socket,
            drain: trigger,
            connections,
        });
        Ok(())
    }

    async fn drain(self, limit: Duration) -> Result<(), RunError> {
        tracing::info!(?limit, "draining");
        let tunnels: Vec<DrainTrigger> = self
            .listeners
            .iter()
            .map(|listening| listening.drain.clone())
            .collect();
        let connections: Vec<Connections> = self
            .listeners
            .iter()
            .map(|listening| listening.connections.clone())
            .collect();
        let open = || connections.iter().map(Connections::len).sum::<usize>();
        let events = self.fleets.events().clone();
        events.emit(MeshEvent::DrainStarted { in_flight: open() });
        for listening in self.listeners {
            listening.drain.start();
        }
        let finished = async {
            for worker in self.workers {
                worker.finished().await;
            }
        };
        let all = async {
            for tunnel in &tunnels {
                tunnel.drained().await;
            }
            finished.await;
        };
        let ended = tokio::time::timeout(limit, all).await;
        let cut_off = match ended {
            Ok(()) => 0,
            Err(_) => open(),
        };
        events.emit(MeshEvent::DrainFinished { cut_off });
        self.tellers.close().await;
        // Who reads events is told before the process is gone: who notes them, who writes them and who sends that all
        // run on this thread.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        match ended {
            Ok(()) => {
                tracing::info!("drained");
                Ok(())
            }
            Err(_) => Err(RunError(format!(
                "requests were still in flight after {limit:?} and were cut (--drain-timeout)"
            ))),
        }
    }
}

/// A process whose identity or whose rollouts are in trouble serves on: who watches it is told.
fn readiness(identity: &Option<InUse>, canaries: &Desk) -> Readiness {
    let troubles = identity.as_ref().map(|in_use| troubles(in_use.identity()));
    let mut troubles = troubles.unwrap_or_default();
    troubles.extend(canaries.troubles());
    match troubles {
        none if none.is_empty() => Readiness::Ready,
        some => Readiness::Degraded(some.join("; ").into()),
    }
}

async fn stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn bind(address: SocketAddr, what: &str) -> Result<StdListener, RunError> {
    let bound = || -> io::Result<StdListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for the last connections of the process before it.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        Ok(socket.into())
    };
    bound().map_err(|error| {
        RunError(format!(
            "{what} cannot listen on {address}: {error}; is another process using it?"
        ))
    })
}

/// A task that ends when this is dropped.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
