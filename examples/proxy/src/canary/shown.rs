//! A service's rollout as it is shown.

use std::time::{Duration, SystemTime};

use mesh_canary::Observed;
use mesh_canary::controller::Controller;
use mesh_canary::log::{Entry, Record};
use mesh_canary::rollout::{Phase, Rollout, Step};
use mesh_core::duration::display;
use mesh_core::metric::Traffic;
use mesh_telemetry::metrics::{CanaryFigures, CanaryStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::Numbers;
use super::setup::{Endpoints, Setup};

mod contrast;

pub use contrast::{Bounded, ShownContrast};

/// So many of the last decisions are shown.
const DECISIONS: usize = 20;

/// The rollouts of a service: the one under way, or the last.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Shown {
    /// The service.
    #[schema(example = "sample-service")]
    pub service: String,
    /// The version that has the traffic, or had it before the rollout; nothing if that is not known.
    #[schema(example = "v1")]
    pub stable: Option<String>,
    /// The versions that could be rolled out, the stable one first.
    pub versions: Vec<String>,
    /// The rollout under way, or the last one; nothing if there was none.
    pub rollout: Option<ShownRollout>,
    /// Why nothing is rolled out or decided now, and what to do; nothing if all is well.
    pub trouble: Option<String>,
}

/// A rollout.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownRollout {
    /// The version that had the traffic before.
    pub stable: String,
    /// The new version.
    pub canary: String,
    /// `starting`, `analyzing`, `awaiting_promotion`, `baking`, `paused`, `rolling_back`, `succeeded`, `rolled_back`, `halted`
    /// or `superseded`.
    #[schema(example = "analyzing")]
    pub state: &'static str,
    /// The same as `canary_deployment_status` has it.
    #[schema(example = "progressing")]
    pub status: &'static str,
    /// The stage, from 1.
    pub stage: usize,
    /// All stages.
    pub stages: Vec<ShownStage>,
    /// The share of the new version, in percent.
    pub weight: u8,
    /// The share of this stage's requests that it really got, 0 to 1; nothing without requests. Where clients stay with a
    /// version, busy ones take many requests along.
    pub share: Option<f64>,
    /// In words, if that is further from its weight than chance over so many clients explains.
    pub uneven: Option<String>,
    /// Whether it is an A/B run: the share stays as it is until somebody promotes or rolls back.
    pub ab_test: bool,
    /// Whether each stage that went well leads to the next by itself.
    pub auto_promote: bool,
    /// Whether a bad canary is rolled back by itself.
    pub auto_rollback: bool,
    /// When it began.
    pub started_at: String,
    /// How long it has been going on, or took, in seconds.
    pub duration_s: f64,
    /// How long this stage was looked at, so far as it counts, in seconds.
    pub sampled_s: f64,
    /// What both versions did in this stage.
    pub arms: Arms,
    /// How both versions compare in this stage, with bounds that hold however often one looks.
    pub contrast: ShownContrast,
    /// How strongly the evidence speaks against the new version.
    pub evidence: ShownEvidence,
    /// What it waits for; nothing when it is over.
    pub waits_for: Option<Waits>,
    /// Why it is where it is.
    pub cause: Option<String>,
    /// The last decisions, the newest first.
    pub decisions: Vec<ShownDecision>,
}

/// A stage of the plan.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownStage {
    /// The share of the new version, in percent.
    pub weight: u8,
    /// How long it takes at least, in seconds; nothing for the last.
    pub duration_s: Option<f64>,
}

/// What both versions did in this stage.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Arms {
    /// The version that had the traffic before.
    pub stable: Arm,
    /// The new version.
    pub canary: Arm,
}

/// What a version did in this stage, by the requests that its share gave it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Arm {
    /// The version.
    pub version: String,
    /// How many of its endpoints take requests now; nothing if that is not known.
    pub endpoints: Option<usize>,
    /// How many requests were counted.
    pub samples: u64,
    /// How many of them failed.
    pub errors: u64,
    /// The share of those, 0 to 1; nothing without requests.
    pub error_rate: Option<f64>,
    /// The 95th percentile of response times, in milliseconds; nothing without requests.
    pub response_time_p95: Option<f64>,
    /// How many more there were that asked for this version: they are in none of the other numbers.
    pub pinned: u64,
}

/// How strongly the evidence speaks against the new version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownEvidence {
    /// So strongly: chance alone takes it above x in at most one of x rollouts. Nothing if none was weighed yet.
    pub against: Option<f64>,
    /// At this it is rolled back, `1 / falseRollback`; nothing where fixed limits judge.
    pub limit: Option<f64>,
    /// The last verdict, with the numbers it looked at.
    pub verdict: Option<String>,
}

/// What a rollout waits for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Waits {
    /// What.
    #[schema(example = "300 requests of v2 in this stage: 120 were seen")]
    pub what: String,
    /// In how many seconds that is thought to be; nothing if nobody can tell.
    pub eta_s: Option<f64>,
}

/// A decision.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownDecision {
    /// When.
    pub at: String,
    /// How long after the rollout began, in seconds.
    pub after_s: f64,
    /// What was decided, in a word.
    #[schema(example = "advance")]
    pub decision: &'static str,
    /// The same in a sentence.
    pub text: String,
    /// Why, in a word.
    #[schema(example = "verdict")]
    pub because: &'static str,
    /// Why, with its figures.
    pub cause: String,
}

impl Shown {
    /// What is known of a service's rollouts.
    pub(super) fn of(
        setup: &Setup,
        controller: Option<&Controller<Numbers>>,
        endpoints: Option<Endpoints>,
        trouble: Option<String>,
        now: SystemTime,
    ) -> Self {
        let history = controller.map(Controller::history);
        let stable = history.and_then(|history| history.stable_version().cloned());
        let stable = stable
            .or_else(|| setup.stable.clone())
            .map(|version| version.to_string());
        let rollout = history.and_then(|history| history.rollout());
        let rollout = rollout
            .zip(controller)
            .map(|(rollout, controller)| ShownRollout::of(rollout, controller, endpoints, now));
        Self {
            service: setup.split.service().to_string(),
            stable,
            versions: setup.versions(),
            rollout,
            trouble,
        }
    }
}

impl Shown {
    /// The same for metrics.
    pub(super) fn figures(&self) -> Option<CanaryFigures> {
        let rollout = self.rollout.as_ref()?;
        let canary = &rollout.arms.canary;
        let mut figures = CanaryFigures::new(CanaryStatus::of(rollout.status)?);
        figures.error_rate = canary.error_rate.unwrap_or_default();
        let p95 = canary.response_time_p95.unwrap_or_default() / 1000.0;
        figures.response_time_p95 = Duration::try_from_secs_f64(p95).unwrap_or_default();
        figures.duration = Duration::try_from_secs_f64(rollout.duration_s).unwrap_or_default();
        figures.weight = rollout.weight;
        figures.samples = canary.samples;
        let stable = &rollout.arms.stable;
        figures.stable_error_rate = stable.error_rate.unwrap_or_default();
        let p95 = stable.response_time_p95.unwrap_or_default() / 1000.0;
        figures.stable_response_time_p95 = Duration::try_from_secs_f64(p95).unwrap_or_default();
        figures.stable_samples = stable.samples;
        figures.evidence = rollout.evidence.against.unwrap_or_default();
        figures.evidence_limit = rollout.evidence.limit.unwrap_or_default();
        Some(figures)
    }
}

impl ShownRollout {
    fn of(
        rollout: &Rollout,
        controller: &Controller<Numbers>,
        endpoints: Option<Endpoints>,
        now: SystemTime,
    ) -> Self {
        let (status, plan) = (rollout.status(), rollout.plan());
        let seen = rollout.compared();
        let duration = match rollout.phase().has_ended() {
            true => Duration::from_secs_f64(status.duration_s),
            false => rollout.clock_at(now),
        };
        let stages = plan.stages().iter().map(|stage| ShownStage {
            weight: stage.weight,
            duration_s: stage.duration.map(|duration| duration.as_secs_f64()),
        });
        let verdict = controller.verdict();
        Self {
            state: status.state,
            status: status.status,
            stage: status.stage,
            stages: stages.collect(),
            weight: status.weight,
            share: share(&seen),
            uneven: rollout.evidence().uneven_share().map(|share| share.to_string()),
            ab_test: plan.is_ab_test(),
            auto_promote: plan.auto_promote(),
            auto_rollback: plan.auto_rollback(),
            started_at: told(rollout.begun()),
            duration_s: duration.as_secs_f64(),
            sampled_s: status.sampled_s,
            arms: Arms {
                stable: Arm::of(&status.stable, &seen.stable, endpoints.map(|count| count.stable)),
                canary: Arm::of(&status.canary, &seen.canary, endpoints.map(|count| count.canary)),
            },
            contrast: ShownContrast::of(rollout, &seen),
            evidence: ShownEvidence {
                against: rollout.evidence_against(),
                limit: plan.evidence_limit(),
                verdict: verdict.map(ToString::to_string),
            },
            waits_for: waits(rollout, controller),
            cause: status.cause,
            decisions: controller
                .decisions()
                .rev()
                .filter_map(ShownDecision::of)
                .take(DECISIONS)
                .collect(),
            stable: status.stable,
            canary: status.canary,
        }
    }
}

/// The canary's share of all that was seen.
fn share(seen: &Observed) -> Option<f64> {
    let all = seen.stable.requests.saturating_add(seen.canary.requests);
    (all > 0).then(|| seen.canary.requests as f64 / all as f64)
}

impl Arm {
    fn of(version: &str, seen: &Traffic, endpoints: Option<usize>) -> Self {
        let p95 = seen.latency.quantile(0.95);
        Self {
            version: version.to_owned(),
            endpoints,
            samples: seen.requests,
            errors: seen.errors,
            error_rate: seen.error_rate(),
            response_time_p95: p95.map(|p95| p95.as_secs_f64() * 1000.0),
            pinned: seen.pinned,
        }
    }
}

impl ShownDecision {
    fn of(record: &Record) -> Option<Self> {
        let Entry::Decided(decision) = &record.entry else {
            return None;
        };
        Some(Self {
            at: told(record.written),
            after_s: record.at.as_secs_f64(),
            decision: decision.change.word(),
            text: decision.change.to_string(),
            because: decision.cause.word(),
            cause: decision.cause.to_string(),
        })
    }
}

fn told(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// What a rollout waits for, as exactly as can be told.
fn waits(rollout: &Rollout, controller: &Controller<Numbers>) -> Option<Waits> {
    let (service, canary) = (rollout.service(), rollout.canary());
    let unknown = |what: String| Waits { what, eta_s: None };
    Some(match rollout.phase() {
        Phase::Ended(_) => return None,
        Phase::RollingBack => unknown(format!("the router to send everything to {}", rollout.stable())),
        Phase::Running(Step::Starting) => unknown(format!(
            "an endpoint of {canary} and one of {} that take requests",
            rollout.stable()
        )),
        Phase::Running(Step::AwaitingPromotion) if rollout.plan().is_ab_test() => unknown(format!(
            "somebody to decide: mesh-proxy canary promote or rollback {service}"
        )),
        Phase::Running(Step::AwaitingPromotion) => unknown(format!(
            "somebody to promote it: mesh-proxy canary promote {service}"
        )),
        Phase::Paused { reason, .. } => unknown(format!(
            "somebody, since {reason}: mesh-proxy canary resume, promote or rollback {service}"
        )),
        Phase::Running(Step::Analyzing | Step::Baking) if !rollout.is_in_force() => unknown(format!(
            "endpoints that bear the share of {}%",
            rollout.order().percent
        )),
        Phase::Running(Step::Analyzing) if rollout.plan().is_ab_test() => of_ab_test(rollout),
        Phase::Running(Step::Analyzing | Step::Baking) => of_stage(rollout, controller),
    })
}

/// An A/B run waits for somebody, sooner or later.
fn of_ab_test(rollout: &Rollout) -> Waits {
    let planned = rollout.plan().stages().first().and_then(|stage| stage.duration);
    let left = planned.unwrap_or_default().saturating_sub(rollout.sampled());
    let service = rollout.service();
    Waits {
        what: format!(
            "somebody to decide, for {} more: mesh-proxy canary promote or rollback {service}",
            display(whole(left))
        ),
        eta_s: Some(left.as_secs_f64()),
    }
}

/// What the stage that is looked at needs still.
fn of_stage(rollout: &Rollout, controller: &Controller<Numbers>) -> Waits {
    let plan = rollout.plan();
    let duration = match rollout.phase() {
        Phase::Running(Step::Baking) => Some(plan.bake()),
        _ => plan
            .stages()
            .get(rollout.stage())
            .and_then(|stage| stage.duration),
    };
    let left = duration.unwrap_or_default().saturating_sub(rollout.sampled());
    let (seen, needed) = (rollout.samples(), plan.min_requests());
    let mut what = Vec::new();
    if !left.is_zero() {
        what.push(format!("{} more of this stage", display(whole(left))));
    }
    let mut eta = Some(left);
    if seen < needed {
        what.push(format!(
            "{needed} requests of {} in this stage: {seen} were seen",
            rollout.canary()
        ));
        let rate = seen as f64 / rollout.sampled().as_secs_f64();
        let filling = Duration::try_from_secs_f64((needed - seen) as f64 / rate).ok();
        eta = eta.zip(filling).map(|(left, filling)| left.max(filling));
    }
    if let Some(verdict) = controller
        .verdict()
        .filter(|verdict| verdict.word() == "continue")
    {
        let reason = verdict.reason();
        what.extend(reason.findings.iter().map(ToString::to_string));
        eta = eta.zip(reason.wait).map(|(left, wait)| left.max(wait));
    }
    if what.is_empty() {
        what.push("the next look".to_owned());
    }
    Waits {
        what: what.join("; "),
        eta_s: eta.map(|eta| eta.as_secs_f64()),
    }
}

fn whole(duration: Duration) -> Duration {
    Duration::from_secs(
        duration
            .as_secs()
            .saturating_add(u64::from(duration.subsec_nanos() > 0)),
    )
}
