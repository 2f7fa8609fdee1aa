//! The task that looks after the rollouts of one service.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mesh_canary::controller::{Controller, ControllerError};
use mesh_canary::log::{Entry, Request};
use mesh_canary::rollout::{Command, Ignored, Input};
use mesh_canary::store::{AnyStore, StoreErrorKind};
use mesh_core::clock::WallClock;
use mesh_core::split::{TrafficSplit, Weights};
use mesh_core::{EventBus, Live, ServiceName, Version};
use mesh_lb::fleet::Roster;
use mesh_telemetry::Telemetry;
use mesh_telemetry::metrics::CanaryMetrics;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Numbers;
use super::refusal::{Refusal, not_started, what_to_do};
use super::setup::{Endpoints, Setup};
use super::shown::Shown;

/// How long decisions may fail to be written before the traffic goes to the stable version.
const UNWRITTEN: Duration = Duration::from_secs(60);

/// What the task is told.
pub(super) enum Order {
    /// Roll this version out; also if it was rolled back before, if `retry`.
    Start {
        version: Version,
        retry: bool,
        said: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody wants something of the rollout under way.
    Command(Command, oneshot::Sender<Result<(), Refusal>>),
    /// Go by this from now on.
    Configure(Box<Setup>, oneshot::Sender<()>),
    /// Nobody will look after a rollout any more: what is under way ends, for this reason.
    Leave(String, oneshot::Sender<()>),
}

/// What the rollouts of all services have in common.
#[derive(Clone)]
pub(super) struct Around {
    /// Where logs are kept, or why nowhere.
    pub(super) store: Result<AnyStore, String>,
    pub(super) events: EventBus,
    pub(super) telemetry: Telemetry,
    pub(super) clock: Arc<dyn WallClock>,
}

/// Looks after the rollouts of one service.
pub(super) struct Driver {
    service: ServiceName,
    setup: Setup,
    around: Around,
    controller: Option<Controller<Numbers>>,
    roster: Live<Roster>,
    endpoints: Option<Endpoints>,
    trouble: Option<String>,
    /// Since when nothing can be written.
    unwritten: Option<Instant>,
    /// That requests of this rollout are not split as its weight says was told.
    told_uneven: bool,
    metrics: Arc<CanaryMetrics>,
    shown: Arc<ArcSwap<Shown>>,
}

impl Driver {
    /// Goes on with what the store has. When it returns, the shares of a rollout under way are in force.
    pub(super) async fn open(setup: Setup, around: Around) -> (Self, Arc<ArcSwap<Shown>>) {
        let service = setup.split.service().clone();
        let shown = Shown::of(&setup, None, None, None, around.clock.now());
        let shown = Arc::new(ArcSwap::from_pointee(shown));
        let mut driver = Self {
            metrics: around.telemetry.canary(&service),
            service,
            roster: setup.fleet.roster(),
            setup,
            around,
            controller: None,
            endpoints: None,
            trouble: None,
            unwritten: None,
            told_uneven: false,
            shown: Arc::clone(&shown),
        };
        driver.reopen().await;
        (driver, shown)
    }

    /// Looks after them until the handle is gone.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let every = self.setup.plan.interval();
            let mut ticks = interval_at(Instant::now() + every, every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let order = tokio::select! {
                    order = orders.recv() => order,
                    () = self.roster.changed() => {
                        self.look_at_endpoints().await;
                        continue;
                    }
                    _ = ticks.tick() => {
                        // Whoever wants something need not wait for numbers: a tick that is given up leaves nothing behind.
                        let order = tokio::select! {
                            biased;
                            order = orders.recv() => Some(order),
                            () = self.tick() => None,
                        };
                        match order {
                            Some(order) => order,
                            None => continue,
                        }
                    }
                };
                match order {
                    None => return,
                    Some(order) => self.obey(order).await,
                }
                if self.setup.plan.interval() != every {
                    break;
                }
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        // Whoever asked may not wait any more.
        match order {
            Order::Start { version, retry, said } => {
                let started = self.start(version, retry).await;
                self.tell();
                let _ = said.send(started);
            }
            Order::Command(command, said) => {
                let done = self.command(command).await;
                self.tell();
                let _ = said.send(done);
            }
            Order::Leave(why, said) => {
                if let Some(controller) = &mut self.controller {
                    let left = controller.happened(Input::Left { why }).await;
                    self.came_of(left.map(drop));
                }
                self.tell();
                let _ = said.send(());
            }
            Order::Configure(setup, said) => {
                self.configure(*setup).await;
                self.tell();
                let _ = said.send(());
            }
        }
    }

    /// Opens the log. Without it there is no rollout, and requests go to the stable version.
    async fn reopen(&mut self) {
        self.controller = None;
        self.endpoints = None;
        let opened = match &self.around.store {
            Ok(store) => {
                let split = Arc::new(self.setup.split.clone());
                let numbers = self.setup.numbers.clone();
                let opened = Controller::open(self.service.clone(), store.clone(), numbers, split).await;
                opened.map_err(|error| what_to_do(&error))
            }
            Err(why) => Err(why.clone()),
        };
        match opened {
            Ok(controller) => {
                let controller = controller
                    .with_events(self.around.events.clone())
                    .with_clock(Arc::clone(&self.around.clock))
                    .with_templates(self.setup.templates.iter().cloned());
                self.controller = Some(controller);
                self.trouble = None;
                self.look_at_endpoints().await;
                // The configuration may have changed while nobody was here.
                self.replan().await;
                // What the last rollout left the traffic with is told too.
                self.tick().await;
            }
            Err(why) => {
                self.fall_back(&why);
                self.tell();
            }
        }
    }

    /// Nothing is known of rollouts: the traffic goes where it goes without any.
    fn fall_back(&mut self, why: &str) {
        if self.trouble.as_deref() != Some(why) {
            tracing::error!(service = %self.service, "no rollout, and requests go to the stable version: {why}");
        }
        self.trouble = Some(why.to_owned());
        if let Some(weights) = self.setup.at_rest()
            && let Err(error) = self.setup.split.set_weights(&weights)
        {
            tracing::error!(service = %self.service, "the router did not take the stable version: {error}");
        }
    }

    async fn tick(&mut self) {
        if self.controller.is_none() {
            // Perhaps somebody has put it in order.
            if self.around.store.is_ok() {
                Box::pin(self.reopen()).await;
            }
            return;
        }
        self.look_at_endpoints().await;
        if let Some(controller) = &mut self.controller {
            let ticked = controller.tick().await;
            self.came_of(ticked);
        }
        self.tell();
    }

    /// Tells the rollout how many endpoints there are, if that changed and is known.
    async fn look_at_endpoints(&mut self) {
        let Some(controller) = &mut self.controller else {
            return;
        };
        let Some(rollout) = controller.history().rollout().filter(|_| self.setup.is_known()) else {
            return;
        };
        if rollout.phase().has_ended() {
            return;
        }
        let now = self.setup.endpoints(rollout.stable(), rollout.canary());
        if self.endpoints == Some(now) {
            return;
        }
        if now.canary == 0 && now.stable > 0 && rollout.takes_pinned() {
            // What is sent there fails, and the decision has to reach the disk first.
            let (stable, canary) = (rollout.stable().clone(), rollout.canary().clone());
            if let Ok(weights) = Weights::two(self.service.clone(), (stable, canary), 0)
                && let Err(error) = self.setup.split.set_weights(&weights)
            {
                tracing::error!(service = %self.service, "the router did not take the stable version: {error}");
            }
        }
        let told = controller.endpoints(now.stable, now.canary).await;
        self.endpoints = told.is_ok().then_some(now);
        self.came_of(told);
        self.tell();
    }

    async fn start(&mut self, version: Version, retry: bool) -> Result<(), Refusal> {
        let service = self.service.clone();
        let Some(controller) = &mut self.controller else {
            let why = self.trouble.clone().unwrap_or_default();
            return Err(Refusal::Unavailable(format!(
                "{service} cannot be rolled out: {why}"
            )));
        };
        let known = self.setup.versions();
        if !known.iter().any(|known| known == version.as_str()) {
            return Err(Refusal::Unknown(format!(
                "{service} has no version {version}: it has {}; endpoints name theirs as version",
                known.join(", ")
            )));
        }
        let stable = controller.history().stable_version().cloned();
        let Some(stable) = stable.or_else(|| self.setup.stable_beside(&version)) else {
            return Err(Refusal::Conflict(format!(
                "nobody knows which version of {service} is stable: name it as stableVersion"
            )));
        };
        if self.setup.ready(&version) == 0 {
            return Err(Refusal::Conflict(format!(
                "{version} of {service} has no endpoint that is ready: start one, and see GET endpoints or the log why it is not"
            )));
        }
        let request = Request::new(stable, version, self.setup.plan.clone()).retry(retry);
        self.endpoints = None;
        self.told_uneven = false;
        match controller.start(request).await {
            Ok(()) => {}
            Err(ControllerError::Start(error)) => return Err(not_started(&error, &service)),
            Err(error) => {
                let refusal = Refusal::Unavailable(what_to_do(&error));
                self.came_of(Err(error));
                return Err(refusal);
            }
        }
        self.around.telemetry.evidence().rollout_begins(&service);
        tracing::info!(%service, "a rollout starts");
        self.look_at_endpoints().await;
        Ok(())
    }

    async fn command(&mut self, command: Command) -> Result<(), Refusal> {
        let Some(controller) = &mut self.controller else {
            let why = self.trouble.clone().unwrap_or_default();
            return Err(Refusal::Unavailable(why));
        };
        if controller.history().rollout().is_none() {
            return Err(Refusal::Conflict(format!(
                "nothing of {} was rolled out: start one with a version",
                self.service
            )));
        }
        let said = controller.command(command).await;
        match said {
            Ok(None) => Ok(()),
            Ok(Some(ignored)) => Err(Refusal::Conflict(format!("{}: {ignored}", self.service))),
            Err(error) => {
                let refusal = Refusal::Unavailable(what_to_do(&error));
                self.came_of(Err(error));
                Err(refusal)
            }
        }
    }

    async fn configure(&mut self, setup: Setup) {
        let before = std::mem::replace(&mut self.setup, setup);
        if !before.fleet.is_same_as(&self.setup.fleet) {
            self.roster = self.setup.fleet.roster();
        }
        if self.controller.is_none() || !self.setup.keeps_controller_of(&before) {
            self.reopen().await;
        }
        self.look_at_endpoints().await;
        self.replan().await;
    }

    /// Tells the rollout under way by which plan it is to go on.
    async fn replan(&mut self) {
        let Some(controller) = &mut self.controller else {
            return;
        };
        let plan = Box::new(self.setup.plan.clone());
        let replanned = controller.happened(Input::Replan(plan)).await;
        if let Ok(Some(ignored @ Ignored::OtherStages)) = &replanned {
            tracing::warn!(service = %self.service, "the changed canaryDeployment: {ignored}");
        }
        self.came_of(replanned.map(drop));
    }

    /// What went wrong is told once, and tried again.
    fn came_of(&mut self, done: Result<(), ControllerError>) {
        let Err(error) = done else {
            self.trouble = None;
            self.unwritten = None;
            return;
        };
        let why = what_to_do(&error);
        let is_lost = match &error {
            ControllerError::Log(_) => true,
            ControllerError::Store(error) => matches!(
                error.kind(),
                StoreErrorKind::Corrupt | StoreErrorKind::Insecure | StoreErrorKind::Conflict
            ),
            _ => false,
        };
        let since = *self.unwritten.get_or_insert_with(Instant::now);
        // A canary that nobody can roll back must not stay.
        if is_lost || since.elapsed() >= UNWRITTEN {
            self.controller = None;
            self.fall_back(&why);
        } else if self.trouble.as_deref() != Some(&why) {
            tracing::error!(service = %self.service, "the rollout cannot go on: {why}");
            self.trouble = Some(why);
        }
    }

    /// Shows how it stands.
    fn tell(&mut self) {
        if let Some(controller) = &mut self.controller {
            let canary = controller
                .history()
                .rollout()
                .map(|rollout| rollout.canary().clone());
            let canary = canary.as_ref().map_or("", Version::as_str);
            for record in controller.take_news() {
                let Entry::Decided(decision) = &record.entry else {
                    continue;
                };
                let (word, because) = (decision.change.word(), decision.cause.word());
                self.metrics.decided(word, because);
                tracing::info!(
                    service = %self.service,
                    version = canary,
                    decision = word,
                    because,
                    "{}: {}",
                    decision.change,
                    decision.cause
                );
            }
        }
        let shown = Shown::of(
            &self.setup,
            self.controller.as_ref(),
            self.endpoints,
            self.trouble.clone(),
            self.around.clock.now(),
        );
        self.tell_uneven(&shown);
        match self
            .controller
            .as_ref()
            .and_then(|controller| controller.history().rollout())
        {
            Some(rollout) => {
                if let Some(figures) = shown.figures() {
                    self.metrics.set(rollout.canary(), &figures);
                }
            }
            None => self.metrics.clear(),
        }
        self.shown.store(Arc::new(shown));
    }

    /// Once a rollout: nobody is to take the weight for what happens.
    fn tell_uneven(&mut self, shown: &Shown) {
        let rollout = shown.rollout.as_ref();
        let uneven = rollout.and_then(|rollout| Some((&rollout.canary, rollout.uneven.as_ref()?)));
        if let Some((canary, uneven)) = uneven
            && !std::mem::replace(&mut self.told_uneven, true)
        {
            tracing::warn!(
                service = %self.service,
                version = %canary,
                "{uneven}: clients stay with their version, and some send far more than others. Behind a proxy, name it in \
                 trustedProxies, so that the clients behind it are told apart; or set routing.sticky: false"
            );
        }
    }
}
