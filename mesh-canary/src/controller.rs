//! Drives a rollout: asks for numbers, tells the router, keeps the log.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use mesh_core::ServiceName;
use mesh_core::clock::WallClock;
use mesh_core::event::EventBus;
use mesh_core::metric::MetricSource;
use mesh_core::split::{TrafficSplit, Weights};

use crate::analyzer::{CanaryAnalyzer, Memory, Verdict};
use crate::log::{History, Record, Request};
use crate::plan::Plan;
use crate::rollout::{Action, Command, Ignored, Input};
use crate::store::{AnyStore, RolloutStore};
use crate::template::Template;

mod analyses;
mod counted;
mod decisions;
mod error;

pub use error::ControllerError;

use analyses::Analyses;
use counted::Counted;
use decisions::Decisions;

/// The rollouts of one service. All it decides is decided by [`Rollout`](crate::rollout::Rollout); this only waits.
///
/// Whoever owns it calls [`tick`](Self::tick) once an [interval](Plan::interval), and the rest when it happens. A call
/// that is given up, or fails, leaves nothing behind: the next one reads the log again and goes on from there.
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, SystemTime};
/// use mesh_canary::controller::Controller;
/// use mesh_canary::log::Request;
/// use mesh_canary::plan::Plan;
/// use mesh_canary::store::{AnyStore, MemoryStore};
/// # use mesh_core::metric::{MetricError, MetricQuery, MetricSource, Samples, Traffic};
/// # use mesh_core::split::{SplitError, TrafficSplit, Weights};
/// # struct Nothing;
/// # impl MetricSource for Nothing {
/// #     async fn sample(&self, _: &MetricQuery) -> Result<Samples, MetricError> {
/// #         Ok(Samples::Traffic(Traffic::default()))
/// #     }
/// # }
/// # struct Router;
/// # impl TrafficSplit for Router {
/// #     fn set_weights(&self, _: &Weights) -> Result<(), SplitError> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// # let (metrics, router) = (Nothing, Router);
/// let store = AnyStore::new(MemoryStore::default());
/// let mut controller = Controller::open("orders".parse()?, store, metrics, Arc::new(router)).await?;
/// controller.start(Request::new("v1".parse()?, "v2".parse()?, Plan::default())).await?;
/// controller.endpoints(2, 1).await?;
/// controller.tick().await?;
/// let rollout = controller.history().rollout().expect("it has started");
/// assert_eq!(rollout.status().weight, 5);
/// # Ok(()) }
/// ```
pub struct Controller<M> {
    service: ServiceName,
    store: AnyStore,
    metrics: M,
    split: Arc<dyn TrafficSplit>,
    clock: Arc<dyn WallClock>,
    events: EventBus,
    custom: Option<Arc<dyn CanaryAnalyzer>>,
    analyzer: Option<(Plan, Arc<dyn CanaryAnalyzer>)>,
    /// What the analyzer made of the evidence so far.
    memory: Memory,
    analyses: Analyses,
    history: History,
    decisions: Decisions,
    verdict: Option<Verdict>,
    /// Whether what is in memory may differ from the log.
    stale: bool,
    /// As it was told last.
    endpoints: Option<(usize, usize)>,
    /// The counts with which the present window began.
    counted: Option<Counted>,
    /// Whether the router was told who is stable, after a rollout has ended.
    settled: bool,
}

impl<M: MetricSource> Controller<M> {
    /// Goes on with what the store has of this service.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn open(
        service: ServiceName,
        store: AnyStore,
        metrics: M,
        split: Arc<dyn TrafficSplit>,
    ) -> Result<Self, ControllerError> {
        let mut controller = Self {
            history: History::new(service.clone()),
            service,
            store,
            metrics,
            split,
            clock: Arc::new(mesh_core::clock::SystemClock),
            events: EventBus::default(),
            custom: None,
            analyzer: None,
            memory: Memory::default(),
            analyses: Analyses::default(),
            decisions: Decisions::default(),
            verdict: None,
            stale: true,
            endpoints: None,
            counted: None,
            settled: false,
        };
        controller.refresh().await?;
        Ok(controller)
    }

    /// With another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Tells what happens there.
    #[must_use]
    pub fn with_events(mut self, events: EventBus) -> Self {
        self.events = events;
        self
    }

    /// Judged by another analyzer than the one that a plan asks for.
    #[must_use]
    pub fn with_analyzer(mut self, analyzer: impl CanaryAnalyzer) -> Self {
        self.custom = Some(Arc::new(analyzer));
        self
    }

    /// Judged by these analysis templates too: [`WithTemplates`](crate::judge::WithTemplates) says how. Their queries go to
    /// the source of the numbers.
    #[must_use]
    pub fn with_templates(mut self, templates: impl IntoIterator<Item = Template>) -> Self {
        self.analyses = Analyses::new(templates);
        self
    }

    /// What has happened so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The newest decisions of the last rollout, the oldest first.
    pub fn decisions(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.decisions.all()
    }

    /// The decisions that were made since this was asked last, those of an earlier run left out.
    pub fn take_news(&mut self) -> impl Iterator<Item = &Record> {
        self.decisions.take_news(self.history.position())
    }

    /// What the analyzer said last of the rollout that is under way, and what it waits for; nothing before it was asked.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Starts a rollout.
    ///
    /// # Errors
    /// It does not start, or the log cannot be written.
    pub async fn start(&mut self, request: Request) -> Result<(), ControllerError> {
        self.refresh().await?;
        let outcome = self.history.start(request, self.clock.now())?;
        (self.counted, self.settled, self.verdict) = (None, false, None);
        self.decisions.clear();
        let mut inputs = VecDeque::new();
        self.perform(outcome.actions, &mut inputs).await?;
        inputs.extend(self.known_endpoints());
        self.feed(inputs).await.map(drop)
    }

    /// Somebody wants something. Why it changed nothing, if it did not.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn command(&mut self, command: Command) -> Result<Option<Ignored>, ControllerError> {
        self.happened(Input::Operator(command)).await
    }

    /// So many endpoints take requests now.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn endpoints(&mut self, stable: usize, canary: usize) -> Result<(), ControllerError> {
        self.endpoints = Some((stable, canary));
        self.happened(Input::Endpoints { stable, canary }).await.map(drop)
    }

    /// Anything else that happens: a newer version, another plan. Why it changed nothing, if it did not.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn happened(&mut self, input: Input) -> Result<Option<Ignored>, ControllerError> {
        self.refresh().await?;
        let ignored = self.feed(VecDeque::from([input])).await?;
        self.begin_window().await;
        Ok(ignored)
    }

    /// Another interval has gone by: what was seen in it is judged.
    ///
    /// # Errors
    /// The log cannot be written. Numbers that cannot be had are no error: the rollout waits for them.
    pub async fn tick(&mut self) -> Result<(), ControllerError> {
        self.refresh().await?;
        let mut inputs = VecDeque::from([Input::Tick]);
        inputs.extend(self.window().await);
        self.feed(inputs).await?;
        self.begin_window().await;
        self.settle()
    }

    /// What was seen since the window began, or that it could not be.
    async fn window(&mut self) -> Vec<Input> {
        let Some(rollout) = self.history.rollout().filter(|rollout| rollout.takes_pinned()) else {
            return Vec::new();
        };
        let order = rollout.order();
        let Some(before) = self.counted.take().filter(|counted| counted.order() == order) else {
            return Vec::new();
        };
        let not_measured = |why: String| vec![Input::NotMeasured { why }];
        let at = rollout.clock_at(self.clock.now());
        self.analyses
            .measure(&self.metrics, at, rollout.plan().interval())
            .await;
        match Counted::now(&self.metrics, rollout, &*self.clock).await {
            Ok(now) => match now.since(&before) {
                Some(window) => {
                    self.counted = Some(now);
                    let window = window.with_analysed(self.analyses.standing());
                    let why = window.analysed.as_ref().filter(|_| !window.is_measured());
                    let why = why.map(ToString::to_string).map(not_measured);
                    let mut inputs = vec![Input::Seen(window)];
                    inputs.extend(why.into_iter().flatten());
                    inputs
                }
                None => not_measured("the counters began anew".to_owned()),
            },
            // The window only becomes longer.
            Err(error) => {
                self.counted = Some(before);
                not_measured(error.to_string())
            }
        }
    }

    /// Counts what was before, so that the next window has nothing of it, as soon as a share is in force.
    async fn begin_window(&mut self) {
        let Some(rollout) = self.history.rollout().filter(|rollout| rollout.takes_pinned()) else {
            self.counted = None;
            self.analyses.end();
            return;
        };
        if rollout.is_in_force() {
            self.analyses.begin(rollout, rollout.clock_at(self.clock.now()));
        }
        let begun = self
            .counted
            .as_ref()
            .is_some_and(|counted| counted.order() == rollout.order());
        if rollout.is_in_force() && !begun {
            // Without an answer there is no window yet, and the next tick tries again.
            self.counted = Counted::now(&self.metrics, rollout, &*self.clock).await.ok();
        }
    }

    /// After the end of a rollout, and after a restart, the router has to know who is stable.
    fn settle(&mut self) -> Result<(), ControllerError> {
        let ended = self
            .history
            .rollout()
            .is_some_and(|rollout| rollout.phase().has_ended());
        if let Some(stable) = self.history.stable_version()
            && ended
            && !self.settled
        {
            let weights = Weights::all_to(self.service.clone(), stable.clone());
            self.split.set_weights(&weights)?;
            self.settled = true;
        }
        Ok(())
    }

    /// Reads the log, if what is in memory may differ from it.
    async fn refresh(&mut self) -> Result<(), ControllerError> {
        if !self.stale {
            return Ok(());
        }
        let records = self.store.read(&self.service).await?;
        self.decisions.clear();
        for (position, record) in &records {
            self.decisions.read(*position, record);
        }
        self.history = History::read(self.service.clone(), records)?;
        self.decisions.begin_at(self.history.position());
        self.stale = false;
        (self.counted, self.settled) = (None, false);
        let resumed = self.history.rollout().map(|rollout| rollout.resumed().actions);
        let mut inputs: VecDeque<Input> = self.known_endpoints().into_iter().collect();
        self.perform(resumed.unwrap_or_default(), &mut inputs).await?;
        self.feed(inputs).await.map(drop)
    }

    fn known_endpoints(&self) -> Option<Input> {
        let (stable, canary) = self.endpoints?;
        Some(Input::Endpoints { stable, canary })
    }

    /// Tells the rollout what happened, and does what it wants done, until it wants nothing more.
    async fn feed(&mut self, mut inputs: VecDeque<Input>) -> Result<Option<Ignored>, ControllerError> {
        let mut first = None;
        while let Some(input) = inputs.pop_front() {
            let now = self.clock.now();
            let Some(rollout) = self.history.rollout_mut() else {
                return Ok(None);
            };
            // Until all of it is done, nobody knows how much is: who gives up here reads the log again.
            self.stale = true;
            let outcome = rollout.on(input, now);
            first.get_or_insert(outcome.ignored);
            self.perform(outcome.actions, &mut inputs).await?;
            self.stale = false;
        }
        Ok(first.flatten())
    }

    async fn perform(
        &mut self,
        actions: Vec<Action>,
        inputs: &mut VecDeque<Input>,
    ) -> Result<(), ControllerError> {
        for action in actions {
            match action {
                Action::Persist { position, record } => {
                    self.stale = true;
                    self.store.append(&self.service, position, &record).await?;
                    self.stale = false;
                    self.decisions.read(position, &record);
                }
                Action::SetWeights { order, weights } => {
                    let order = order.number;
                    inputs.push_back(match self.split.set_weights(&weights) {
                        Ok(()) => Input::SplitSet { order },
                        Err(error) => Input::SplitRefused {
                            order,
                            kind: error.kind(),
                            message: error.to_string(),
                        },
                    });
                }
                Action::Judge(question) => {
                    if let Some(rollout) = self.history.rollout() {
                        let analyzer = analyzer(&mut self.analyzer, self.custom.as_ref(), rollout.plan());
                        let verdict = analyzer.judge_with(rollout.evidence(), &mut self.memory);
                        self.verdict = Some(verdict.clone());
                        inputs.push_back(Input::Judged { question, verdict });
                    }
                }
                Action::Emit(event) => self.events.emit(event),
            }
        }
        Ok(())
    }
}

/// The one that was given, or the one that the plan asks for: made once a plan.
fn analyzer(
    made: &mut Option<(Plan, Arc<dyn CanaryAnalyzer>)>,
    custom: Option<&Arc<dyn CanaryAnalyzer>>,
    plan: &Plan,
) -> Arc<dyn CanaryAnalyzer> {
    if let Some(custom) = custom {
        return Arc::clone(custom);
    }
    match made {
        Some((of, analyzer)) if of == plan => Arc::clone(analyzer),
        _ => {
            let analyzer = plan.analyzer();
            *made = Some((plan.clone(), Arc::clone(&analyzer)));
            analyzer
        }
    }
}

impl<M> fmt::Debug for Controller<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("service", &self.service)
            .field("rollout", &self.history.rollout().map(|rollout| rollout.phase()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
