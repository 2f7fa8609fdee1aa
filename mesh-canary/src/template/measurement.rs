//! One metric, measured again and again until it is decided.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::metric::Metric;
use crate::expression::{Outcome, Value};

/// How long after an error the metric is measured again, whatever its interval is.
const AFTER_ERROR: Duration = Duration::from_secs(10);

/// How far a metric, or an analysis, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing has been measured yet.
    Pending,
    /// It goes on.
    Running,
    /// It is a success.
    Successful,
    /// It is a failure.
    Failed,
    /// It could not be measured, or its conditions could not be asked.
    Error,
    /// It is neither a success nor a failure.
    Inconclusive,
    /// It was ended before it was decided. Never to be taken for a success.
    Terminated,
}

impl Phase {
    /// Whether nothing more will come.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// How bad it is.
    fn badness(self) -> u8 {
        match self {
            Self::Successful => 0,
            Self::Terminated => 1,
            Self::Pending => 2,
            Self::Running => 3,
            Self::Inconclusive => 4,
            Self::Error => 5,
            Self::Failed => 6,
        }
    }

    /// The worse of two.
    pub(super) fn worse(self, other: Self) -> Self {
        if self.badness() >= other.badness() {
            self
        } else {
            other
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Inconclusive => "inconclusive",
            Self::Terminated => "terminated",
        })
    }
}

/// What happens to a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Its query was begun.
    Begun,
    /// Its query was answered, or not: then with what went wrong.
    Answered(Result<Value, String>),
    /// What it was measured for is over: it is decided by what there is. Without a measurement it was terminated.
    Ended,
    /// It is of no use any more.
    Stopped,
}

/// One answer and what it meant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Measurement {
    /// When it came, by the caller's clock.
    pub at: Duration,
    /// What it meant: a success, a failure, inconclusive or an error.
    pub phase: Phase,
    /// The answer as text, or what went wrong.
    pub value: String,
}

/// One metric as it is measured: a state machine without a clock. Times are durations since any moment that the
/// caller keeps to.
///
/// ```
/// use std::time::Duration;
/// use mesh_canary::expression::Value;
/// use mesh_canary::template::{Input, MetricRun, Phase, Template};
///
/// let template = Template::inline("success-rate", "up", Some("result[0] >= 99"), Some("result[0] < 95"))?;
/// let metric = template.bind("orders", "v2", &[])?.metrics()[0].clone();
/// let s = Duration::from_secs;
///
/// let mut run = MetricRun::new(metric.into(), s(0));
/// assert_eq!(run.due(), Some(s(0)));
/// run.on(Input::Begun, s(0));
/// run.on(Input::Answered(Ok(Value::from([99.9]))), s(1));
/// assert_eq!((run.phase(), run.due()), (Phase::Running, Some(s(61))));
///
/// run.on(Input::Begun, s(61));
/// run.on(Input::Answered(Ok(Value::from([90.0]))), s(62));
/// assert_eq!((run.phase(), run.due()), (Phase::Failed, None));
/// # Ok::<(), mesh_canary::template::TemplateError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MetricRun {
    metric: Arc<Metric>,
    phase: Phase,
    due: Option<Duration>,
    counted: u32,
    failed: u32,
    inconclusive: u32,
    errors_in_a_row: u32,
    successes_in_a_row: u32,
    kept: VecDeque<Measurement>,
}

impl MetricRun {
    /// A metric that begins to be measured now.
    pub fn new(metric: Arc<Metric>, now: Duration) -> Self {
        Self {
            phase: Phase::Pending,
            due: Some(now.saturating_add(metric.schedule.initial_delay)),
            metric,
            counted: 0,
            failed: 0,
            inconclusive: 0,
            errors_in_a_row: 0,
            successes_in_a_row: 0,
            kept: VecDeque::new(),
        }
    }

    /// The metric.
    pub fn metric(&self) -> &Metric {
        &self.metric
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When its query is to be begun; nothing while one is under way, and at the end.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// The newest measurements, as many as [`Metric::retention`] says.
    pub fn measurements(&self) -> impl ExactSizeIterator<Item = &Measurement> {
        self.kept.iter()
    }

    /// What happened. What comes after the end changes nothing.
    pub fn on(&mut self, input: Input, now: Duration) {
        if self.phase.is_over() {
            return;
        }
        match input {
            Input::Begun => {
                self.phase = Phase::Running;
                self.due = None;
            }
            Input::Answered(answer) => self.measured(answer, now),
            Input::Ended => {
                self.phase = if self.counted > 0 {
                    Phase::Successful
                } else {
                    Phase::Terminated
                };
            }
            Input::Stopped => self.phase = Phase::Terminated,
        }
        if self.phase.is_over() {
            self.due = None;
        }
    }

    fn measured(&mut self, answer: Result<Value, String>, now: Duration) {
        let (phase, value) = match answer {
            Ok(value) => match self.metric.conditions.outcome(&value) {
                Ok(Outcome::Successful) => (Phase::Successful, value.to_string()),
                Ok(Outcome::Failed) => (Phase::Failed, value.to_string()),
                Ok(Outcome::Inconclusive) => (Phase::Inconclusive, value.to_string()),
                Err(error) => (Phase::Error, format!("{value}: {error}")),
            },
            Err(why) => (Phase::Error, why),
        };
        let more = |count: &mut u32| *count = count.saturating_add(1);
        if phase == Phase::Error {
            more(&mut self.errors_in_a_row);
        } else {
            self.errors_in_a_row = 0;
            more(&mut self.counted);
        }
        match phase {
            Phase::Successful => more(&mut self.successes_in_a_row),
            _ => self.successes_in_a_row = 0,
        }
        match phase {
            Phase::Failed => more(&mut self.failed),
            Phase::Inconclusive => more(&mut self.inconclusive),
            _ => {}
        }
        self.kept.push_back(Measurement {
            at: now,
            phase,
            value,
        });
        while self.kept.len() > self.metric.retention {
            self.kept.pop_front();
        }
        self.phase = self.assessed();
        let wait = if phase == Phase::Error {
            Some(AFTER_ERROR)
        } else {
            self.metric.schedule.interval
        };
        // Without an interval the only measurement was this one.
        self.due = wait.map(|wait| now.saturating_add(wait));
    }

    /// What the counts say. Errors weigh more than what is inconclusive, and that more than failures.
    fn assessed(&self) -> Phase {
        let limits = &self.metric.limits;
        if self.errors_in_a_row > limits.consecutive_errors {
            return Phase::Error;
        }
        if self.inconclusive > limits.inconclusive {
            return Phase::Inconclusive;
        }
        if limits.failures.is_some_and(|limit| self.failed > limit) {
            return Phase::Failed;
        }
        if limits
            .consecutive_successes
            .is_some_and(|enough| self.successes_in_a_row >= enough)
        {
            return Phase::Successful;
        }
        if self
            .metric
            .schedule
            .count
            .is_some_and(|count| self.counted >= count)
        {
            return match (limits.failures, limits.consecutive_successes) {
                (_, None) => Phase::Successful,
                (None, Some(_)) => Phase::Failed,
                (Some(_), Some(_)) => Phase::Inconclusive,
            };
        }
        Phase::Running
    }
}
