//! Analysis templates: which query is asked how often, and what its answers mean.
//!
//! A template is what the mesh's configuration has in `analysisTemplates`, or an `AnalysisTemplate` of Argo Rollouts
//! as it is ([`Template::read`]). It is bound to a version of a service ([`Template::bind`]) and becomes an
//! [`Analysis`]: metrics that each are measured on a [`MetricRun`], by a driver that does what is due.
//!
//! What Argo Rollouts has and the mesh has not is refused by name, and so is every key that is not known: nothing
//! of a template is left out silently.

mod analysis;
mod measurement;
mod metric;
mod placeholder;
mod problem;
mod query;
mod read;

pub use analysis::Analysis;
pub use measurement::{Input, Measurement, MetricRun, Phase};
use metric::MetricTemplate;
pub use metric::{Metric, MetricLimits, Schedule};
use placeholder::{Hole, Values};
pub use problem::{Problem, TemplateError};

/// An analysis template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    name: String,
    arguments: Vec<Argument>,
    metrics: Vec<MetricTemplate>,
}

/// A value that a template leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Argument {
    name: String,
    default: Option<String>,
}

impl Template {
    /// Reads a template of the mesh's configuration, which has one metric: `name`, `query`, `successCondition`,
    /// `failureCondition`. It is measured every minute, for as long as the rollout takes.
    ///
    /// ```
    /// use mesh_canary::template::Template;
    ///
    /// let template = Template::inline(
    ///     "success-rate",
    ///     r#"sum(rate(http_requests_total{job="{{.Service}}-{{.Version}}",code!~"5.."}[5m]))"#,
    ///     Some("result[0] >= 99"),
    ///     Some("result[0] < 95"),
    /// )?;
    /// let analysis = template.bind("orders", "v2", &[])?;
    /// assert_eq!(
    ///     analysis.metrics()[0].query,
    ///     r#"sum(rate(http_requests_total{job="orders-v2",code!~"5.."}[5m]))"#,
    /// );
    /// # Ok::<(), mesh_canary::template::TemplateError>(())
    /// ```
    ///
    /// # Errors
    /// Every problem in one report: a placeholder that is not known, a condition that cannot be read, no condition.
    pub fn inline(
        name: &str,
        query: &str,
        success_condition: Option<&str>,
        failure_condition: Option<&str>,
    ) -> Result<Self, TemplateError> {
        read::inline(name, query, success_condition, failure_condition)
    }

    /// Reads an `AnalysisTemplate` or `ClusterAnalysisTemplate` of Argo Rollouts.
    ///
    /// # Errors
    /// Every problem in one report, each with the path of its key.
    pub fn read(document: &serde_json::Value) -> Result<Self, TemplateError> {
        read::document(document)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is allowed in its conditions and does not do what it seems to, as far as that can be told beside the query: the
    /// path of the condition, the character in it, counted from 1, and the warning. Conditions with placeholders are not
    /// looked at.
    ///
    /// ```
    /// use mesh_canary::template::Template;
    ///
    /// let query = r#"sum(rate(http_requests_total{code!~"5.."}[5m])) / sum(rate(http_requests_total[5m]))"#;
    /// let template = Template::inline("success-rate", query, Some("result >= 0.99"), None)?;
    /// let (path, column, warning) = template.warnings().remove(0);
    /// assert_eq!((path.as_str(), column), ("success-rate.successCondition", 1));
    /// assert!(warning.to_string().ends_with("write result[0] for the first"), "{warning}");
    /// # Ok::<(), mesh_canary::template::TemplateError>(())
    /// ```
    pub fn warnings(&self) -> Vec<(String, usize, crate::expression::Warning)> {
        self.metrics.iter().flat_map(MetricTemplate::warnings).collect()
    }

    /// Fills in what it leaves open. Values become part of a query only as what they are: as text within quotes, within
    /// a pattern without a meaning of their own, and elsewhere only as a number, a name or a duration.
    ///
    /// # Errors
    /// An argument has no value or is not one of the template's, a value is not what its place allows, or what comes
    /// out cannot be read.
    pub fn bind(
        &self,
        service: &str,
        version: &str,
        arguments: &[(&str, &str)],
    ) -> Result<Analysis, TemplateError> {
        let mut problems = Vec::new();
        for (name, value) in arguments {
            if !self.arguments.iter().any(|known| known.name == *name) {
                problems.push(Problem::new(
                    "args",
                    format!("{name} ({value})"),
                    "an argument that the template has",
                ));
            }
        }
        for argument in &self.arguments {
            let given = arguments.iter().any(|(name, _)| *name == argument.name);
            if !given && argument.default.is_none() {
                problems.push(Problem::new(
                    "args",
                    format!("no value for {}", argument.name),
                    "one",
                ));
            }
        }
        let value = |hole: &Hole| match hole {
            Hole::Service => Some(service.to_owned()),
            Hole::Version => Some(version.to_owned()),
            Hole::Argument(name) => {
                let given = arguments.iter().find(|(given, _)| given == name);
                let default = || {
                    self.arguments
                        .iter()
                        .find(|known| known.name == *name)?
                        .default
                        .clone()
                };
                given.map(|(_, value)| (*value).to_owned()).or_else(default)
            }
        };
        let values: Values<'_> = &value;
        let metrics: Vec<_> = self
            .metrics
            .iter()
            .filter_map(|m| m.bind(Some(values), &mut problems))
            .collect();
        TemplateError::of(&self.name, problems)?;
        Ok(Analysis::new(metrics))
    }

    /// As [`bind`](Self::bind), with the arguments that are known of every rollout, as far as the template has them:
    /// `service` and `service-name` are the service, `version` and `canary-version` the new version. Others keep their
    /// values.
    ///
    /// ```
    /// use mesh_canary::template::Template;
    ///
    /// let template = Template::read(&serde_json::json!({
    ///     "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": { "name": "errors" },
    ///     "spec": {
    ///         "args": [{ "name": "service-name" }],
    ///         "metrics": [{
    ///             "name": "errors", "successCondition": "result[0] < 0.05",
    ///             "provider": { "prometheus": { "query": "errors{service=\"{{args.service-name}}\"}" } },
    ///         }],
    ///     },
    /// }))?;
    /// let analysis = template.bind_known("orders", "v2")?;
    /// assert_eq!(analysis.metrics()[0].query, r#"errors{service="orders"}"#);
    /// # Ok::<(), mesh_canary::template::TemplateError>(())
    /// ```
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_known(&self, service: &str, version: &str) -> Result<Analysis, TemplateError> {
        let known = [
            ("service", service),
            ("service-name", service),
            ("version", version),
            ("canary-version", version),
        ];
        let has = |(name, _): &(&str, &str)| self.arguments.iter().any(|argument| argument.name == *name);
        let arguments: Vec<(&str, &str)> = known.into_iter().filter(has).collect();
        self.bind(service, version, &arguments)
    }

    /// The servers that it names, which [`Metric::address`] tells of each metric.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        let metrics = self
            .metrics
            .iter()
            .filter_map(|metric| metric.bind(None, &mut Vec::new()));
        metrics.filter_map(|metric| metric.address)
    }
}

#[cfg(test)]
mod tests;
