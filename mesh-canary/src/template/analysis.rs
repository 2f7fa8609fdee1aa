//! All metrics of a template together.

use std::sync::Arc;
use std::time::Duration;

use super::measurement::{Input, MetricRun, Phase};
use super::metric::Metric;

/// A template whose values are known, as it is measured.
///
/// The first metric that goes wrong decides: the others are stopped, and terminated. Metrics that are only looked at
/// (`dryRun`) decide nothing.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::expression::Value;
/// use mesh_canary::template::{Input, Phase, Template};
///
/// let template = Template::inline("errors", "up", None, Some("result[0] > 0.05"))?;
/// let mut analysis = template.bind("orders", "v2", &[])?;
/// let s = Duration::from_secs;
/// analysis.start(s(0));
///
/// // The driver asks what is due, sends the query, and tells the answer.
/// let due: Vec<usize> = analysis.due(s(0)).collect();
/// assert_eq!(due, [0]);
/// analysis.on(0, Input::Begun, s(0));
/// analysis.on(0, Input::Answered(Ok(Value::from([0.2]))), s(1));
/// assert_eq!(analysis.phase(), Phase::Failed);
/// # Ok::<(), mesh_canary::template::TemplateError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    metrics: Vec<Metric>,
    runs: Vec<MetricRun>,
}

impl Analysis {
    pub(super) fn new(metrics: Vec<Metric>) -> Self {
        Self {
            metrics,
            runs: Vec::new(),
        }
    }

    /// The metrics.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Begins, or begins anew.
    pub fn start(&mut self, now: Duration) {
        let metrics = self.metrics.iter().cloned().map(Arc::new);
        self.runs = metrics.map(|metric| MetricRun::new(metric, now)).collect();
    }

    /// The metrics as they are measured, in the order of [`metrics`](Self::metrics). None before the start.
    pub fn runs(&self) -> &[MetricRun] {
        &self.runs
    }

    /// The numbers of the metrics whose queries are to be begun.
    pub fn due(&self, now: Duration) -> impl Iterator<Item = usize> {
        let due = move |run: &MetricRun| run.due().is_some_and(|due| due <= now);
        self.runs
            .iter()
            .enumerate()
            .filter(move |(_, run)| due(run))
            .map(|(n, _)| n)
    }

    /// When the next query is to be begun.
    pub fn next_due(&self) -> Option<Duration> {
        self.runs.iter().filter_map(MetricRun::due).min()
    }

    /// What happened to one metric.
    pub fn on(&mut self, metric: usize, input: Input, now: Duration) {
        let Some(run) = self.runs.get_mut(metric) else {
            return;
        };
        run.on(input, now);
        let wrong = matches!(run.phase(), Phase::Failed | Phase::Error | Phase::Inconclusive);
        if wrong && !run.metric().dry_run {
            self.all(&Input::Stopped, now);
        }
    }

    /// What it is measured for is over: each metric is decided by what there is.
    pub fn end(&mut self, now: Duration) {
        self.all(&Input::Ended, now);
    }

    fn all(&mut self, input: &Input, now: Duration) {
        self.runs.iter_mut().for_each(|run| run.on(input.clone(), now));
    }

    /// The worst of all metrics that decide something: a failure is worse than an error, and that is worse than
    /// something inconclusive. If none decides anything, it is a success once all are over.
    pub fn phase(&self) -> Phase {
        let Some(first) = self.runs.first() else {
            return Phase::Pending;
        };
        let deciding = self
            .runs
            .iter()
            .filter(|run| !run.metric().dry_run)
            .map(MetricRun::phase);
        deciding.reduce(Phase::worse).unwrap_or_else(|| {
            let over = self.runs.iter().all(|run| run.phase().is_over());
            if over {
                Phase::Successful
            } else {
                first.phase().worse(Phase::Running)
            }
        })
    }
}
