use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use mesh_core::metric::{MetricError, MetricErrorKind, MetricQuery, Samples, Traffic};
use mesh_core::split::{SplitError, SplitErrorKind};
use mesh_core::testkit::ManualClock;

use super::*;
use crate::log::{Entry, Record};
use crate::plan::PlanStage;
use crate::rollout::{End, Operation, PauseReason, Phase, Step};
use crate::store::{MemoryStore, StoreError, StoreErrorKind};
use crate::{Evidence, Finding, Number, Verdict};

/// A router, counters that follow its shares, and a clock.
#[derive(Default)]
struct World {
    percent: Mutex<u8>,
    told: Mutex<Vec<String>>,
    counts: Mutex<[(u64, u64); 2]>,
    silent: AtomicBool,
    refusing: AtomicBool,
    /// What a query is answered; without one the server is away.
    answer: Mutex<Option<f64>>,
}

#[derive(Clone)]
struct Shared(Arc<World>);

impl MetricSource for Shared {
    async fn sample(&self, query: &MetricQuery) -> Result<Samples, MetricError> {
        if self.0.silent.load(Ordering::Relaxed) {
            return Err(MetricError::new(MetricErrorKind::Unavailable, "no answer"));
        }
        let MetricQuery::Traffic(query) = query else {
            let answer = *self.0.answer.lock().expect("not poisoned");
            let away = || MetricError::new(MetricErrorKind::Unavailable, "the server is away");
            return answer
                .map(|answer| Samples::Vector(vec![answer]))
                .ok_or_else(away);
        };
        let counts = self.0.counts.lock().expect("not poisoned");
        let (requests, errors) = counts[usize::from(query.version.as_str() == "v2")];
        Ok(Samples::Traffic(Traffic {
            requests,
            errors,
            ..Traffic::default()
        }))
    }
}

impl TrafficSplit for Shared {
    fn set_weights(&self, weights: &Weights) -> Result<(), SplitError> {
        if self.0.refusing.load(Ordering::Relaxed) {
            return Err(SplitError::new(SplitErrorKind::Unavailable, "not now"));
        }
        *self.0.percent.lock().expect("not poisoned") = weights.share(&"v2".parse().expect("a version"));
        self.0
            .told
            .lock()
            .expect("not poisoned")
            .push(weights.to_string());
        Ok(())
    }
}

impl Shared {
    fn requests(&self, all: u64, errors: u64) {
        let percent = u64::from(*self.0.percent.lock().expect("not poisoned"));
        let mut counts = self.0.counts.lock().expect("not poisoned");
        counts[0].0 += all * (100 - percent) / 100;
        counts[1].0 += all * percent / 100;
        counts[1].1 += errors;
    }

    fn answers(&self, answer: Option<f64>) {
        *self.0.answer.lock().expect("not poisoned") = answer;
    }

    fn told(&self) -> Vec<String> {
        self.0.told.lock().expect("not poisoned").clone()
    }
}

/// Three errors in a stage are too many; anything else is good.
struct ThreeErrors;

impl CanaryAnalyzer for ThreeErrors {
    fn judge(&self, evidence: &Evidence) -> Verdict {
        let errors = evidence.in_stage().canary.errors;
        let finding = Finding::at_most("errors", Number::Count(errors), Number::Count(2));
        if errors > 2 {
            Verdict::Rollback(finding.into())
        } else {
            Verdict::Promote(finding.into())
        }
    }
}

/// A store that fails when it is told to.
#[derive(Clone, Default)]
struct Failing(Arc<(MemoryStore, AtomicBool)>);

impl RolloutStore for Failing {
    async fn read(&self, service: &ServiceName) -> Result<Vec<(u64, Record)>, StoreError> {
        self.0.0.read(service).await
    }

    async fn append(&self, service: &ServiceName, position: u64, record: &Record) -> Result<(), StoreError> {
        if self.0.1.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "the disk is full"));
        }
        self.0.0.append(service, position, record).await
    }
}

struct Stage {
    world: Shared,
    store: Failing,
    clock: Arc<ManualClock>,
    controller: Controller<Shared>,
}

fn plan() -> Plan {
    let s = Duration::from_secs;
    Plan::builder()
        .stages([
            PlanStage::new(10, s(10)),
            PlanStage::new(50, s(10)),
            PlanStage::full(),
        ])
        .auto_promote(true)
        .build()
        .expect("a valid plan")
}

fn request() -> Request {
    Request::new(
        "v1".parse().expect("a version"),
        "v2".parse().expect("a version"),
        plan(),
    )
}

async fn open(world: &Shared, store: &Failing, clock: &Arc<ManualClock>) -> Controller<Shared> {
    let (any, split) = (AnyStore::new(store.clone()), Arc::new(world.clone()));
    let opened = Controller::open("orders".parse().expect("a name"), any, world.clone(), split).await;
    let clock: Arc<dyn WallClock> = Arc::clone(clock) as _;
    opened
        .expect("opened")
        .with_clock(clock)
        .with_analyzer(ThreeErrors)
}

async fn begun() -> Stage {
    let (world, store) = (Shared(Arc::default()), Failing::default());
    let clock = Arc::new(ManualClock::new(
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
    ));
    let mut controller = open(&world, &store, &clock).await;
    controller.start(request()).await.expect("started");
    controller.endpoints(2, 1).await.expect("told");
    Stage {
        world,
        store,
        clock,
        controller,
    }
}

impl Stage {
    async fn tick(&mut self, requests: u64, errors: u64) -> Result<Phase, ControllerError> {
        self.world.requests(requests, errors);
        self.clock.advance(Duration::from_secs(5));
        self.controller.tick().await?;
        Ok(self.phase())
    }

    /// Judged by the documented template too.
    fn with_template(mut self) -> Self {
        let template = Template::inline(
            "success-rate",
            r#"rate{job="{{.Service}}-{{.Version}}"}"#,
            Some("result[0] >= 99"),
            Some("result[0] < 95"),
        );
        self.controller = self
            .controller
            .with_analyzer(crate::judge::WithTemplates::beside(ThreeErrors))
            .with_templates([template.expect("a template")]);
        self
    }

    fn phase(&self) -> Phase {
        self.controller
            .history()
            .rollout()
            .expect("one has started")
            .phase()
    }
}

#[tokio::test]
async fn a_good_canary_is_promoted() {
    let mut stage = begun().await;
    for _ in 0..10 {
        stage.tick(1000, 0).await.expect("kept");
    }
    assert_eq!(stage.phase(), Phase::Ended(End::Succeeded));
    let told = [
        "orders: v1 90%, v2 10%",
        "orders: v1 50%, v2 50%",
        "orders: v1 0%, v2 100%",
        "orders: v2 100%",
    ];
    assert_eq!(stage.world.told(), told);
}

#[tokio::test]
async fn a_bad_canary_is_rolled_back() {
    let mut stage = begun().await;
    stage.tick(1000, 2).await.expect("kept");
    assert_eq!(stage.phase(), Phase::Running(Step::Analyzing));
    stage.tick(1000, 1).await.expect("kept");
    assert_eq!(stage.phase(), Phase::Ended(End::RolledBack));
    assert_eq!(stage.world.told().last().expect("told"), "orders: v1 100%");
}

#[tokio::test]
async fn what_was_counted_before_a_share_is_in_force_is_not_in_its_windows() {
    let mut stage = begun().await;
    stage.tick(1000, 0).await.expect("kept");
    stage.tick(1000, 0).await.expect("kept");
    stage.tick(1000, 0).await.expect("kept");
    let windows = stage
        .controller
        .history()
        .rollout()
        .expect("started")
        .evidence()
        .windows()
        .to_vec();
    let seen: Vec<_> = windows
        .iter()
        .map(|w| (w.weight, w.stable.requests, w.canary.requests))
        .collect();
    assert_eq!(seen, [(10, 900, 100), (10, 900, 100), (50, 500, 500)]);
    assert_eq!(windows[1].until, windows[2].from);
}

#[tokio::test]
async fn numbers_that_cannot_be_had_pause_it_until_they_can() {
    let mut stage = begun().await;
    stage.world.0.silent.store(true, Ordering::Relaxed);
    for _ in 0..70 {
        stage.tick(10, 0).await.expect("kept");
    }
    assert!(matches!(
        stage.phase(),
        Phase::Paused {
            reason: PauseReason::MetricsUnavailable,
            ..
        }
    ));
    stage.world.0.silent.store(false, Ordering::Relaxed);
    stage.tick(10, 0).await.expect("kept");
    assert_eq!(stage.phase(), Phase::Running(Step::Analyzing));
}

#[tokio::test]
async fn counters_that_began_anew_are_no_window() {
    let mut stage = begun().await;
    stage.tick(1000, 0).await.expect("kept");
    *stage.world.0.counts.lock().expect("not poisoned") = [(0, 0); 2];
    stage.tick(0, 0).await.expect("kept");
    assert_eq!(
        stage
            .controller
            .history()
            .rollout()
            .expect("started")
            .evidence()
            .windows()
            .len(),
        1
    );
    stage.tick(1000, 0).await.expect("kept");
    assert_eq!(
        stage
            .controller
            .history()
            .rollout()
            .expect("started")
            .evidence()
            .windows()
            .len(),
        2
    );
}

#[tokio::test]
async fn what_could_not_be_written_was_not_decided() {
    let mut stage = begun().await;
    stage.store.0.1.store(true, Ordering::Relaxed);
    let command = || Command::new(Operation::Rollback, "ann");
    let error = stage
        .controller
        .command(command())
        .await
        .expect_err("not written");
    assert_eq!(error.to_string(), "the disk is full");
    assert_eq!(stage.world.told(), ["orders: v1 90%, v2 10%"]);

    stage.store.0.1.store(false, Ordering::Relaxed);
    stage.tick(1000, 0).await.expect("kept");
    assert_eq!(stage.phase(), Phase::Running(Step::Analyzing));
    assert_eq!(stage.controller.command(command()).await.expect("written"), None);
    assert_eq!(stage.phase(), Phase::Ended(End::RolledBack));
}

#[tokio::test]
async fn a_restart_goes_on_with_the_same_share() {
    let mut stage = begun().await;
    for _ in 0..3 {
        stage.tick(1000, 0).await.expect("kept");
    }
    let before = stage.controller.history().clone();
    stage.controller = open(&stage.world, &stage.store, &stage.clock).await;
    assert_eq!(*stage.controller.history(), before);
    let told = stage.world.told().len();
    stage.controller.endpoints(2, 1).await.expect("told");
    assert_eq!(stage.world.told()[told..], ["orders: v1 50%, v2 50%"]);
    for _ in 0..4 {
        stage.tick(1000, 0).await.expect("kept");
    }
    assert_eq!(stage.phase(), Phase::Ended(End::Succeeded));
}

#[tokio::test]
async fn of_two_controllers_the_one_that_is_late_decides_nothing() {
    let mut stage = begun().await;
    let mut late = open(&stage.world, &stage.store, &stage.clock).await;
    stage.tick(1000, 0).await.expect("kept");
    let told = stage.world.told();
    let error = late
        .command(Command::new(Operation::Rollback, "bob"))
        .await
        .expect_err("late");
    assert!(
        matches!(&error, ControllerError::Store(error) if error.kind() == StoreErrorKind::Conflict),
        "{error}"
    );
    assert_eq!(stage.world.told(), told);
}

#[tokio::test]
async fn a_router_that_cannot_now_is_asked_again() {
    let mut stage = begun().await;
    stage.world.0.refusing.store(true, Ordering::Relaxed);
    stage
        .controller
        .command(Command::new(Operation::Rollback, "ann"))
        .await
        .expect("written");
    assert_eq!(stage.phase(), Phase::RollingBack);
    stage.world.0.refusing.store(false, Ordering::Relaxed);
    stage.tick(0, 0).await.expect("kept");
    assert_eq!(stage.phase(), Phase::Ended(End::RolledBack));
}

#[tokio::test]
async fn a_template_that_fails_rolls_back_and_its_answer_is_the_cause() {
    let mut stage = begun().await.with_template();
    stage.world.answers(Some(99.5));
    stage.tick(1000, 0).await.expect("kept");
    stage.world.answers(Some(94.2));
    for _ in 0..3 {
        stage.tick(1000, 0).await.expect("kept");
    }
    assert_eq!(stage.phase(), Phase::Ended(End::RolledBack));
    let causes: Vec<String> = stage
        .controller
        .decisions()
        .filter_map(|record| match &record.entry {
            Entry::Decided(decision) => Some(decision.cause.to_string()),
            _ => None,
        })
        .collect();
    assert!(
        causes[1].starts_with(
            "rollback: success-rate answered [94.2] (well if result[0] >= 99, fails if result[0] < 95)"
        ),
        "{causes:?}"
    );
    assert_eq!(stage.controller.take_news().count(), 3);
    assert_eq!(stage.controller.take_news().count(), 0);
}

#[tokio::test]
async fn a_good_canary_with_a_template_that_is_well_is_promoted() {
    let mut stage = begun().await.with_template();
    stage.world.answers(Some(99.5));
    for _ in 0..12 {
        stage.tick(1000, 0).await.expect("kept");
    }
    assert_eq!(stage.phase(), Phase::Ended(End::Succeeded));
}

#[tokio::test]
async fn while_a_template_cannot_be_asked_nothing_is_promoted_and_errors_still_count() {
    let mut stage = begun().await.with_template();
    for _ in 0..20 {
        stage.tick(1000, 0).await.expect("kept");
    }
    assert_eq!(stage.phase(), Phase::Running(Step::Analyzing));
    let said = stage.controller.verdict().expect("asked").to_string();
    assert!(
        said.starts_with("continue: success-rate could not be measured: the server is away"),
        "{said}"
    );
    for _ in 0..60 {
        stage.tick(1000, 0).await.expect("kept");
    }
    assert!(
        matches!(
            stage.phase(),
            Phase::Paused {
                reason: PauseReason::MetricsUnavailable,
                ..
            }
        ),
        "{:?}",
        stage.phase()
    );
    stage.world.answers(Some(99.5));
    stage.tick(1000, 0).await.expect("kept");
    stage.tick(1000, 0).await.expect("kept");
    assert_eq!(stage.phase(), Phase::Running(Step::Analyzing));
    assert_eq!(stage.controller.history().rollout().expect("one").stage(), 1);

    stage.world.answers(None);
    stage.tick(1000, 3).await.expect("kept");
    assert_eq!(stage.phase(), Phase::Ended(End::RolledBack));
}

#[tokio::test]
async fn whoever_goes_on_in_spite_of_an_inconclusive_template_has_it_measured_anew() {
    let mut stage = begun().await.with_template();
    stage.world.answers(Some(97.0));
    for _ in 0..3 {
        stage.tick(1000, 0).await.expect("kept");
    }
    assert!(matches!(
        stage.phase(),
        Phase::Paused {
            reason: PauseReason::Inconclusive,
            ..
        }
    ));
    stage.world.answers(Some(99.5));
    let resume = Command::new(Operation::Resume, "ann");
    assert_eq!(stage.controller.command(resume).await.expect("written"), None);
    for _ in 0..3 {
        stage.tick(1000, 0).await.expect("kept");
    }
    assert!(stage.controller.history().rollout().expect("one").stage() >= 1);
}
