//! `canaryDeployment`: how a new version is rolled out.

mod plan;

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use mesh_core::ServiceName;

use super::analysis::{Analysis, AnalysisTemplate};
use super::context::Wrong;
use super::defaults;
use super::grammar::{self, COOKIE, HEADER};
use super::names::Names;
use super::schema::Unit;
use super::shape::{Fields, boolean, duration, integer, list, object, parsed, path, ratio};
use super::share::Ratio;
use super::{analysis, names};

/// `canaryDeployment`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Canary {
    /// Whether rollouts happen at all. Default true.
    pub enabled: bool,
    /// Whether a stage that went well leads to the next by itself. Default false.
    pub auto_promote: bool,
    /// Whether a bad canary is rolled back by itself. Default true.
    pub auto_rollback: bool,
    /// What a stage has to reach.
    pub success: Criteria,
    /// What leads to a rollback.
    pub rollback: Criteria,
    /// The services that are rolled out; `None`: every one with several versions.
    pub services: Option<Vec<ServiceName>>,
    /// The stages; weights rise, and the last is 100.
    pub stages: Vec<Stage>,
    /// An A/B run instead of stages.
    pub ab_test: Option<AbTest>,
    /// How a stage is judged.
    pub analysis: Analysis,
    /// Who is pinned to which version.
    pub routing: CanaryRouting,
    /// Where decisions are kept. Default `./mesh-state/canary`.
    pub state_dir: PathBuf,
}

/// Limits and the window they are looked at over.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Criteria {
    /// The share of failed requests.
    pub error_rate: Ratio,
    /// The 95th percentile of the response time.
    pub response_time: Duration,
    /// The window.
    pub duration: Duration,
}

/// A stage of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stage {
    /// The canary's share in percent, 1 to 100.
    pub weight: u8,
    /// How long it lasts at least. In the last: how long the new version is watched with all traffic before it counts as
    /// the stable one; `None`: not at all.
    pub duration: Option<Duration>,
}

/// `canaryDeployment.abTest`: a split that stays as it is until somebody ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbTest {
    /// The new version's share in percent, 1 to 99. Default 50.
    pub weight: u8,
    /// How long both versions are looked at before it is said that somebody should decide. Default a day, at most 30.
    pub duration: Duration,
}

/// `canaryDeployment.routing`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CanaryRouting {
    /// `true` pins to the canary, `false` to the stable version. Default `x-canary-user`.
    pub header: HeaderName,
    /// `always` pins to the canary, `never` to the stable version. Default `canary`.
    pub cookie: Box<str>,
    /// Whether a client stays with the version it got. Default true.
    pub sticky: bool,
    /// Where the key is that sticky cookies are signed with, for replicas that share it; `None`: `cookie.key` in
    /// `state_dir`.
    pub cookie_key_file: Option<PathBuf>,
}

pub(super) fn read(fields: &mut Fields<'_>, names: &Names) -> Option<(Canary, Vec<AnalysisTemplate>)> {
    let enabled = fields.or("enabled", boolean(), true);
    let auto_promote = fields.or("autoPromote", boolean(), false);
    let auto_rollback = fields.or("autoRollback", boolean(), true);
    let success = fields.part(
        "successCriteria",
        object(|fields: &mut Fields<'_>| read_criteria(fields, SUCCESS)),
    );
    let rollback = fields.part(
        "rollbackCriteria",
        object(|fields: &mut Fields<'_>| read_criteria(fields, ROLLBACK)),
    );
    let services = fields.optional("services", list(names::service(names)));
    let stages = fields.optional("stages", list(object(read_stage)).not_empty());
    let ab_test = fields.optional("abTest", object(read_ab_test));
    let analysis = fields.part("analysis", object(analysis::read));
    let templates = fields.optional("analysisTemplates", list(analysis::template()));
    let routing = fields.part("routing", object(read_routing));
    let state_dir = path("the path of a directory");
    let state_dir = fields.or("stateDir", state_dir, PathBuf::from(defaults::CANARY_STATE_DIR));
    check_ab_test(fields);
    let stages_are_right = stages.as_ref().is_none_or(|stages| check_stages(fields, stages));
    let canary = Canary {
        enabled,
        auto_promote,
        auto_rollback,
        success: success?,
        rollback: rollback?,
        services,
        stages: stages.unwrap_or_else(default_stages),
        ab_test,
        analysis: analysis?,
        routing: routing?,
        state_dir,
    };
    plan::check(fields, &canary, stages_are_right);
    Some((canary, templates.unwrap_or_default()))
}

/// Longer ones have more evidence than is kept.
const LONGEST_AB_TEST: Duration = Duration::from_secs(30 * 86_400);

const SUCCESS: Criteria = Criteria {
    error_rate: defaults::SUCCESS_ERROR_RATE,
    response_time: defaults::SUCCESS_RESPONSE_TIME,
    duration: defaults::SUCCESS_DURATION,
};

const ROLLBACK: Criteria = Criteria {
    error_rate: defaults::ROLLBACK_ERROR_RATE,
    response_time: defaults::ROLLBACK_RESPONSE_TIME,
    duration: defaults::ROLLBACK_DURATION,
};

fn default_stages() -> Vec<Stage> {
    let stage = |(weight, duration)| Stage { weight, duration };
    defaults::STAGES.into_iter().map(stage).collect()
}

fn read_criteria(fields: &mut Fields<'_>, default: Criteria) -> Option<Criteria> {
    let response_time = duration().bare(Unit::Milliseconds);
    let window = duration().bare(Unit::Seconds);
    Some(Criteria {
        error_rate: fields.or("errorRate", ratio(), default.error_rate),
        response_time: fields.or("responseTime", response_time, default.response_time),
        duration: fields.or("duration", window, default.duration),
    })
}

fn read_stage(fields: &mut Fields<'_>) -> Option<Stage> {
    let weight = fields.required("weight", integer(1..=100_u8));
    let duration = fields.optional("duration", duration().bare(Unit::Seconds));
    Some(Stage {
        weight: weight?,
        duration,
    })
}

fn read_ab_test(fields: &mut Fields<'_>) -> Option<AbTest> {
    let duration = duration().bare(Unit::Seconds).at_most(LONGEST_AB_TEST);
    Some(AbTest {
        weight: fields.or("weight", integer(1..=99_u8), defaults::AB_TEST_WEIGHT),
        duration: fields.or("duration", duration, defaults::AB_TEST_DURATION),
    })
}

fn check_ab_test(fields: &mut Fields<'_>) {
    if fields.has("abTest") && fields.has("stages") {
        let wrong = Wrong::expected("stages or abTest, not both");
        fields.refuse("abTest", "an A/B run beside stages", wrong);
    }
}

fn check_stages(fields: &mut Fields<'_>, stages: &[Stage]) -> bool {
    let weights: Vec<String> = stages.iter().map(|stage| stage.weight.to_string()).collect();
    let found = || format!("stages of the weights {}", weights.join(", "));
    let rising = stages.windows(2).all(|pair| pair[0].weight < pair[1].weight);
    if !rising {
        fields.refuse(
            "stages",
            found(),
            Wrong::expected("each stage with more weight than the one before"),
        );
    } else if stages.last().is_some_and(|last| last.weight != 100) {
        fields.refuse(
            "stages",
            found(),
            Wrong::expected("100 as the last stage's weight"),
        );
    }
    let before_last = stages.len().saturating_sub(1);
    let timeless = stages
        .iter()
        .take(before_last)
        .any(|stage| stage.duration.is_none());
    if timeless {
        let wrong = Wrong::expected("a duration in each stage but the last");
        fields.refuse("stages", "a stage without duration", wrong);
    }
    rising && !timeless && stages.last().is_some_and(|last| last.weight == 100)
}

fn read_routing(fields: &mut Fields<'_>) -> Option<CanaryRouting> {
    let header = parsed(HEADER, grammar::header_name);
    let cookie = parsed(COOKIE, grammar::cookie_name);
    Some(CanaryRouting {
        header: fields.or("header", header, HeaderName::from_static(defaults::CANARY_HEADER)),
        cookie: fields.or("cookie", cookie, defaults::CANARY_COOKIE.into()),
        sticky: fields.or("sticky", boolean(), true),
        cookie_key_file: fields.optional("cookieKeyFile", path("the path of a file")),
    })
}

#[cfg(test)]
mod tests;
