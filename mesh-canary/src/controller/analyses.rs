//! The analysis templates of a rollout, measured while it goes on.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::duration::display;
use mesh_core::metric::{MetricQuery, MetricSource};

use crate::analyzer::{Analysed, Standing};
use crate::expression::{Conditions, Value};
use crate::rollout::{Order, Rollout};
use crate::template::{Analysis, Input, MetricRun, Phase, Template};

/// A server that scrapes has seen of a share after this time what there is to see.
const LONGEST_SETTLING: Duration = Duration::from_secs(60);

/// Measures templates from the moment at which a share is in force, each stage anew.
#[derive(Default)]
pub(super) struct Analyses {
    templates: Arc<[Template]>,
    of: Option<Order>,
    running: Vec<(String, Result<Analysis, String>)>,
}

impl Analyses {
    pub(super) fn new(templates: impl IntoIterator<Item = Template>) -> Self {
        Self {
            templates: templates.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Begins for the share in force, unless it has. What was answered before something was seen of it says nothing, so
    /// the first query follows in the middle of the stage, or after a minute of it.
    pub(super) fn begin(&mut self, rollout: &Rollout, now: Duration) {
        if self.of == Some(rollout.order()) {
            return;
        }
        self.of = Some(rollout.order());
        let (service, version) = (rollout.service().as_str(), rollout.canary().as_str());
        let plan = rollout.plan();
        let stage = plan
            .stages()
            .get(rollout.stage())
            .and_then(|stage| stage.duration);
        let settling = stage.unwrap_or_else(|| plan.bake()) / 2;
        let first = now.saturating_add(settling.min(LONGEST_SETTLING));
        let bound = self.templates.iter().map(|template| {
            let bound = template.bind_known(service, version).map(|mut analysis| {
                analysis.start(first);
                analysis
            });
            (
                template.name().to_owned(),
                bound.map_err(|error| error.to_string()),
            )
        });
        self.running = bound.collect();
    }

    /// Nothing is measured any more.
    pub(super) fn end(&mut self) {
        self.of = None;
        self.running.clear();
    }

    /// Asks what is due. A query that is given up, here or by its limit, is asked again.
    pub(super) async fn measure(&mut self, metrics: &impl MetricSource, now: Duration, limit: Duration) {
        for (_, analysis) in &mut self.running {
            let Ok(analysis) = analysis else { continue };
            // What went wrong was told with the window before; whoever goes on in spite of it sees anew.
            if analysis.phase().is_over() && analysis.phase() != Phase::Successful {
                analysis.start(now);
            }
            let due: Vec<usize> = analysis.due(now).collect();
            for number in due {
                let Some(metric) = analysis.metrics().get(number) else {
                    continue;
                };
                let limit = metric.timeout.unwrap_or(limit).min(limit);
                let query = MetricQuery::Prometheus(metric.query.clone());
                let answer = match tokio::time::timeout(limit, metrics.sample(&query)).await {
                    Ok(Ok(samples)) => Ok(Value::from(&samples)),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err(format!("no answer within {}", display(limit))),
                };
                analysis.on(number, Input::Begun, now);
                analysis.on(number, Input::Answered(answer), now);
            }
        }
    }

    /// How they stand: the worst of all metrics that decide something. Nothing if there are no templates.
    pub(super) fn standing(&self) -> Option<Analysed> {
        let all = self.running.iter().flat_map(|(name, analysis)| match analysis {
            Ok(analysis) => deciding(analysis).map(of_metric).collect(),
            Err(why) => vec![Analysed::new(
                Standing::Unmeasured,
                why.clone(),
                format!("the template {name}"),
            )],
        });
        all.reduce(|worst, next| {
            if next.standing > worst.standing {
                next
            } else {
                worst
            }
        })
    }
}

fn deciding(analysis: &Analysis) -> impl Iterator<Item = &MetricRun> {
    analysis.runs().iter().filter(|run| !run.metric().dry_run)
}

fn of_metric(run: &MetricRun) -> Analysed {
    let metric = run.metric();
    let last = run.measurements().last();
    let measured = last.map(|measurement| measurement.phase);
    let standing = match (run.phase(), measured) {
        (Phase::Failed, _) => Standing::Failed,
        (Phase::Inconclusive, _) => Standing::Inconclusive,
        (Phase::Error, _) | (_, Some(Phase::Error)) => Standing::Unmeasured,
        (Phase::Successful, _) | (Phase::Running, Some(Phase::Successful)) => Standing::Good,
        _ => Standing::Pending,
    };
    let answer = match last {
        None => format!("{} was not measured yet", metric.name),
        Some(last) if last.phase == Phase::Error => {
            format!("{} could not be measured: {}", metric.name, last.value)
        }
        Some(last) => format!("{} answered {}", metric.name, last.value),
    };
    Analysed::new(
        standing,
        shortened(&answer),
        shortened(&asked(&metric.conditions)),
    )
}

fn asked(conditions: &Conditions) -> String {
    match (&conditions.success, &conditions.failure) {
        (Some(success), Some(failure)) => format!("well if {success}, fails if {failure}"),
        (Some(success), None) => format!("well if {success}"),
        (None, Some(failure)) => format!("fails if {failure}"),
        (None, None) => "any answer is well".to_owned(),
    }
}

/// Answers from outside do not decide how long a log is.
fn shortened(text: &str) -> String {
    text.chars().take(500).collect()
}
