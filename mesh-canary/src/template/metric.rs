//! A metric of a template, before and after its placeholders are filled.

use std::time::Duration;

use mesh_core::duration;

use super::placeholder::{Place, Text, Values};
use super::problem::Problem;
use super::query;
use crate::expression::{Answers, Conditions, Expression, Side, Warning};

/// A metric, ready to be measured.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, unlike that of any other metric of the analysis.
    pub name: String,
    /// The PromQL query.
    pub query: String,
    /// The address of the Prometheus server, if the template names one.
    pub address: Option<String>,
    /// How long the query may take, if the template says so.
    pub timeout: Option<Duration>,
    /// What its answers mean.
    pub conditions: Conditions,
    /// When it is measured.
    pub schedule: Schedule,
    /// How much may go wrong.
    pub limits: MetricLimits,
    /// Whether it is only looked at, and decides nothing.
    pub dry_run: bool,
    /// How many measurements are kept.
    pub retention: usize,
}

/// When a metric is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// How long after the start it is measured first.
    pub initial_delay: Duration,
    /// How long after a measurement the next one follows.
    pub interval: Option<Duration>,
    /// How many measurements there are, those that ended with an error left out. `None`: as many as there is time for.
    pub count: Option<u32>,
}

/// How much may go wrong before a metric is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricLimits {
    /// How many measurements may fail, in all; `None`: any number.
    pub failures: Option<u32>,
    /// How many may be inconclusive, in all.
    pub inconclusive: u32,
    /// How many may end with an error one after the other.
    pub consecutive_errors: u32,
    /// How many successes one after the other are enough; `None`: no number is.
    pub consecutive_successes: Option<u32>,
}

impl Default for MetricLimits {
    fn default() -> Self {
        Self {
            failures: Some(0),
            inconclusive: 0,
            consecutive_errors: 4,
            consecutive_successes: None,
        }
    }
}

/// How many measurements are kept where nothing is said.
pub(super) const RETENTION: usize = 10;

/// A metric whose texts may have placeholders.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MetricTemplate {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) dry_run: bool,
    pub(super) retention: usize,
    /// The other keys, by their path within the metric.
    pub(super) texts: Vec<(&'static str, Text)>,
}

pub(super) const QUERY: &str = "provider.prometheus.query";
pub(super) const ADDRESS: &str = "provider.prometheus.address";
pub(super) const TIMEOUT: &str = "provider.prometheus.timeout";

impl MetricTemplate {
    /// With values for its placeholders. Without values, only what has none is read, so that a template is checked
    /// before it is used. Adds what is wrong, and is nothing then, or if it is incomplete.
    pub(super) fn bind(&self, values: Option<Values<'_>>, problems: &mut Vec<Problem>) -> Option<Metric> {
        let before = problems.len();
        let mut bound = Bound {
            metric: self,
            values,
            problems,
        };
        let query = bound.text(QUERY, Place::Query);
        let conditions = Conditions {
            success: bound.condition("successCondition"),
            failure: bound.condition("failureCondition"),
        };
        let interval = bound.duration("interval");
        let count = bound.number("count", 0).filter(|count| *count > 0);
        let count = count.and_then(|count| u32::try_from(count).ok());
        let schedule = Schedule {
            initial_delay: bound.duration("initialDelay").unwrap_or_default(),
            interval,
            // Without an interval there is nothing to wait for after the first.
            count: count.or_else(|| interval.is_none().then_some(1)),
        };
        let default = MetricLimits::default();
        let failures = bound.number("failureLimit", -1);
        let limits = MetricLimits {
            failures: failures.map_or(default.failures, |limit| u32::try_from(limit).ok()),
            inconclusive: bound.limit("inconclusiveLimit", default.inconclusive),
            consecutive_errors: bound.limit("consecutiveErrorLimit", default.consecutive_errors),
            consecutive_successes: Some(bound.limit("consecutiveSuccessLimit", 0)).filter(|limit| *limit > 0),
        };
        let metric = Metric {
            name: self.name.clone(),
            query: query.unwrap_or_default(),
            address: bound.text(ADDRESS, Place::Whole),
            timeout: bound.duration(TIMEOUT),
            conditions,
            schedule,
            limits,
            dry_run: self.dry_run,
            retention: self.retention,
        };
        self.check(&metric, problems);
        (problems.len() == before).then_some(metric)
    }

    /// What does not go together.
    fn check(&self, metric: &Metric, problems: &mut Vec<Problem>) {
        let path = |key: &str| format!("{}.{key}", self.path);
        let has = |key: &str| self.texts.iter().any(|(known, _)| *known == key);
        let count = metric.schedule.count;
        if count.is_some_and(|count| count > 1) && !has("interval") {
            problems.push(Problem::new(
                path("count"),
                "more than one measurement without an interval",
                "interval, as \"1m\"",
            ));
        }
        if metric
            .schedule
            .interval
            .is_some_and(|interval| interval.is_zero())
        {
            problems.push(Problem::new(
                path("interval"),
                "no time at all",
                "a duration above zero, as \"1m\"",
            ));
        }
        for (key, limit) in [
            ("failureLimit", metric.limits.failures),
            ("inconclusiveLimit", Some(metric.limits.inconclusive)),
        ] {
            if let (Some(count), Some(limit)) = (count, limit)
                && limit > count
                && has("count")
            {
                let found = format!("{limit} of {count} measurements");
                problems.push(Problem::new(path(key), found, "no more than count"));
            }
        }
        if metric.limits.failures.is_none()
            && metric.limits.consecutive_successes.is_none()
            && has("failureLimit")
        {
            problems.push(Problem::new(
                path("failureLimit"),
                "-1, so that no number of failures is too many",
                "a number from 0, or a consecutiveSuccessLimit beside it",
            ));
        }
    }

    pub(super) fn warnings(&self) -> Vec<(String, usize, Warning)> {
        let text = |key: &str| {
            let (_, text) = self.texts.iter().find(|(known, _)| *known == key)?;
            text.fill(Place::Condition, None)?.ok()
        };
        let condition = |key: &str| text(key)?.parse::<Expression>().ok();
        let conditions = Conditions {
            success: condition("successCondition"),
            failure: condition("failureCondition"),
        };
        let query = self.texts.iter().find(|(known, _)| *known == QUERY);
        // What stands for a placeholder makes no difference: a query is of its kind whatever is asked about.
        let query =
            query.and_then(|(_, text)| text.fill(Place::Query, Some(&|_| Some("x".to_owned())))?.ok());
        let mut answers = query.as_deref().map(query::answers).unwrap_or_default();
        let whole = |key: &str| text(key).is_some() == self.texts.iter().any(|(known, _)| *known == key);
        if !whole("successCondition") || !whole("failureCondition") {
            // One without the other is judged otherwise.
            answers = Answers::default();
        }
        let placed = |(side, warning): (Side, Warning)| {
            let (key, condition) = match side {
                Side::Success => ("successCondition", &conditions.success),
                Side::Failure => ("failureCondition", &conditions.failure),
            };
            let text = condition.as_ref().map_or("", Expression::as_str);
            let before = text.get(..warning.span().start).unwrap_or_default();
            let column = before.chars().count().saturating_add(1);
            (format!("{}.{key}", self.path), column, warning)
        };
        conditions.warnings(answers).into_iter().map(placed).collect()
    }
}

/// The texts of a metric with values for their placeholders.
struct Bound<'a> {
    metric: &'a MetricTemplate,
    values: Option<Values<'a>>,
    problems: &'a mut Vec<Problem>,
}

impl Bound<'_> {
    fn text(&mut self, key: &str, place: Place) -> Option<String> {
        let (_, text) = self.metric.texts.iter().find(|(known, _)| *known == key)?;
        match text.fill(place, self.values)? {
            Ok(text) => Some(text),
            Err((column, found, expected)) => {
                self.wrong(key, Some(column), found, expected);
                None
            }
        }
    }

    fn wrong(&mut self, key: &str, column: Option<usize>, found: String, expected: &str) {
        let path = format!("{}.{key}", self.metric.path);
        self.problems.push(Problem::new(path, found, expected).at(column));
    }

    fn condition(&mut self, key: &str) -> Option<Expression> {
        let text = self.text(key, Place::Condition)?;
        match text.parse::<Expression>() {
            Ok(condition) => Some(condition),
            Err(error) => {
                let found = format!("{text:?}: {}", error.message());
                self.wrong(
                    key,
                    Some(error.column()),
                    found,
                    "a condition, as result[0] >= 99",
                );
                None
            }
        }
    }

    fn duration(&mut self, key: &str) -> Option<Duration> {
        let text = self.text(key, Place::Whole)?;
        match duration::parse(&text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                let found = format!("{text:?} ({})", error.reason());
                self.wrong(key, None, found, "a duration, as \"30s\" or \"5m\"");
                None
            }
        }
    }

    fn number(&mut self, key: &str, least: i64) -> Option<i64> {
        let text = self.text(key, Place::Whole)?;
        match text.parse() {
            Ok(number) if (least..=i64::from(u32::MAX)).contains(&number) => Some(number),
            _ => {
                let expected = if least < 0 {
                    "a whole number from 0, or -1 for no limit"
                } else {
                    "a whole number from 0"
                };
                self.wrong(key, None, format!("{text:?}"), expected);
                None
            }
        }
    }

    fn limit(&mut self, key: &str, default: u32) -> u32 {
        let limit = self.number(key, 0);
        limit
            .and_then(|limit| u32::try_from(limit).ok())
            .unwrap_or(default)
    }
}
