//! Rollouts of one service, with counts by a script and in virtual time.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use mesh_canary::rollout::Operation;
use mesh_canary::store::MemoryStore;
use mesh_core::metric::{
    Histogram, MetricError, MetricErrorKind, MetricQuery, MetricSource, Samples, Traffic,
};
use mesh_core::{Endpoint, EndpointSet};
use mesh_lb::fleet::{Fleet, FleetPolicy};
use mesh_traffic::LiveSplit;
use tokio::time::{Instant, advance};

use super::*;

/// Shows the time that tokio's paused clock has come to.
#[derive(Debug)]
struct Paused(Instant);

impl WallClock for Paused {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + self.0.elapsed()
    }
}

/// What was counted of each version.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<HashMap<String, (u64, u64)>>>);

impl MetricSource for Counts {
    async fn sample(&self, query: &MetricQuery) -> Result<Samples, MetricError> {
        let MetricQuery::Traffic(query) = query else {
            return Err(MetricError::new(MetricErrorKind::Unsupported, "no queries"));
        };
        let counts = self.0.lock().expect("not poisoned");
        let (requests, errors) = counts.get(query.version.as_str()).copied().unwrap_or_default();
        let edges = [50, 500, 1000].map(Duration::from_millis);
        let latency = Histogram::new(edges.into(), vec![requests, 0, 0, 0]);
        Ok(Samples::Traffic(Traffic {
            requests,
            errors,
            latency: latency.expect("a count more than edges"),
            ..Traffic::default()
        }))
    }
}

const CONFIG: &str = "canaryDeployment: { stages: [{ weight: 10, duration: 8s }, { weight: 50, duration: 8s }, \
                      { weight: 100 }], successCriteria: { errorRate: 0.05, duration: 4s }, rollbackCriteria: { errorRate: \
                      0.2, duration: 4s }, analysis: { judge: JUDGE }, autoPromote: AUTO, routing: { sticky: false } }";

struct World {
    counts: Counts,
    around: Around,
    setup: Setup,
    desk: Desk,
    running: Option<Running>,
}

fn version(text: &str) -> Version {
    text.parse().expect("a version")
}

fn endpoints(versions: &[&str]) -> EndpointSet {
    EndpointSet::new(versions.iter().enumerate().map(|(n, version)| {
        let address = format!("127.0.0.1:{}", 4000 + n).parse().expect("an address");
        Endpoint::new(address).with_version(version.parse().ok())
    }))
}

fn plan_of(text: &str) -> mesh_canary::plan::Plan {
    let loaded = config::parse("mesh.yaml", text).expect("a configuration");
    loaded.config.canary.expect("written").plan().expect("a plan")
}

impl World {
    async fn begin(auto_promote: bool, store: Result<AnyStore, String>) -> Self {
        let text = CONFIG
            .replace("JUDGE", "threshold")
            .replace("AUTO", &auto_promote.to_string());
        let mut policy = FleetPolicy::default();
        policy.stable = Some(version("v1"));
        let service: ServiceName = "orders".parse().expect("a name");
        let fleet = Fleet::new(service.clone(), policy);
        fleet.update(endpoints(&["v1", "v1", "v2"]), Instant::now());
        let counts = Counts::default();
        let setup = Setup {
            plan: plan_of(&text),
            templates: Vec::new(),
            url: None,
            numbers: Numbers::new(AnySource::new(counts.clone()), None),
            split: LiveSplit::new(service, Some(version("v1")), [version("v2")]),
            fleet,
            stable: Some(version("v1")),
        };
        let around = Around {
            store,
            events: EventBus::default(),
            telemetry: Telemetry::new(),
            clock: Arc::new(Paused(Instant::now())),
        };
        let mut world = Self {
            counts,
            around,
            setup,
            desk: Desk::default(),
            running: None,
        };
        world.restart().await;
        world
    }

    async fn in_memory(auto_promote: bool) -> Self {
        Self::begin(auto_promote, Ok(AnyStore::new(MemoryStore::default()))).await
    }

    /// The process ends, and another begins with nothing but the log.
    async fn restart(&mut self) {
        self.running = None;
        tokio::task::yield_now().await;
        self.setup.split = LiveSplit::new(
            self.setup.split.service().clone(),
            Some(version("v1")),
            [version("v2")],
        );
        let running = Running::begin(self.setup.clone(), self.around.clone()).await;
        self.show(running);
    }

    fn show(&mut self, running: Running) {
        let service = running.setup.split.service().clone();
        let handles = BTreeMap::from([(service, running.handle.clone())]);
        self.desk.0.store(Arc::new(handles));
        self.running = Some(running);
    }

    async fn start(&self) -> Result<Arc<Shown>, Refusal> {
        self.desk.start("orders", version("v2"), false).await
    }

    async fn command(&self, operation: Operation) -> Result<Arc<Shown>, Refusal> {
        self.desk.command("orders", Command::new(operation, "ann")).await
    }

    async fn promote(&self) {
        let stage = self.desk.stage("orders").expect("a rollout");
        self.command(Operation::Promote { stage })
            .await
            .expect("promoted");
    }

    fn shown(&self) -> ShownRollout {
        let shown = self.desk.of("orders").expect("it is there");
        shown.rollout.clone().expect("a rollout")
    }

    fn canary_share(&self) -> u32 {
        self.setup.split.share(Some(&version("v2")))
    }

    /// A second goes by in which requests come, and so many of a hundred of the canary's fail.
    async fn second(&self, errors: u64) {
        let share = u64::from(self.canary_share());
        {
            let mut counts = self.counts.0.lock().expect("not poisoned");
            counts.entry("v1".to_owned()).or_default().0 += 10 * (100 - share);
            let canary = counts.entry("v2".to_owned()).or_default();
            canary.0 += 10 * share;
            canary.1 += share * errors / 10;
        }
        advance(Duration::from_secs(1)).await;
        // The task has several things to wait for in a tick.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    async fn until(&self, state: &str, errors: u64) {
        for _ in 0..60 {
            if self.shown().state == state {
                return;
            }
            self.second(errors).await;
        }
        panic!("{:#?}", self.shown());
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_version_waits_in_each_stage_until_it_is_promoted() {
    let world = World::in_memory(false).await;
    world.start().await.expect("started");
    assert_eq!(world.canary_share(), 10);
    assert_eq!(world.shown().state, "analyzing");
    for (stage, share) in [(1, 10), (2, 50)] {
        world.until("awaiting_promotion", 0).await;
        let shown = world.shown();
        assert_eq!((shown.stage, world.canary_share()), (stage, share));
        let waits = shown.waits_for.as_ref().expect("it waits").what.clone();
        assert!(waits.contains("mesh-proxy canary promote orders"), "{waits}");
        assert_eq!(shown.arms.canary.endpoints, Some(1));
        assert!(shown.arms.canary.samples >= 59, "{shown:?}");
        world.promote().await;
    }
    world.until("succeeded", 0).await;
    world.second(0).await;
    assert_eq!(world.canary_share(), 100);
    let shown = world.desk.of("orders").expect("there");
    assert_eq!(shown.stable.as_deref(), Some("v2"));
    let page = world.around.telemetry.render();
    for series in [
        "canary_deployment_status{service=\"orders\",version=\"v2\",status=\"success\"} 1\n",
        "canary_deployment_weight{service=\"orders\",version=\"v2\"} 100\n",
        "canary_deployment_decisions_total{service=\"orders\",decision=\"advance\",cause=\"operator\"} 2\n",
    ] {
        assert!(page.contains(series), "{series}{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_version_is_rolled_back_with_its_figures() {
    let world = World::in_memory(true).await;
    let mut events = world.around.events.subscribe();
    world.start().await.expect("started");
    world.until("rolled_back", 50).await;
    assert_eq!(world.canary_share(), 0);
    let shown = world.shown();
    let cause = shown.cause.expect("a cause");
    assert!(cause.contains("error rate 50% (at most 20%"), "{cause}");
    assert_eq!(shown.decisions[0].decision, "rolled_back");
    let mut kinds = Vec::new();
    while let Some(Some(event)) = futures_util::FutureExt::now_or_never(events.next()) {
        kinds.push(event.kind());
    }
    assert_eq!(
        kinds,
        ["canary_step", "canary_rolling_back", "canary_rolled_back"]
    );
    let refused = world.start().await.expect_err("it was rolled back");
    assert!(
        matches!(&refused, Refusal::Conflict(why) if why.contains("--retry")),
        "{refused:?}"
    );
    world
        .desk
        .start("orders", version("v2"), true)
        .await
        .expect("tried again");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_rolled_out_is_refused_with_what_to_do() {
    let world = World::in_memory(false).await;
    let refused = world
        .desk
        .start("orders", version("v3"), false)
        .await
        .expect_err("no v3");
    assert_eq!(
        refused,
        Refusal::Unknown("orders has no version v3: it has v1, v2; endpoints name theirs as version".into())
    );
    let refused = world.desk.of("users").expect_err("no such service");
    assert!(matches!(&refused, Refusal::Unknown(why) if why.contains("these are: orders")));
    let nothing = world
        .command(Operation::Pause)
        .await
        .expect_err("nothing to pause");
    assert!(matches!(nothing, Refusal::Conflict(_)), "{nothing:?}");

    world.setup.fleet.update(endpoints(&["v1", "v1"]), Instant::now());
    let refused = world.start().await.expect_err("nobody serves v2");
    assert!(
        matches!(&refused, Refusal::Conflict(why) if why.starts_with("v2 of orders has no endpoint that is ready")),
        "{refused:?}"
    );
    assert_eq!(world.canary_share(), 0);

    world
        .setup
        .fleet
        .update(endpoints(&["v1", "v1", "v2"]), Instant::now());
    world.start().await.expect("started");
    let refused = world.start().await.expect_err("under way");
    assert!(
        matches!(&refused, Refusal::Conflict(why) if why.contains("promote it or roll it back")),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_and_a_resume_goes_on() {
    let world = World::in_memory(true).await;
    world.start().await.expect("started");
    world.command(Operation::Pause).await.expect("paused");
    for _ in 0..30 {
        world.second(0).await;
    }
    assert_eq!((world.shown().state, world.canary_share()), ("paused", 10));
    world.command(Operation::Resume).await.expect("resumed");
    world.until("succeeded", 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_with_the_same_share_before_anything_is_routed() {
    let mut world = World::in_memory(false).await;
    world.start().await.expect("started");
    world.until("awaiting_promotion", 0).await;
    world.promote().await;
    world.second(0).await;
    let before = world.shown();
    world.restart().await;
    assert_eq!(world.canary_share(), 50);
    assert_eq!(world.shown().stage, before.stage);
    world.until("awaiting_promotion", 0).await;
    world.promote().await;
    world.until("succeeded", 0).await;
    world.restart().await;
    assert_eq!(
        world.canary_share(),
        100,
        "the promoted version is the stable one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_whose_endpoints_leave_is_rolled_back_at_once() {
    let world = World::in_memory(true).await;
    world.start().await.expect("started");
    world.second(0).await;
    world.setup.fleet.update(endpoints(&["v1", "v1"]), Instant::now());
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!((world.shown().state, world.canary_share()), ("rolled_back", 0));
}

#[tokio::test(start_paused = true)]
async fn a_changed_plan_is_taken_over_and_one_of_other_stages_is_for_the_next() {
    let mut world = World::in_memory(false).await;
    world.start().await.expect("started");
    let configure = async |world: &mut World, text: &str| {
        let running = world.running.take().expect("one");
        let setup = Setup {
            plan: plan_of(text),
            ..running.setup.clone()
        };
        let running = running.configure(setup).await;
        world.show(running);
    };
    let text = CONFIG.replace("JUDGE", "threshold");
    configure(&mut world, &text.replace("AUTO", "true")).await;
    assert!(world.shown().auto_promote);
    configure(
        &mut world,
        &text
            .replace("AUTO", "false")
            .replace("weight: 10,", "weight: 20,"),
    )
    .await;
    assert!(world.shown().auto_promote, "the stage it is in is another there");
    assert_eq!(world.canary_share(), 10);
    world.until("succeeded", 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_changed_is_told_of_and_the_stable_version_takes_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("canary");
    let open = || AnyStore::new(FileStore::open(&path).expect("opened"));
    let mut world = World::begin(false, Ok(open())).await;
    world.start().await.expect("started");
    assert_eq!(world.canary_share(), 10);
    world.running = None;
    let log = path.join("orders.log");
    let written = std::fs::read_to_string(&log).expect("a log");
    std::fs::write(&log, written.replace("\"canary\":\"v2\"", "\"canary\":\"v9\"")).expect("changed");
    world.restart().await;
    assert_eq!(world.canary_share(), 0);
    let shown = world.desk.of("orders").expect("there");
    let trouble = shown.trouble.as_deref().expect("told");
    assert!(
        trouble.contains("its checksum is wrong: put the file back as it was, or move it away"),
        "{trouble}"
    );
    assert_eq!(world.desk.troubles().len(), 1);
    assert!(matches!(world.start().await, Err(Refusal::Unavailable(_))));

    // As soon as somebody has put it in order, it goes on where it was.
    std::fs::write(&log, written).expect("put back");
    for _ in 0..5 {
        world.second(0).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..100 {
        if world.desk.troubles().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.desk.troubles(), Vec::<String>::new());
    assert_eq!((world.shown().state, world.canary_share()), ("analyzing", 10));
}

#[tokio::test(start_paused = true)]
async fn a_rollout_whose_service_leaves_the_configuration_ends_and_is_not_revived_when_it_returns() {
    let mut world = World::in_memory(true).await;
    world.start().await.expect("started");
    world.second(0).await;
    assert_eq!(world.canary_share(), 10);
    let running = world.running.take().expect("one");
    running
        .leave("the configuration has no service orders".to_owned())
        .await;
    assert_eq!(world.canary_share(), 0);
    drop(running);
    world.restart().await;
    world.second(0).await;
    let shown = world.shown();
    assert_eq!((shown.state, world.canary_share()), ("rolled_back", 0));
    assert_eq!(
        shown.cause.as_deref(),
        Some("it is not rolled out any more: the configuration has no service orders")
    );
    assert_eq!(shown.decisions[0].because, "left");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_a_process_left_behind_is_ended_by_one_that_does_not_roll_the_service_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = FileStore::open(folder.path().join("canary")).expect("opened");
    let mut world = World::begin(true, Ok(AnyStore::new(store.clone()))).await;
    world.start().await.expect("started");
    assert_eq!(world.shown().state, "analyzing");
    world.running = None;
    assert_eq!(
        store.services().expect("read"),
        ["orders".parse().expect("a name")]
    );
    // Twice, as after a crash on the way.
    for _ in 0..2 {
        let log = left::Log {
            store: AnyStore::new(store.clone()),
            numbers: world.setup.numbers.clone(),
            events: world.around.events.clone(),
            clock: Arc::clone(&world.around.clock),
        };
        let why = "canaryDeployment.services does not name orders".to_owned();
        log.end("orders".parse().expect("a name"), why).await;
    }
    world.restart().await;
    world.second(0).await;
    let shown = world.shown();
    assert_eq!((shown.state, world.canary_share()), ("rolled_back", 0));
    let cause = shown.cause.expect("a cause");
    assert!(cause.contains("does not name orders"), "{cause}");
}

const AB_TEST: &str = "canaryDeployment: { abTest: { weight: 50, duration: 8s }, successCriteria: { errorRate: 0.05, duration: 4s }, \
                       rollbackCriteria: { errorRate: 0.2, duration: 4s }, autoRollback: false, routing: { sticky: false } }";

async fn ab_test() -> World {
    let mut world = World::in_memory(false).await;
    world.setup.plan = plan_of(AB_TEST);
    world.restart().await;
    world.start().await.expect("started");
    assert_eq!(world.canary_share(), 50);
    world
}

#[tokio::test(start_paused = true)]
async fn an_ab_run_keeps_its_split_over_restarts_and_ends_when_somebody_decides() {
    let mut world = ab_test().await;
    for _ in 0..4 {
        world.second(0).await;
    }
    assert!(world.shown().ab_test);
    let waits = world.shown().waits_for.expect("somebody").what;
    assert!(waits.starts_with("somebody to decide, for "), "{waits}");
    let before = world.shown().arms.canary.samples;
    world.restart().await;
    assert_eq!((world.canary_share(), world.shown().state), (50, "analyzing"));
    world.until("awaiting_promotion", 0).await;
    for _ in 0..10 {
        world.second(0).await;
    }
    let shown = world.shown();
    assert_eq!((shown.state, world.canary_share()), ("awaiting_promotion", 50));
    assert!(
        shown.arms.canary.samples > before && shown.arms.stable.samples > before,
        "{shown:?}"
    );
    let page = world.around.telemetry.render();
    for series in [
        "canary_deployment_stable_samples{service=\"orders\",version=\"v2\"}",
        "canary_deployment_stable_error_rate{service=\"orders\",version=\"v2\"} 0\n",
        "canary_deployment_status{service=\"orders\",version=\"v2\",status=\"paused\"} 1\n",
    ] {
        assert!(page.contains(series), "{series}{page}");
    }
    world.promote().await;
    world.until("succeeded", 0).await;
    assert_eq!(world.canary_share(), 100);
    let ended = world.shown();
    assert_eq!(
        (ended.arms.stable.samples, ended.contrast.text),
        (shown.arms.stable.samples, shown.contrast.text),
        "what was compared is still told"
    );
}

#[tokio::test(start_paused = true)]
async fn an_ab_run_tells_how_both_versions_compare_and_a_worse_one_waits_where_autorollback_is_off() {
    let world = ab_test().await;
    world.until("paused", 30).await;
    assert_eq!(world.canary_share(), 50);
    let contrast = world.shown().contrast;
    let difference = contrast.error_rate.expect("both were asked");
    assert!(difference.low.is_some_and(|low| low > 0.0), "{difference:?}");
    assert!(
        contrast.worse > 100.0 && contrast.better < 1.0,
        "{}",
        contrast.text
    );
    assert!(
        contrast.text.starts_with("error rate +30.000 points"),
        "{}",
        contrast.text
    );
    world.command(Operation::Rollback).await.expect("ended");
    world.until("rolled_back", 0).await;
    assert_eq!(world.canary_share(), 0);
    let contrast = world.shown().contrast;
    assert!(
        contrast.worse > 100.0,
        "what was seen is still told: {}",
        contrast.text
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_bad_answer_of_a_health_check_after_a_restart_rolls_nothing_back() {
    let mut world = World::in_memory(false).await;
    world.start().await.expect("started");
    world.second(0).await;
    world.restart().await;
    world.second(0).await;
    assert_eq!(world.canary_share(), 10);
    let canary = endpoints(&["v1", "v1", "v2"]).endpoints[2].id().clone();
    let say = |health: Result<(), &'static str>| {
        let health = health.map_err(std::borrow::Cow::Borrowed);
        world.setup.fleet.report(&canary, health, Instant::now());
    };
    say(Err("its first answer is bad"));
    world.second(0).await;
    assert_eq!((world.shown().state, world.canary_share()), ("analyzing", 0));
    for _ in 0..10 {
        world.second(0).await;
    }
    say(Ok(()));
    world.second(0).await;
    assert_eq!((world.shown().state, world.canary_share()), ("analyzing", 10));

    for _ in 0..20 {
        world.second(0).await;
    }
    say(Err("3 bad answers in a row"));
    world.second(0).await;
    assert_eq!((world.shown().state, world.canary_share()), ("rolled_back", 0));
}
